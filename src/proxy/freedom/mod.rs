//! The outbound that goes straight to the target (section 3.5).

mod options;
mod outbound;

pub use options::{DomainStrategy, OutboundOptions};
pub use outbound::Outbound;
