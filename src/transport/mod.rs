//! Links to other machines: TCP and UDP sockets, and what is layered on them.

pub mod proxy_protocol;
pub mod stream;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod ws;
