use super::wire::{Decoded, WireError};
use crate::proxy::ProxyError;
use crate::transport::stream::Handshake;
use crate::wire::Cursor;

/// Reads one message, and nothing behind it: byte by byte out of the
/// handshake's buffer, until the decoder has enough. The messages are short
/// and bounded, so starting anew each time costs little.
pub(super) fn read_message<T>(
    from: &mut Handshake,
    decode: fn(&mut Cursor<'_>) -> Decoded<T>,
) -> Result<T, ProxyError> {
    let mut bytes = Vec::new();
    loop {
        match decode(&mut Cursor::new(&bytes)) {
            Err(WireError::Short(_)) => bytes.push(from.u8()?),
            Err(e) => return Err(e.into()),
            Ok(message) => return Ok(message),
        }
    }
}

impl From<WireError> for ProxyError {
    fn from(e: WireError) -> Self {
        match e {
            WireError::Short(missing) => ProxyError::Malformed(missing.field),
            WireError::Address(inner) => ProxyError::Address(inner),
            WireError::Malformed(what) => ProxyError::Malformed(what),
        }
    }
}
