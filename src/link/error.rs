use std::fmt;
use std::io;

use crate::pipe::PipeError;

/// Why a link did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// Written after this side ended the direction.
    Closed,
    /// Ended by force, here or on the other side: data may be missing.
    Reset,
    /// Nothing happened within the time given; the link is usable.
    TimedOut,
    /// Nothing can be done without waiting; the link is usable.
    WouldBlock,
    /// The other side broke the protocol that the link speaks.
    Protocol(&'static str),
    /// The system reported an error.
    Io(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Closed => f.write_str("link is closed"),
            LinkError::Reset => f.write_str("link was reset"),
            LinkError::TimedOut => f.write_str("link timed out"),
            LinkError::WouldBlock => f.write_str("link is not ready"),
            LinkError::Protocol(what) => write!(f, "protocol error: {what}"),
            LinkError::Io(_) => f.write_str("link failed"),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LinkError::Io(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<PipeError> for LinkError {
    fn from(e: PipeError) -> Self {
        match e {
            PipeError::Closed => LinkError::Closed,
            PipeError::Interrupted => LinkError::Reset,
            PipeError::TimedOut => LinkError::TimedOut,
            PipeError::Full => LinkError::WouldBlock,
        }
    }
}

/// Sorts out the kinds that mean something to a link.
impl From<io::Error> for LinkError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => LinkError::Reset,
            io::ErrorKind::WouldBlock => LinkError::WouldBlock,
            io::ErrorKind::TimedOut => LinkError::TimedOut,
            _ => LinkError::Io(e),
        }
    }
}

/// For applications that use a link as a stream of the standard library.
impl From<LinkError> for io::Error {
    fn from(e: LinkError) -> Self {
        let kind = match e {
            LinkError::Io(inner) => return inner,
            LinkError::Closed => io::ErrorKind::BrokenPipe,
            LinkError::Reset => io::ErrorKind::ConnectionReset,
            LinkError::TimedOut => io::ErrorKind::TimedOut,
            LinkError::WouldBlock => io::ErrorKind::WouldBlock,
            LinkError::Protocol(_) => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, e)
    }
}
