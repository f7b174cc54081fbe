//! VLESS version 0 (section 1), as inbound and as outbound.
//!
//! It encrypts nothing and knows no replay: it is meant to run inside TLS.

pub mod wire;

mod datagrams;
mod held;
mod inbound;
mod options;
mod outbound;
mod packets;

pub use datagrams::oversized_datagrams;
pub use inbound::Inbound;
pub use options::{InboundOptions, OutboundOptions, Server};
pub use outbound::Outbound;
pub use packets::{PacketDecoder, frame_packet};

pub use super::Client;
