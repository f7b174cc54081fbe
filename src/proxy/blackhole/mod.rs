//! The outbound that leads nowhere (section 3.6).

mod options;

pub use options::{OutboundOptions, Response};
