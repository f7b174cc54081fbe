use std::fmt;
use std::io;

use super::servers::NoServer;
use crate::link::{DispatchError, LinkError};
use crate::net::AddressError;

/// Why a proxy ended a connection before its time.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The peer did not speak the protocol: what was wrong.
    Malformed(&'static str),
    /// The peer named an address that cannot be.
    Address(AddressError),
    /// The peer may not, or asked for what is not offered.
    Refused(&'static str),
    /// The handshake took too long.
    Timeout,
    /// The connection failed.
    Io(io::Error),
    /// The request was not carried to its target, or was cut.
    Dispatch(DispatchError),
}

impl ProxyError {
    /// Which server on the way could not be reached, and why, if that is the
    /// cause: the visitor can do nothing for it.
    pub fn of_server(&self) -> Option<&(dyn std::error::Error + 'static)> {
        NoServer::behind(self).map(|cause| cause as _)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Malformed(what) => write!(f, "malformed request: {what}"),
            ProxyError::Address(_) => f.write_str("malformed request: bad address"),
            ProxyError::Refused(why) => f.write_str(why),
            ProxyError::Timeout => f.write_str("handshake took too long"),
            ProxyError::Io(_) => f.write_str("connection failed"),
            ProxyError::Dispatch(_) => f.write_str("request failed"),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ProxyError::Address(inner) => Some(inner),
            ProxyError::Io(inner) => Some(inner),
            ProxyError::Dispatch(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::TimedOut => ProxyError::Timeout,
            _ => ProxyError::Io(e),
        }
    }
}

impl From<AddressError> for ProxyError {
    fn from(e: AddressError) -> Self {
        ProxyError::Address(e)
    }
}

impl From<DispatchError> for ProxyError {
    fn from(e: DispatchError) -> Self {
        ProxyError::Dispatch(e)
    }
}

impl From<LinkError> for ProxyError {
    fn from(e: LinkError) -> Self {
        ProxyError::Dispatch(DispatchError::Link(e))
    }
}
