//! Keys, and how they are derived from others (VMess, section 2.1).

use md5::Md5;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What is hashed behind a user's id.
const COMMAND_KEY_SALT: &[u8] = b"c48619fe-8f02-49e0-b9e9-edf763e17e21";

/// The innermost key of every derivation.
const KDF_SALT: &[u8] = b"VMess AEAD KDF";

/// Bytes that the hash function takes at once.
const BLOCK: usize = 64;

/// The key that stands for a user in all that is sent.
pub fn command_key(id: &Uuid) -> [u8; 16] {
    md5(&[id.as_bytes(), COMMAND_KEY_SALT])
}

/// 32 bytes from `key`: HMAC whose hash function is HMAC again, one for each
/// item of `path`, the last outermost; `key` is the message.
pub fn kdf(key: &[u8], path: &[&[u8]]) -> [u8; 32] {
    let keys: Vec<&[u8]> = [KDF_SALT].into_iter().chain(path.iter().copied()).collect();
    nested(&keys, &[key])
}

/// The first bytes of [`kdf`], 32 at the most.
pub fn kdf_part<const N: usize>(key: &[u8], path: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 32) }
    let mut bytes = kdf(key, path).into_iter();
    std::array::from_fn(|_| bytes.next().unwrap_or_default())
}

pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HMAC over `parts` with the last of `keys`, its hash function being the same
/// with the keys before; without a key it is SHA-256.
fn nested(keys: &[&[u8]], parts: &[&[u8]]) -> [u8; 32] {
    let Some((key, hash_keys)) = keys.split_last() else {
        return sha256(parts);
    };
    let key = padded(key, hash_keys);
    let inner_pad = key.map(|byte| byte ^ 0x36);
    let outer_pad = key.map(|byte| byte ^ 0x5c);
    let message: Vec<&[u8]> = [&inner_pad[..]].iter().chain(parts).copied().collect();
    let inner = nested(hash_keys, &message);
    nested(hash_keys, &[&outer_pad, &inner])
}

/// A key of one block; one that is longer is hashed first.
fn padded(key: &[u8], hash_keys: &[&[u8]]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&nested(hash_keys, &[key])),
    }
    block
}
