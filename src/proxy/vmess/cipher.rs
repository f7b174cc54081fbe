//! What encrypts the chunks of one direction (section 2.4).

use std::fmt;

use super::aead::{AeadKey, Forged, NonceBytes};
use super::kdf::{kdf_part, md5};
use super::wire::{BodyKeys, Security, TAG};

/// Encrypts or decrypts one chunk after the other.
pub(super) struct ChunkCipher {
    key: AeadKey,
    /// The end of every nonce.
    iv: [u8; 10],
    /// The beginning of the next one. It wraps: then nonces come again.
    count: u16,
}

impl ChunkCipher {
    /// For the chunks of a direction with these keys; `None` if they are not
    /// encrypted.
    pub(super) fn of_body(security: Security, keys: &BodyKeys) -> Option<Self> {
        let key = match security {
            Security::Aes128Gcm => AeadKey::gcm(&keys.key),
            Security::Chacha20Poly1305 => AeadKey::chacha(&widened(&keys.key)),
            Security::None => return None,
        };
        Some(Self {
            key,
            iv: nonce_end(&keys.iv),
            count: 0,
        })
    }

    /// For the sizes of chunks: `keys` are those of the request in both
    /// directions.
    pub(super) fn of_sizes(security: Security, keys: &BodyKeys) -> Option<Self> {
        let key = kdf_part(&keys.key, &[b"auth_len"]);
        Self::of_body(security, &BodyKeys { key, iv: keys.iv })
    }

    /// Encrypts in place.
    pub(super) fn seal(&mut self, plain: &mut [u8]) -> [u8; TAG] {
        let nonce = self.nonce();
        self.key.seal(nonce, &[], plain)
    }

    /// Decrypts in place.
    pub(super) fn open(&mut self, sealed: &mut [u8], tag: &[u8; TAG]) -> Result<(), Forged> {
        let nonce = self.nonce();
        self.key.open(nonce, &[], sealed, tag)
    }

    fn nonce(&mut self) -> NonceBytes {
        let mut nonce = [0; 12];
        nonce[..2].copy_from_slice(&self.count.to_be_bytes());
        nonce[2..].copy_from_slice(&self.iv);
        self.count = self.count.wrapping_add(1);
        nonce
    }
}

impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkCipher")
    }
}

fn nonce_end(iv: &[u8; 16]) -> [u8; 10] {
    let [_, _, end @ .., _, _, _, _] = *iv;
    end
}

/// A key of 32 bytes from one of 16.
fn widened(key: &[u8; 16]) -> [u8; 32] {
    let first = md5(&[key]);
    let mut wide = [0; 32];
    wide[..16].copy_from_slice(&first);
    wide[16..].copy_from_slice(&md5(&[&first]));
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern() -> [u8; 16] {
        std::array::from_fn(|i| (i * 7 + 3) as u8)
    }

    /// The nonces and the key that V2Ray 4.34 makes.
    #[test]
    fn nonces_count_and_wrap_and_keys_are_widened_as_in_the_reference() {
        let keys = BodyKeys {
            key: pattern(),
            iv: pattern(),
        };
        let mut cipher = ChunkCipher::of_body(Security::Aes128Gcm, &keys).unwrap();
        let end = [0x11, 0x18, 0x1f, 0x26, 0x2d, 0x34, 0x3b, 0x42, 0x49, 0x50];
        let nonce = |start: [u8; 2]| [&start[..], &end].concat();
        assert_eq!(cipher.nonce().to_vec(), nonce([0, 0]));
        assert_eq!(cipher.nonce().to_vec(), nonce([0, 1]));
        cipher.count = u16::MAX;
        assert_eq!(cipher.nonce().to_vec(), nonce([0xff, 0xff]));
        assert_eq!(cipher.nonce().to_vec(), nonce([0, 0]));
        let wide = [
            0x93, 0x49, 0x80, 0x65, 0xc9, 0x0c, 0x75, 0x11, 0x62, 0x9e, 0xfc, 0x2a, 0x67, 0x6c,
            0xf2, 0x56, 0x34, 0xb8, 0x2e, 0xed, 0x15, 0x30, 0xb3, 0x6f, 0x31, 0x90, 0x09, 0x37,
            0xc9, 0x31, 0x59, 0x8b,
        ];
        assert_eq!(widened(&pattern()), wide);
    }
}
