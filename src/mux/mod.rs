//! Mux.Cool: many sessions on one carrier (sections 6, 8 and 11 to 14).
//!
//! A carrier is any [`Link`](crate::link::Link). On one end of it a
//! [`ClientWorker`] opens sessions, on the other a [`ServerWorker`] takes them
//! to a dispatcher, or a [`MuxServer`] hands them to an application.
//! [`ClientManager`] spreads sessions over the carriers of its
//! [`WorkerPicker`].
//!
//! ```text
//!   session ─┐            ┌─ whoever queues a frame ─┐                        ┌─▶ consumer
//!   session ─┼─▶ lanes ───┤                          ├─▶ carrier ═▶ reader ─┼─▶ consumer
//!   session ─┘ (64–512 KiB) └─ mux-wr, what is left ─┘                        └─▶ parked ─ mux-dr ─▶ consumer
//! ```
//!
//! # In place of connections
//!
//! | `std::net` | here |
//! |---|---|
//! | `TcpStream::connect` | [`ClientWorker::open`], which waits for nothing: of a target that is refused the first read tells |
//! | `TcpListener::accept` | [`MuxServer::accept`], or with a timeout [`accept_timeout`](MuxServer::accept_timeout); once the carrier has ended, [`MuxError::Closed`] if that was in order and [`MuxError::CarrierLost`] if not; [closing](ServerWorker::close) its [worker](MuxServer::worker) ends it from another thread |
//! | a stream outlives the listener | dropping the [`MuxServer`] or [`ClientWorker`] ends the carrier, and with it all its streams |
//! | a linger of zero, for a reset | [`MuxStream::abort`]; a drop is an orderly end |
//! | `peer_addr` | [`MuxStream::peer`], the target that was asked for |
//! | `set_nodelay`, `flush` | not needed: what is written goes out at once |
//! | `set_nonblocking`, `peek`, a descriptor to poll | none: a thread for each direction, or timeouts |
//!
//! A client's carrier that has had no session for 16 to 32 s is closed, and the next
//! `open` is [`MuxError::Closed`], unless [`ClientOptions::keep_idle`] is set. One that
//! is lost stays lost: dial, and make a new worker, or leave that to
//! [`ClientManager`].
//!
//! # Inside
//!
//! - pure: `frame` (metadata as bytes), `codec` (frames out of a stream),
//!   `extension` (what muxcool peers tell each other), `credit`, `liveness` and
//!   `idle_frames` (arithmetic), `table` (ids);
//! - what leaves: `lanes` (what waits, by urgency), `outgoing` (who sends it),
//!   `grants` (credit that travels together);
//! - what arrives: `demux` (a carrier's reader), `inlet` (one session's bytes, on
//!   their way to its consumer), `parked` (those that wait for it), `bounds` (of
//!   these, and of how long a carrier is held up), `part` (shares of counts that
//!   all have);
//! - one session: `flow` holds either direction back, `session` is all of it
//!   with both ends (its `arriving` and `leaving` are the two ways), `halves` and
//!   `stream` are what others hold of it;
//! - one carrier: `carrier` owns the threads, `peer` is what is known of the
//!   other side, `probes` asks whether it is there, `drain` lets it come to an
//!   end; `client` and `server` are its two ends;
//! - many carriers: `factory`, `picker`, `manager`, `dispatcher`.
//!
//! A frame is one buffer on its way out, but for a stream's large pieces: if
//! nobody else sends, they are sent from where the application has them. On its
//! way in, payload is written to the consumer straight out of the buffer that
//! the carrier was read into, and copied only if the consumer does not take it
//! at once; one that keeps what it gets, as a pipe does, is given the buffer, if
//! hardly anything else is in it.

mod bounds;
mod carrier;
mod client;
mod codec;
mod credit;
mod demux;
mod dispatcher;
mod drain;
mod error;
mod extension;
mod factory;
mod flow;
mod frame;
mod grants;
mod halves;
mod idle_frames;
mod inlet;
mod lanes;
mod liveness;
mod manager;
mod options;
mod outgoing;
mod parked;
mod part;
mod peer;
mod picker;
mod probes;
mod roster;
#[cfg(all(test, feature = "schedules"))]
mod schedules;
mod server;
mod session;
mod stats;
mod status;
mod stream;
mod table;
mod wakes;

pub use client::{ClientWorker, ControlSession};
pub use codec::{Event, FrameDecoder};
pub use dispatcher::MuxDispatcher;
pub use drain::Left;
pub use error::MuxError;
pub use extension::{ExtensionError, Hello, Message};
pub use factory::{ClientWorkerFactory, DialingWorkerFactory};
pub use frame::{
    FrameError, FrameMetadata, FrameOption, OriginError, SessionStatus, TargetError, end_frame,
    keep_header, new_header, new_header_from,
};
pub use manager::{ClientManager, MuxOutbound};
pub use options::{CarrierOptions, ClientOptions, LivenessTimes, OptionsError};
pub use picker::{IncrementalWorkerPicker, WorkerPicker};
pub use roster::{Roster, RosterReport, Totals};
pub use server::{MuxServer, ServerWorker};
pub use stats::WorkerStats;
pub use status::{CarrierState, CarrierStatus, StreamStatus};
pub use stream::MuxStream;
pub use table::{ClientStrategy, SessionManager, TableError};
