use std::fmt;
use std::io;

/// Why a connection does not begin with a usable PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// It begins with something else.
    Missing,
    /// It ended within the header.
    Cut,
    /// The header is longer than its version allows, or than
    /// [`MAX_PROXY_HEADER`](crate::limits::MAX_PROXY_HEADER).
    TooLong,
    /// This part of the header is not what its version says.
    Malformed(&'static str),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Missing => f.write_str("the connection begins without a PROXY header"),
            HeaderError::Cut => f.write_str("the connection ended within its PROXY header"),
            HeaderError::TooLong => f.write_str("the PROXY header is too long"),
            HeaderError::Malformed(what) => write!(f, "the PROXY header has a bad {what}"),
        }
    }
}

impl std::error::Error for HeaderError {}

impl From<HeaderError> for io::Error {
    fn from(e: HeaderError) -> Self {
        let kind = match e {
            HeaderError::Cut => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, e)
    }
}
