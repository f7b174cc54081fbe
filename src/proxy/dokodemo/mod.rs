//! An inbound that takes every connection to one fixed target (section 3.4).

mod options;

pub use options::InboundOptions;
