use std::error::Error;
use std::fmt;
use std::io;

use crate::mux::OptionsError;
use crate::net::{Address, AddressError};
use crate::router::DuplicateTag;

/// Why there is no portal or bridge.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReverseError {
    /// It needs a tag.
    EmptyTag,
    /// It needs a domain.
    EmptyDomain,
    /// The domain cannot be a host name.
    BadDomain(AddressError),
    /// An outbound with this tag is there already.
    DuplicateTag(DuplicateTag),
    /// Its carriers' settings are out of range.
    Options(OptionsError),
    /// A thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for ReverseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReverseError::EmptyTag => "tag is empty",
            ReverseError::EmptyDomain => "domain is empty",
            ReverseError::BadDomain(_) => "domain is not a host name",
            ReverseError::DuplicateTag(_) => "tag is in use",
            ReverseError::Options(_) => "carriers cannot have these settings",
            ReverseError::Thread(_) => "thread could not be started",
        })
    }
}

impl Error for ReverseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ReverseError::BadDomain(inner) => Some(inner),
            ReverseError::DuplicateTag(inner) => Some(inner),
            ReverseError::Options(inner) => Some(inner),
            ReverseError::Thread(inner) => Some(inner),
            _ => None,
        }
    }
}

impl ReverseError {
    /// Checks what a portal or a bridge is called, and what it is found by.
    pub(super) fn check_names(tag: &str, domain: &str) -> Result<(), Self> {
        if tag.is_empty() {
            return Err(ReverseError::EmptyTag);
        }
        if domain.is_empty() {
            return Err(ReverseError::EmptyDomain);
        }
        match domain.parse() {
            Ok(Address::Domain(_)) => Ok(()),
            Ok(Address::Ip(_)) => Err(ReverseError::BadDomain(AddressError::InvalidDomain)),
            Err(e) => Err(ReverseError::BadDomain(e)),
        }
    }
}
