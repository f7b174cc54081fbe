//! Reading a stream's first bytes for the protocol that it speaks and the host
//! that it is for (section 5.4).

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod dispatcher;
mod http;
mod look;
mod options;
mod tls;
pub mod wire;

pub use dispatcher::Sniffer;
pub use options::SniffingOptions;
