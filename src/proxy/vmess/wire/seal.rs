//! Headers sealed, and opened again (sections 2.2 and 2.5).

use std::fmt;

use super::super::aead::{AeadKey, NonceBytes};
use super::super::auth_id::AuthId;
use super::super::kdf::kdf_part;
use super::{BodyKeys, ConnectionNonce, HeaderError, SEALED_LENGTH, TAG};
use crate::wire::Cursor;

/// Seals what has to be read before anything else is known, and opens it.
pub struct HeaderSeal {
    length: Sealing,
    header: Sealing,
    additional: Vec<u8>,
}

struct Sealing {
    key: AeadKey,
    nonce: NonceBytes,
}

impl Sealing {
    fn new(key: [u8; 16], nonce: NonceBytes) -> Self {
        Self {
            key: AeadKey::gcm(&key),
            nonce,
        }
    }

    fn seal(&self, out: &mut Vec<u8>, plain: &[u8], additional: &[u8]) {
        let mut sealed = plain.to_vec();
        let tag = self.key.seal(self.nonce, additional, &mut sealed);
        out.append(&mut sealed);
        out.extend_from_slice(&tag);
    }

    fn open(&self, sealed: &[u8], additional: &[u8]) -> Result<Vec<u8>, HeaderError> {
        let (bytes, tag) = sealed
            .split_last_chunk::<TAG>()
            .ok_or(HeaderError::Forged)?;
        let mut plain = bytes.to_vec();
        self.key
            .open(self.nonce, additional, &mut plain, tag)
            .map_err(|_| HeaderError::Forged)?;
        Ok(plain)
    }
}

impl HeaderSeal {
    /// For the request of the user with this command key (section 2.2).
    pub fn of_request(command_key: &[u8; 16], id: &AuthId, nonce: &ConnectionNonce) -> Self {
        let sealing = |key_salt: &[u8], nonce_salt: &[u8]| {
            let path = |salt| [salt, &id[..], &nonce[..]];
            Sealing::new(
                kdf_part(command_key, &path(key_salt)),
                kdf_part(command_key, &path(nonce_salt)),
            )
        };
        Self {
            length: sealing(
                b"VMess Header AEAD Key_Length",
                b"VMess Header AEAD Nonce_Length",
            ),
            header: sealing(b"VMess Header AEAD Key", b"VMess Header AEAD Nonce"),
            additional: id.to_vec(),
        }
    }

    /// For a response whose body has these keys (section 2.5).
    pub fn of_response(keys: &BodyKeys) -> Self {
        let sealing = |key_salt: &[u8], nonce_salt: &[u8]| {
            Sealing::new(
                kdf_part(&keys.key, &[key_salt]),
                kdf_part(&keys.iv, &[nonce_salt]),
            )
        };
        Self {
            length: sealing(b"AEAD Resp Header Len Key", b"AEAD Resp Header Len IV"),
            header: sealing(b"AEAD Resp Header Key", b"AEAD Resp Header IV"),
            additional: Vec::new(),
        }
    }

    /// Appends the sealed length of `plain`; it must have less than 64 KiB.
    pub fn seal_length(&self, out: &mut Vec<u8>, plain: &[u8]) {
        let len = (plain.len() as u16).to_be_bytes();
        self.length.seal(out, &len, &self.additional);
    }

    /// Appends `plain`, sealed.
    pub fn seal(&self, out: &mut Vec<u8>, plain: &[u8]) {
        self.header.seal(out, plain, &self.additional);
    }

    /// Reads a sealed length: of the plain text, in bytes.
    ///
    /// # Errors
    /// [`HeaderError::Forged`].
    pub fn open_length(&self, sealed: &[u8; SEALED_LENGTH]) -> Result<usize, HeaderError> {
        let plain = self.length.open(sealed, &self.additional)?;
        Ok(Cursor::new(&plain).u16("length")?.into())
    }

    /// Reads a sealed header.
    ///
    /// # Errors
    /// [`HeaderError::Forged`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, HeaderError> {
        self.header.open(sealed, &self.additional)
    }
}

impl fmt::Debug for HeaderSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderSeal")
    }
}

/// A whole request in front of its body: `plain` is what
/// [`write_header`](super::write_header) has written.
pub fn seal_request(
    command_key: &[u8; 16],
    id: AuthId,
    nonce: ConnectionNonce,
    plain: &[u8],
) -> Vec<u8> {
    let seal = HeaderSeal::of_request(command_key, &id, &nonce);
    let mut out = id.to_vec();
    seal.seal_length(&mut out, plain);
    out.extend_from_slice(&nonce);
    seal.seal(&mut out, plain);
    out
}

/// A whole response in front of its body, which has these keys: it repeats
/// the request's byte, and has no options and no command.
pub fn seal_response(keys: &BodyKeys, answer: u8) -> Vec<u8> {
    let plain = [answer, 0, 0, 0];
    let seal = HeaderSeal::of_response(keys);
    let mut out = Vec::with_capacity(SEALED_LENGTH + plain.len() + TAG);
    seal.seal_length(&mut out, &plain);
    seal.seal(&mut out, &plain);
    out
}
