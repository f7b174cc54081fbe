//! SOCKS 4, 4a and 5 (RFC 1928, 1929), as inbound and as outbound.

mod accounts;
mod handshake;
mod inbound;
mod options;
mod outbound;
mod relay;
mod tunnel;
pub mod wire;

pub use inbound::Inbound;
pub use options::{Account, InboundOptions, OutboundOptions, Server};
pub use outbound::Outbound;
pub use relay::prepare_udp;
