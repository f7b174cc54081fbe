use std::error::Error;
use std::fmt;
use std::io;

use super::extension::ExtensionError;
use super::frame::FrameError;
use super::options::OptionsError;
use super::table::TableError;
use crate::link::{DispatchError, LinkError};
use crate::net::AddressError;

/// Why a carrier or one of its sessions failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum MuxError {
    /// The carrier takes no more sessions: closed or draining.
    Closed,
    /// As many sessions are open as may be.
    SessionLimit,
    /// The carrier's session ids, or its lifetime of sessions, are used up.
    IdsExhausted,
    /// No carrier could be had in as many tries as there are.
    NoWorker,
    /// The peer refused the session, or ended it with an error.
    SessionReset,
    /// The session was ended from this side.
    Aborted,
    /// The carrier ended under the session.
    CarrierLost,
    /// The peer has been silent for too long.
    Silent,
    /// The peer has read nothing for too long.
    Unread,
    /// The peer has sent too many frames that bring nothing.
    Flood,
    /// No answer came in time.
    TimedOut,
    /// The peer broke the protocol of muxcool peers.
    Extension(ExtensionError),
    /// The peer sent bytes that are not frames.
    Frame(FrameError),
    /// The carrier's link failed.
    Link(LinkError),
    /// A carrier's target is not a host name.
    CarrierTarget(AddressError),
    /// A carrier could not be dialled.
    Dial(DispatchError),
    /// The carrier's settings are out of range.
    Options(OptionsError),
    /// A thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for MuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MuxError::Closed => "carrier takes no more sessions",
            MuxError::SessionLimit => "too many sessions on this carrier",
            MuxError::IdsExhausted => "carrier has used up its sessions",
            MuxError::NoWorker => "no carrier is available",
            MuxError::SessionReset => "session was reset by the peer",
            MuxError::Aborted => "session was aborted on this side",
            MuxError::CarrierLost => "carrier ended under the session",
            MuxError::Silent => "peer is silent",
            MuxError::Unread => "peer does not read",
            MuxError::Flood => "peer sends nothing but empty frames, or frames for no session",
            MuxError::TimedOut => "no answer came in time",
            MuxError::Extension(_) => "peer broke the extensions' protocol",
            MuxError::Frame(_) => "peer broke the framing",
            MuxError::Link(_) => "carrier failed",
            MuxError::CarrierTarget(_) => "carrier has no valid target",
            MuxError::Dial(_) => "carrier could not be opened",
            MuxError::Options(_) => "carrier cannot have these settings",
            MuxError::Thread(_) => "thread could not be started",
        })
    }
}

impl Error for MuxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            MuxError::Extension(inner) => Some(inner),
            MuxError::Frame(inner) => Some(inner),
            MuxError::Link(inner) => Some(inner),
            MuxError::CarrierTarget(inner) => Some(inner),
            MuxError::Dial(inner) => Some(inner),
            MuxError::Options(inner) => Some(inner),
            MuxError::Thread(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<TableError> for MuxError {
    fn from(e: TableError) -> Self {
        match e {
            TableError::Closed => MuxError::Closed,
            TableError::Full | TableError::Duplicate => MuxError::SessionLimit,
            TableError::Exhausted => MuxError::IdsExhausted,
        }
    }
}

impl From<FrameError> for MuxError {
    fn from(e: FrameError) -> Self {
        MuxError::Frame(e)
    }
}

impl From<ExtensionError> for MuxError {
    fn from(e: ExtensionError) -> Self {
        MuxError::Extension(e)
    }
}

impl From<OptionsError> for MuxError {
    fn from(e: OptionsError) -> Self {
        MuxError::Options(e)
    }
}

impl From<LinkError> for MuxError {
    fn from(e: LinkError) -> Self {
        MuxError::Link(e)
    }
}

impl From<MuxError> for DispatchError {
    fn from(e: MuxError) -> Self {
        DispatchError::Other(Box::new(e))
    }
}

/// For applications that use a stream of the standard library's shape.
impl From<MuxError> for io::Error {
    fn from(e: MuxError) -> Self {
        let kind = match &e {
            MuxError::SessionReset => io::ErrorKind::ConnectionReset,
            MuxError::CarrierLost | MuxError::Aborted => io::ErrorKind::ConnectionAborted,
            MuxError::Frame(_) | MuxError::Extension(_) => io::ErrorKind::InvalidData,
            MuxError::Silent | MuxError::Unread | MuxError::TimedOut => io::ErrorKind::TimedOut,
            MuxError::Closed | MuxError::IdsExhausted => io::ErrorKind::NotConnected,
            MuxError::Options(_) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, e)
    }
}
