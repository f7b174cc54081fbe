//! UDP sockets as links: every buffer is one datagram, an empty buffer is an
//! empty datagram.
//!
//! [`connect`] makes a link of an outbound socket; [`Flows`] is the server
//! side, where each visitor's conversation with one target is a link.
//!
//! UDP loses what finds no room, so nothing here waits for a slow peer: what a
//! full socket buffer or a full queue does not take is dropped and counted.

mod flow;
mod flows;
mod halves;
mod options;
mod port;
mod socket;
mod stats;

pub use flows::{Flows, Seat, Service};
pub use halves::{UdpReader, UdpWriter, connect};
pub use options::FlowLimits;
pub use socket::bind;
pub use stats::FlowStats;
