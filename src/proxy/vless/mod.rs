//! VLESS version 0 (section 1), as inbound and as outbound.

mod options;

pub use options::{Client, InboundOptions, OutboundOptions, Server};
