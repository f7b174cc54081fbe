//! Connections in layers. At the bottom is a TCP connection; what
//! [`StreamOptions`] name stands on it, each layer a link's halves that take
//! others: security, then framing. Proxies speak on top, first in a
//! [`Handshake`], then on the link that it leaves.
//!
//! Whatever is negotiated, in all layers together, is bound by one deadline;
//! it is lifted when the proxy's part is over. Limits of listeners, idle times
//! and cuts act on the socket, below all layers.

mod acceptor;
mod connection;
mod dialer;
mod handshake;
mod options;

pub use acceptor::Acceptor;
pub use connection::Connection;
pub use dialer::Dialer;
pub use handshake::Handshake;
pub use options::{Framing, Security, StreamOptions};
