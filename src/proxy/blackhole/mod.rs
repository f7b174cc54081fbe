//! The outbound that leads nowhere (section 3.6).

mod options;
mod outbound;

pub use options::{OutboundOptions, Response};
pub use outbound::Outbound;
