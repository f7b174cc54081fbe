use std::error::Error;
use std::fmt;
use std::io;

use crate::config::ConfigError;
use crate::reverse::ReverseError;
use crate::router::DuplicateTag;

/// Why a plan could not be set in motion.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration asks for something that cannot be had here, such as
    /// a port that is in use.
    Config(ConfigError),
    /// Two outbounds have one tag.
    DuplicateTag(DuplicateTag),
    /// A portal or a bridge cannot be.
    Reverse(ReverseError),
    /// The access log cannot be written where it should go.
    AccessLog(io::Error),
    /// It is to end, and takes no other plan.
    Ending,
    /// The system refused what every run needs.
    System(io::Error),
}

impl StartError {
    /// Whether it may go well at another time, without a change of the plan.
    pub fn is_passing(&self) -> bool {
        match self {
            StartError::Config(inner) => inner.is_passing(),
            StartError::System(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(inner) => inner.fmt(f),
            StartError::DuplicateTag(inner) => inner.fmt(f),
            StartError::Reverse(_) => f.write_str("cannot start the reverse tunnel"),
            StartError::AccessLog(_) => f.write_str("cannot open the access log"),
            StartError::Ending => f.write_str("the program is about to end"),
            StartError::System(_) => f.write_str("cannot start"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Config(_) | StartError::DuplicateTag(_) | StartError::Ending => None,
            StartError::Reverse(inner) => Some(inner),
            StartError::AccessLog(inner) | StartError::System(inner) => Some(inner),
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(e: ConfigError) -> Self {
        StartError::Config(e)
    }
}

impl From<DuplicateTag> for StartError {
    fn from(e: DuplicateTag) -> Self {
        StartError::DuplicateTag(e)
    }
}

impl From<ReverseError> for StartError {
    fn from(e: ReverseError) -> Self {
        StartError::Reverse(e)
    }
}

impl From<io::Error> for StartError {
    fn from(e: io::Error) -> Self {
        StartError::System(e)
    }
}
