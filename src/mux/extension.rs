//! Messages between muxcool peers (section 11), in the data of KeepAlive
//! frames that the whole family reads past: pure functions on bytes.

use std::fmt;

use crate::wire::{Cursor, Put, Truncated};

const PAD: u8 = 0;
const HELLO: u8 = 1;
const CREDIT: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const DRAIN: u8 = 5;

const MAGIC: &[u8; 7] = b"MUXCOOL";
const VERSION: u8 = 1;

/// Bytes of one entry in CREDIT.
const CREDIT_ENTRY: usize = 10;

/// Most entries in one CREDIT message, so that it fits in a frame.
pub(super) const MAX_CREDITS: usize = 1024;

/// What a peer says of itself, once per carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Bytes of each session's stream, in each direction, that it takes before
    /// it has granted more.
    pub window: u32,
    /// The largest datagram that it takes.
    pub datagram: u16,
    /// Bits for what it can do: [`ORIGINS`](Self::ORIGINS).
    pub capabilities: u32,
}

impl Hello {
    /// It wants to know where sessions come from: New frames to it say so
    /// (section 15).
    pub const ORIGINS: u32 = 1;

    /// Whether New frames to it may say where sessions come from.
    pub fn wants_origins(&self) -> bool {
        self.capabilities & Self::ORIGINS != 0
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The peer is a muxcool peer.
    Hello(Hello),
    /// Sessions and the offsets, from each one's first byte, up to which their
    /// payload may be sent. At most 1024 are encoded, so that they fit in a
    /// frame.
    Credit(Vec<(u16, u64)>),
    /// Asks for a PONG with the same nonce.
    Ping(u64),
    /// Answers a PING.
    Pong(u64),
    /// The peer wants no more sessions on this carrier.
    Drain,
}

/// Why messages could not be read: the peer breaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionError {
    /// A message runs past the frame's data.
    Truncated(Truncated),
    /// A message has a length that its type cannot have.
    BadLength {
        /// The type.
        kind: u8,
        /// The length.
        len: usize,
    },
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtensionError::Truncated(_) => f.write_str("extension message is cut short"),
            ExtensionError::BadLength { kind, len } => {
                write!(f, "extension message {kind} cannot have {len} bytes")
            }
        }
    }
}

impl std::error::Error for ExtensionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExtensionError::Truncated(inner) => Some(inner),
            ExtensionError::BadLength { .. } => None,
        }
    }
}

impl From<Truncated> for ExtensionError {
    fn from(inner: Truncated) -> Self {
        ExtensionError::Truncated(inner)
    }
}

impl Message {
    /// Reads all messages in a frame's data. Those of an unknown type, and a
    /// HELLO of another version, are skipped.
    ///
    /// # Errors
    /// See [`ExtensionError`].
    pub fn decode_all(data: &[u8]) -> Result<Vec<Message>, ExtensionError> {
        Messages::of(data)
            .map(|said| said.map(Message::from))
            .collect()
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Hello(hello) => encode_hello(hello, out),
            Message::Credit(credits) => encode_credit(credits, out),
            Message::Ping(nonce) => encode_nonce(PING, *nonce, out),
            Message::Pong(nonce) => encode_nonce(PONG, *nonce, out),
            Message::Drain => encode_head(DRAIN, 0, out),
        }
    }
}

/// A message that is read where it lies: credit, of which there is much, has no
/// memory of its own then.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// What [`Message::Credit`] holds.
    Credit(Credits<'a>),
    /// Any other message.
    Other(Message),
}

impl Said<'_> {
    /// Whether a session may go on for it: that is what credit is for. All
    /// others are few.
    pub(super) fn moves_on(&self) -> bool {
        matches!(self, Said::Credit(credits) if credits.0.remaining() > 0)
    }
}

impl From<Said<'_>> for Message {
    fn from(said: Said<'_>) -> Self {
        match said {
            Said::Credit(credits) => Message::Credit(credits.collect()),
            Said::Other(message) => message,
        }
    }
}

/// The messages in a frame's data, as [`Message::decode_all`] reads them.
/// Nothing is read after an error.
#[derive(Debug)]
pub(super) struct Messages<'a>(Cursor<'a>);

impl<'a> Messages<'a> {
    pub(super) fn of(data: &'a [u8]) -> Self {
        Self(Cursor::new(data))
    }

    fn read(&mut self) -> Result<Option<Said<'a>>, ExtensionError> {
        let kind = self.0.u8("message type")?;
        let len = self.0.u16("message length")?;
        let body = self.0.take(len.into(), "message body")?;
        decode(kind, body)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Said<'a>, ExtensionError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.0.remaining() > 0 {
            match self.read() {
                Ok(None) => {}
                Ok(Some(said)) => return Some(Ok(said)),
                Err(e) => {
                    self.0 = Cursor::new(&[]);
                    return Some(Err(e));
                }
            }
        }
        None
    }
}

/// The entries of a CREDIT: session, offset.
#[derive(Debug)]
pub(super) struct Credits<'a>(Cursor<'a>);

impl Iterator for Credits<'_> {
    type Item = (u16, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.0.u16("session").ok()?;
        let offset = self.0.u64("offset").ok()?;
        Some((id, offset))
    }
}

fn decode(kind: u8, body: &[u8]) -> Result<Option<Said<'_>>, ExtensionError> {
    let bad_length = ExtensionError::BadLength {
        kind,
        len: body.len(),
    };
    let mut cursor = Cursor::new(body);
    let message = match kind {
        HELLO => {
            let hello = decode_hello(cursor).map_err(|_| bad_length)?;
            return Ok(hello.map(Said::Other));
        }
        CREDIT if body.len().is_multiple_of(CREDIT_ENTRY) => {
            return Ok(Some(Said::Credit(Credits(cursor))));
        }
        PING if body.len() == 8 => Message::Ping(cursor.u64("nonce")?),
        PONG if body.len() == 8 => Message::Pong(cursor.u64("nonce")?),
        DRAIN if body.is_empty() => Message::Drain,
        CREDIT | PING | PONG | DRAIN => return Err(bad_length),
        PAD => return Ok(None), // there to fill a frame
        _ => return Ok(None),   // what later versions may add
    };
    Ok(Some(Said::Other(message)))
}

/// `None` for another magic or version. Later versions may append fields.
fn decode_hello(mut cursor: Cursor) -> Result<Option<Message>, Truncated> {
    let magic = cursor.array::<7>("magic")?;
    let version = cursor.u8("version")?;
    let hello = Hello {
        window: cursor.u32("window")?,
        datagram: cursor.u16("datagram")?,
        capabilities: cursor.u32("capabilities")?,
    };
    let known = &magic == MAGIC && version == VERSION;
    Ok(known.then_some(Message::Hello(hello)))
}

fn encode_head(kind: u8, len: u16, out: &mut Vec<u8>) {
    out.push(kind);
    out.put_u16(len);
}

fn encode_hello(hello: &Hello, out: &mut Vec<u8>) {
    encode_head(HELLO, 18, out);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.put_u32(hello.window);
    out.put_u16(hello.datagram);
    out.put_u32(hello.capabilities);
}

/// Appends a [`Message::Credit`] of these, at most [`MAX_CREDITS`].
pub(super) fn encode_credit(credits: &[(u16, u64)], out: &mut Vec<u8>) {
    let credits = &credits[..credits.len().min(MAX_CREDITS)];
    encode_head(CREDIT, (credits.len() * CREDIT_ENTRY) as u16, out);
    for (id, offset) in credits {
        out.put_u16(*id);
        out.put_u64(*offset);
    }
}

fn encode_nonce(kind: u8, nonce: u64, out: &mut Vec<u8>) {
    encode_head(kind, 8, out);
    out.put_u64(nonce);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let hello = (any::<u32>(), any::<u16>(), any::<u32>());
        prop_oneof![
            hello.prop_map(|(window, datagram, capabilities)| Message::Hello(Hello {
                window,
                datagram,
                capabilities,
            })),
            vec(any::<(u16, u64)>(), 0..50).prop_map(Message::Credit),
            any::<u64>().prop_map(Message::Ping),
            any::<u64>().prop_map(Message::Pong),
            Just(Message::Drain),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(messages in vec(any_message(), 0..8), pad in 0usize..99) {
            let mut bytes = Vec::new();
            for message in &messages {
                encode_head(PAD, pad as u16, &mut bytes);
                bytes.resize(bytes.len() + pad, 0);
                message.encode(&mut bytes);
            }
            prop_assert_eq!(Message::decode_all(&bytes), Ok(messages));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Message::decode_all(&bytes);
        }
    }

    #[test]
    fn the_wire_form_of_hello_is_fixed() {
        let hello = Message::Hello(Hello {
            window: 0x0004_0000,
            datagram: 0xffff,
            capabilities: 0,
        });
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        let expected = b"\x01\x00\x12MUXCOOL\x01\x00\x04\x00\x00\xff\xff\x00\x00\x00\x00";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn other_versions_and_types_are_skipped_and_wrong_lengths_refused() {
        let other_version = b"\x01\x00\x12MUXCOOL\x02\x00\x04\x00\x00\xff\xff\x00\x00\x00\x00";
        assert_eq!(Message::decode_all(other_version), Ok(vec![]));
        assert_eq!(Message::decode_all(b"\x63\x00\x02??"), Ok(vec![]));
        assert_eq!(
            Message::decode_all(b"\x03\x00\x02??"),
            Err(ExtensionError::BadLength { kind: 3, len: 2 })
        );
        assert!(Message::decode_all(b"\x03\x00\x09?").is_err());
    }
}
