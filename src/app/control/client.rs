use std::error::Error;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::lines;
use crate::limits::{CONTROL_ANSWER, CONTROL_PATIENCE};

/// Why there was no answer, or not the one that was hoped for.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens there, or not to us.
    Unreachable(io::Error),
    /// Whoever listens does not answer, or not in time.
    Silent(io::Error),
    /// The answer is none.
    Nonsense,
    /// The program says why not.
    Refused(String),
}

/// Sends `request`, an object with a `command`, to the control socket at `path`
/// and waits for the answer, `limit` at the most.
///
/// # Errors
/// See [`AskError`].
pub fn ask(path: &Path, request: &Value, limit: Duration) -> Result<Value, AskError> {
    let stream = connect(path).map_err(AskError::Unreachable)?;
    lines::write(&stream, request, CONTROL_PATIENCE).map_err(AskError::Silent)?;
    let line = lines::read(&stream, CONTROL_ANSWER, limit).map_err(AskError::Silent)?;
    let mut answer: Value = serde_json::from_slice(&line).map_err(|_| AskError::Nonsense)?;
    if let Some(Value::String(why)) = answer.get("error") {
        return Err(AskError::Refused(why.clone()));
    }
    let value = answer.get_mut("ok").map(Value::take);
    value.ok_or(AskError::Nonsense)
}

/// A listener whose queue is full would let a connection wait for good.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(CONTROL_PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Unreachable(_) => f.write_str("no muxcool can be reached there"),
            AskError::Silent(_) => f.write_str("the program does not answer"),
            AskError::Nonsense => f.write_str("what listens there does not answer as muxcool does"),
            AskError::Refused(why) => f.write_str(why),
        }
    }
}

impl Error for AskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AskError::Unreachable(inner) | AskError::Silent(inner) => Some(inner),
            AskError::Nonsense | AskError::Refused(_) => None,
        }
    }
}
