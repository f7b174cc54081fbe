//! SOCKS 4, 4a and 5 (RFC 1928, 1929), as inbound and as outbound.

mod options;

pub use options::{Account, InboundOptions, OutboundOptions, Server};
