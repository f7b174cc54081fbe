use std::fmt;
use std::io;

use super::head::{Refusal, ResponseError};

/// Why a connection did not become a WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The head is longer than [`MAX_WS_HEAD`](crate::limits::MAX_WS_HEAD).
    TooLong,
    /// The connection ended within the head.
    Cut,
    /// The visitor asked for something else.
    Refused(Refusal),
    /// The server did not agree.
    Response(ResponseError),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::TooLong => f.write_str("WebSocket upgrade: the HTTP head is too long"),
            UpgradeError::Cut => f.write_str("WebSocket upgrade: the peer has hung up"),
            UpgradeError::Refused(_) => f.write_str("WebSocket upgrade refused"),
            UpgradeError::Response(_) => f.write_str("WebSocket upgrade failed"),
        }
    }
}

impl std::error::Error for UpgradeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            UpgradeError::Refused(inner) => Some(inner),
            UpgradeError::Response(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<UpgradeError> for io::Error {
    fn from(e: UpgradeError) -> Self {
        let kind = match e {
            UpgradeError::Cut => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, e)
    }
}
