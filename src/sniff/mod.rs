//! Reading a stream's first bytes for the protocol that it speaks and the host
//! that it is for (section 5.4).

mod dispatcher;
mod http;
mod look;
mod options;
mod tls;
pub mod wire;

pub use dispatcher::Sniffer;
pub use options::SniffingOptions;
