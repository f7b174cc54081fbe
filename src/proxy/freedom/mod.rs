//! The outbound that goes straight to the target (section 3.5).

mod final_rules;
mod options;
mod outbound;
mod rounds;

pub use options::{DomainStrategy, FinalRule, OutboundOptions};
pub use outbound::Outbound;
