//! Files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::ConfigError;
use super::json;
use crate::limits::MAX_CONFIG_SIZE;

/// V2Ray's name for standard input, in place of a file's.
const STDIN: &str = "stdin:";

/// The text of a file, and the name that messages call it by.
pub(super) fn read(path: &Path) -> Result<(String, String), ConfigError> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|error| unreadable(&name, error))?;
    if bytes.len() > MAX_CONFIG_SIZE {
        let what = format!("larger than {MAX_CONFIG_SIZE} bytes");
        return Err(ConfigError::file(&name, what));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
            Err(json::mistake_after(&name, &before, "this is not UTF-8"))
        }
    }
}

fn unreadable(name: &str, error: io::Error) -> ConfigError {
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            let what = "cannot read the configuration: it is a directory";
            ConfigError::file(name, what).help("--confdir reads the files in one")
        }
        _ => ConfigError::unreadable(name, error),
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() == STDIN {
        return bounded(io::stdin().lock());
    }
    bounded(File::open(path)?)
}

/// Reads one byte more than is allowed, to tell.
fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(MAX_CONFIG_SIZE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
