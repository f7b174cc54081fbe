//! The bytes of VMess headers (section 2), without any I/O.

mod seal;

use std::fmt;

pub use seal::{HeaderSeal, seal_request, seal_response};

use super::kdf::sha256;
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
