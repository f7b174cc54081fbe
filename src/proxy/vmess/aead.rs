//! The two ciphers that also tell whether bytes are what was encrypted.

use ring::aead::{
    AES_128_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey,
};

use super::wire::TAG;

/// Bytes that go with a key, to be used once with it.
pub(super) type NonceBytes = [u8; 12];

/// A key and its cipher. It is its user's business that no nonce comes twice.
///
/// It is there: keys have their cipher's length. Without it nothing could be
/// opened, and what is sealed would be lost.
pub(super) struct AeadKey(Option<LessSafeKey>);

/// The bytes are not what was encrypted.
#[derive(Debug)]
pub(super) struct Forged;

impl AeadKey {
    /// AES-128-GCM.
    pub(super) fn gcm(key: &[u8; 16]) -> Self {
        Self::new(&AES_128_GCM, key)
    }

    /// ChaCha20-Poly1305.
    pub(super) fn chacha(key: &[u8; 32]) -> Self {
        Self::new(&CHACHA20_POLY1305, key)
    }

    /// Encrypts in place; `additional` is authenticated, too.
    pub(super) fn seal(&self, nonce: NonceBytes, additional: &[u8], plain: &mut [u8]) -> [u8; TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = self.0.as_ref();
        let sealed = key.and_then(|key| {
            let aad = Aad::from(additional);
            key.seal_in_place_separate_tag(nonce, aad, plain).ok()
        });
        let mut tag = [0; TAG];
        match sealed {
            Some(sealed) => tag.copy_from_slice(sealed.as_ref()),
            None => plain.fill(0), // not even more than 64 GiB leave as they are
        }
        tag
    }

    /// Decrypts in place.
    pub(super) fn open(
        &self,
        nonce: NonceBytes,
        additional: &[u8],
        sealed: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<(), Forged> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(additional);
        let key = self.0.as_ref().ok_or(Forged)?;
        let opened = key.open_in_place_separate_tag(nonce, aad, Tag::from(*tag), sealed, 0..);
        opened.map(drop).map_err(|_| Forged)
    }

    fn new(algorithm: &'static Algorithm, key: &[u8]) -> Self {
        Self(UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new))
    }
}
