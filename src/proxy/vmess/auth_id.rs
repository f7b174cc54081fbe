//! The first 16 bytes of a request: who it is and when, encrypted (VMess,
//! section 2.2).

use std::fmt;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use subtle::ConstantTimeEq;

use super::kdf::kdf_part;
use crate::wire::Put;

const SALT: &[u8] = b"AES Auth ID Encryption";

/// An auth id as it is sent.
pub type AuthId = [u8; 16];

/// Makes the auth id of the user with this command key, for a time in seconds
/// since 1970; `random` makes it differ from others of that second.
pub fn make_auth_id(command_key: &[u8; 16], time: i64, random: [u8; 4]) -> AuthId {
    let mut plain = Vec::with_capacity(16);
    plain.put_u64(time.cast_unsigned());
    plain.extend_from_slice(&random);
    plain.put_u32(crc32fast::hash(&plain));
    let mut block = [0; 16];
    block.copy_from_slice(&plain);
    let key: [u8; 16] = kdf_part(command_key, &[SALT]);
    let mut block = block.into();
    Aes128Enc::new(&key.into()).encrypt_block(&mut block);
    block.into()
}

/// Reads one user's auth ids.
#[derive(Clone)]
pub struct AuthIdReader(Aes128Dec);

impl AuthIdReader {
    /// For the user with this command key.
    pub fn new(command_key: &[u8; 16]) -> Self {
        let key: [u8; 16] = kdf_part(command_key, &[SALT]);
        Self(Aes128Dec::new(&key.into()))
    }

    /// The time in an auth id, if it is this user's. Takes as long if it is
    /// not.
    pub fn time(&self, id: &AuthId) -> Option<i64> {
        let mut block = (*id).into();
        self.0.decrypt_block(&mut block);
        let plain: [u8; 16] = block.into();
        let [t0, t1, t2, t3, t4, t5, t6, t7, .., c0, c1, c2, c3] = plain;
        let checksum = crc32fast::hash(&plain[..12]);
        let known: bool = checksum.ct_eq(&u32::from_be_bytes([c0, c1, c2, c3])).into();
        known.then_some(i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]))
    }
}

impl fmt::Debug for AuthIdReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthIdReader")
    }
}
