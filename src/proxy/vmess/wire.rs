//! The bytes of VMess headers (section 2), without any I/O.

use std::fmt;

use super::aead::{AeadKey, NonceBytes};
use super::auth_id::AuthId;
use super::kdf::{kdf_part, sha256};
pub use super::options::Security;
use crate::net::{AddressError, Destination};
use crate::proxy::order::{OrderError, read_order, write_order};
use crate::wire::{Cursor, Put, Truncated};

/// What we write; nobody checks it.
const VERSION: u8 = 1;

/// Bytes of an authentication tag.
pub const TAG: usize = 16;

/// Bytes of a sealed length, in front of every sealed header.
pub const SEALED_LENGTH: usize = 2 + TAG;

/// Random bytes of a request that go into its header's keys.
pub type ConnectionNonce = [u8; 8];

/// Bits that say how a body is framed (section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options(pub u8);

impl Options {
    /// The body comes in chunks, and an empty one ends it.
    pub const CHUNKS: u8 = 0x01;
    /// Sizes of chunks are masked.
    pub const MASK: u8 = 0x04;
    /// Chunks are padded.
    pub const PADDING: u8 = 0x08;
    /// Sizes of chunks are encrypted; V2Ray 4 does not know it.
    pub const SEALED_SIZES: u8 = 0x10;

    /// What all of the family ask for with this encryption.
    pub fn usual(security: Security) -> Self {
        match security {
            Security::None => Self(Self::CHUNKS | Self::MASK),
            _ => Self(Self::CHUNKS | Self::MASK | Self::PADDING),
        }
    }

    /// Whether all of `bits` are set.
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// The secrets of one direction of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BodyKeys {
    /// The key.
    pub key: [u8; 16],
    /// What makes nonces and masks.
    pub iv: [u8; 16],
}

impl BodyKeys {
    /// Those of the direction from server to client, where these are the
    /// client's.
    pub fn of_response(&self) -> Self {
        let half = |bytes: &[u8; 16]| {
            let mut half = [0; 16];
            half.copy_from_slice(&sha256(&[bytes])[..16]);
            half
        };
        Self {
            key: half(&self.key),
            iv: half(&self.iv),
        }
    }
}

impl fmt::Debug for BodyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKeys")
    }
}

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The secrets of the client's direction, chosen at random.
    pub keys: BodyKeys,
    /// A random byte that the response repeats.
    pub answer: u8,
    /// How the bodies are framed.
    pub options: Options,
    /// How they are encrypted.
    pub security: Security,
    /// Where to; the mux domain with port 0 for the command Mux.
    pub target: Destination,
}

/// One way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From client to server.
    Request,
    /// From server to client.
    Response,
}

impl RequestHeader {
    /// The secrets of one direction.
    pub fn keys_of(&self, direction: Direction) -> BodyKeys {
        match direction {
            Direction::Request => self.keys,
            Direction::Response => self.keys.of_response(),
        }
    }

    /// Whether the bodies have neither encryption nor chunks.
    pub fn is_raw(&self) -> bool {
        self.security == Security::None && !self.options.has(Options::CHUNKS)
    }
}

/// Why a header cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// It was not made with the right keys.
    Forged,
    /// It ended too early.
    Truncated(Truncated),
    /// Its checksum is wrong.
    Checksum,
    /// An encryption that is not known here.
    Security(u8),
    /// Options that do not go together.
    Options(u8),
    /// A command that is not known here.
    Command(u8),
    /// An address that cannot be; never [`AddressError::Truncated`].
    Address(AddressError),
    /// The response does not belong to the request.
    Answer,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Forged => f.write_str("header does not fit its keys"),
            HeaderError::Truncated(_) => f.write_str("header is cut short"),
            HeaderError::Checksum => f.write_str("header has a wrong checksum"),
            HeaderError::Security(kind) => write!(f, "unknown encryption {kind}"),
            HeaderError::Options(bits) => write!(f, "impossible options {bits:#04x}"),
            HeaderError::Command(command) => write!(f, "unknown command {command}"),
            HeaderError::Address(_) => f.write_str("bad address"),
            HeaderError::Answer => f.write_str("response to another request"),
        }
    }
}

impl std::error::Error for HeaderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HeaderError::Truncated(inner) => Some(inner),
            HeaderError::Address(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<Truncated> for HeaderError {
    fn from(inner: Truncated) -> Self {
        HeaderError::Truncated(inner)
    }
}

impl From<OrderError> for HeaderError {
    fn from(e: OrderError) -> Self {
        match e {
            OrderError::Truncated(inner) => HeaderError::Truncated(inner),
            OrderError::Command(command) => HeaderError::Command(command),
            OrderError::Address(inner) => HeaderError::Address(inner),
        }
    }
}

/// Appends a request header in plain text: command Mux for the mux domain,
/// else what the target's network asks for. Of `padding` up to 15 bytes are
/// written.
pub fn write_header(out: &mut Vec<u8>, header: &RequestHeader, padding: &[u8]) {
    let padding = padding.get(..15).unwrap_or(padding);
    let mut plain = vec![VERSION];
    plain.extend_from_slice(&header.keys.iv);
    plain.extend_from_slice(&header.keys.key);
    plain.push(header.answer);
    plain.push(header.options.0);
    plain.push((padding.len() as u8) << 4 | header.security.to_wire());
    plain.push(0);
    write_order(&mut plain, &header.target);
    plain.extend_from_slice(padding);
    let checksum = fnv1a(&plain);
    plain.put_u32(checksum);
    out.append(&mut plain);
}

/// Reads a request header in plain text; what follows it is ignored.
///
/// # Errors
/// See [`HeaderError`].
pub fn read_header(plain: &[u8]) -> Result<RequestHeader, HeaderError> {
    let mut cursor = Cursor::new(plain);
    cursor.u8("version")?;
    let iv = cursor.array("body IV")?;
    let key = cursor.array("body key")?;
    let answer = cursor.u8("response byte")?;
    let options = Options(cursor.u8("options")?);
    let packed = cursor.u8("padding and encryption")?;
    cursor.u8("reserved byte")?;
    let target = read_order(&mut cursor);
    if let Err(OrderError::Truncated(inner)) = target {
        return Err(inner.into());
    }
    cursor.take(usize::from(packed >> 4), "padding")?;
    let (head, _) = plain.split_at(plain.len() - cursor.remaining());
    if cursor.u32("checksum")? != fnv1a(head) {
        return Err(HeaderError::Checksum);
    }
    let security = Security::of_wire(packed & 0x0f)?;
    Ok(RequestHeader {
        keys: BodyKeys { key, iv },
        answer,
        options: checked(options, security)?,
        security,
        target: target?,
    })
}

impl Security {
    fn to_wire(self) -> u8 {
        match self {
            Security::Aes128Gcm => 3,
            Security::Chacha20Poly1305 => 4,
            Security::None => 5,
        }
    }

    fn of_wire(kind: u8) -> Result<Self, HeaderError> {
        match kind {
            3 => Ok(Security::Aes128Gcm),
            4 => Ok(Security::Chacha20Poly1305),
            5 => Ok(Security::None),
            other => Err(HeaderError::Security(other)),
        }
    }
}

/// Padding comes out of the mask's numbers, and sealed sizes need a cipher.
fn checked(options: Options, security: Security) -> Result<Options, HeaderError> {
    let padded_without_mask = options.has(Options::PADDING) && !options.has(Options::MASK);
    let sealed_without_cipher = options.has(Options::SEALED_SIZES) && security == Security::None;
    match padded_without_mask || sealed_without_cipher {
        true => Err(HeaderError::Options(options.0)),
        false => Ok(options),
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

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

/// A whole request in front of its body: `plain` is what [`write_header`]
/// has written.
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

/// Checks an opened response: it must repeat the request's byte. Options and
/// commands in it are passed over.
///
/// # Errors
/// [`HeaderError::Answer`] or [`HeaderError::Truncated`].
pub fn check_response(plain: &[u8], answer: u8) -> Result<(), HeaderError> {
    let mut cursor = Cursor::new(plain);
    if cursor.u8("response byte")? != answer {
        return Err(HeaderError::Answer);
    }
    cursor.u8("options")?;
    cursor.u8("command")?;
    let len = cursor.u8("command length")?;
    cursor.take(len.into(), "command data")?;
    Ok(())
}
