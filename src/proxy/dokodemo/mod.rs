//! An inbound that takes every connection to one fixed target (section 3.4).

mod inbound;
mod options;
mod relay;

pub use inbound::Inbound;
pub use options::InboundOptions;
pub use relay::prepare_udp;
