//! Every constant of the crate: what the protocol fixes, and what we chose.
//!
//! Section numbers refer to the wire description, [`crate::spec`]. The defaults of
//! all settings are here, and nowhere else.
//!
//! # Memory
//!
//! Whatever peers send and consumers leave, no more than this waits in memory.
//! A buffer has up to 64 KiB, and so has a frame.
//!
//! | of | waits, with the default settings |
//! |---|---|
//! | a stream from a plain peer | [`PARKED_PER_SESSION`] and a buffer; while [`PARKED_PER_CARRIER`] wait on its carrier or [`PARKED_PER_PROCESS`] in the process, [`PARKED_UNDER_PRESSURE`] and a buffer |
//! | a stream from a muxcool peer | its window, which has [`INITIAL_WINDOW`] to [`MAX_WINDOW`], and a frame |
//! | a datagram session | [`PARKED_DATAGRAMS`] datagrams, and no more bytes than a plain stream and a frame |
//! | any session | besides, a buffer on its way out; and [`SESSION_PIPE`] if an application reads it by itself |
//! | a carrier | [`CARRIER_PIPE`], or up to [`CARRIER_PIPE_MOST`] if it is fast, and [`CONTROL_PIPE`], a frame each way; in the system [`UNSENT`], and what the system receives |
//! | a connection in its handshake | [`MAX_HANDSHAKE`], of HTTP [`MAX_HTTP_HEAD`], of TLS 64 KiB; and a buffer |
//! | a connection that is no carrier | a buffer each way |
//! | a flow of datagrams of an inbound | [`UDP_FLOW_QUEUE`] and a datagram |
//! | the process, from plain peers | [`PARKED_PER_PROCESS`], and [`PARKED_UNDER_PRESSURE`] and a buffer for each session |
//! | the process, from muxcool peers | [`GROWN_PER_PROCESS`] and a window, and [`INITIAL_WINDOW`] and a frame for each session |
//!
//! A carrier has at most [`SERVER_SESSIONS`] sessions that its peer has opened,
//! the process [`SESSIONS_PER_PROCESS`]; an inbound's listener has [`CONNECTIONS`]
//! and [`UDP_FLOWS`], and of the former [`HANDSHAKES`] in their handshake. Buffers
//! that are free again are kept, [`POOLED_PER_CLASS`] of each size.

mod configuration;
mod connections;
mod control;
mod fixed;
mod logs;
mod mux;
mod process;
mod protocols;
mod reverse;
mod service;

pub use configuration::*;
pub use connections::*;
pub use control::*;
pub use fixed::*;
pub use logs::*;
pub use mux::*;
pub use process::*;
pub use protocols::*;
pub use reverse::*;
pub use service::*;
