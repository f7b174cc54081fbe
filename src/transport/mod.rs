//! Links to other machines: TCP and UDP sockets.

pub mod tcp;
pub mod udp;
