//! The HTTP proxy protocol, as inbound (section 3.3; RFC 9110 section 9.3.6,
//! RFC 9112 section 3.2).

mod options;

pub use options::InboundOptions;
