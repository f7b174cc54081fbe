use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// The hash of a certificate chain, as V2Ray 5 and Xray compute it: the
/// SHA-256 of the first certificate, and for each one that follows the SHA-256
/// of the hash so far and that certificate's own.
///
/// It is written in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; SHA256_OUTPUT_LEN]);

impl Pin {
    /// The hash of certificates in DER, in the order in which a server sends
    /// them; `None` if there are none.
    pub fn of_chain<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let hashes = certificates.into_iter().map(sha256);
        hashes
            .reduce(|chain, next| sha256(&[chain, next].concat()))
            .map(Self)
    }

    /// The hash of a chain, computed elsewhere.
    pub fn from_bytes(hash: [u8; SHA256_OUTPUT_LEN]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub fn to_bytes(self) -> [u8; SHA256_OUTPUT_LEN] {
        self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// The text is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinError;

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the base64 form of a SHA-256 hash")
    }
}

impl std::error::Error for PinError {}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let bytes = STANDARD.decode(text).map_err(|_| PinError)?;
        bytes.try_into().map(Self).map_err(|_| PinError)
    }
}

fn sha256(data: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, data).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_has_its_own_hash() {
        let pin = Pin::of_chain([&b"abc"[..]]).unwrap();
        let known = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; // FIPS 180-2, B.1
        assert_eq!(pin.to_string(), known);
        assert_eq!(known.parse(), Ok(pin));
    }

    #[test]
    fn each_further_one_is_hashed_into_it() {
        let chain = Pin::of_chain([&b"leaf"[..], b"root"]).unwrap();
        let both = [sha256(b"leaf"), sha256(b"root")].concat();
        assert_eq!(chain, Pin(sha256(&both)));
        assert_ne!(Some(chain), Pin::of_chain([&b"root"[..], b"leaf"]));
        assert_eq!(Pin::of_chain([]), None);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in ["", "abc", "YWJj", "not base64 at all"] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }
}
