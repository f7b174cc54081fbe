//! The outbound that goes straight to the target (section 3.5).

mod options;

pub use options::{DomainStrategy, OutboundOptions};
