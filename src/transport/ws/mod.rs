//! WebSocket connections (RFC 6455; section 7.2) on links.
//!
//! The bytes of a link go into binary messages, one frame each; where frames
//! and messages begin and end means nothing to the reader, as in V2Ray. The
//! upgrade and the frames are our own code on `httparse`, `sha1_smol` and
//! `base64`: what there is of WebSocket libraries owns the stream that it
//! works on, both directions together, and copies what it reads and writes.
//!
//! Whoever writes takes the writing half below out of its place and puts it
//! back, so no lock is held meanwhile. What the reading half has to say, an
//! answer to a ping, is said by who has the writing half, or by a thread that
//! is started for it; the reading half itself never waits to write.
//!
//! # The end of a direction
//!
//! To V2Ray a Close frame is the end of the whole connection: it answers with
//! its own, and what it had still to deliver is lost. So between two muxcool,
//! which find out about each other in the upgrade (the extension
//! [`END_MARK`](head::END_MARK)), an empty message says that its sender has
//! said all; the Close frames follow when both have.
//!
//! To others, [`close`](crate::link::Writer::close) says nothing yet: the Close
//! frame waits until the peer has sent its own, or nothing for
//! [`END_QUIET`](crate::limits::END_QUIET). A Close frame without a code, or
//! with that of a normal end, is an orderly end; another code, and the end of
//! the link below without a Close frame, are not.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod decoder;
mod encoder;
mod error;
pub mod head;
mod negotiate;
mod options;
mod outlet;
mod reader;
pub mod wire;
mod writer;

pub use decoder::{Decoder, End, Seen};
pub use encoder::Encoder;
pub use error::UpgradeError;
pub use negotiate::{accept, connect};
pub use options::Options;
