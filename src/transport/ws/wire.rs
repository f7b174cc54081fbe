//! Heads of WebSocket frames (RFC 6455, section 5), and masking.

use std::fmt;

use crate::limits::{MAX_WS_CONTROL, WS_FRAME_HEAD};
use crate::wire::Cursor;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation,
    /// Begins a message that is called text; nobody looks at it.
    Text,
    /// Begins a message.
    Binary,
    /// Says that the connection is over.
    Close,
    /// Asks for a pong.
    Ping,
    /// The answer, or a sign of life.
    Pong,
}

impl Opcode {
    /// Whether it stands between the frames of messages.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }
}

/// What stands in front of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Nothing of its message follows in another frame.
    pub is_last: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What its payload is masked with.
    pub key: Option<[u8; 4]>,
    /// Bytes of its payload, below 2^63.
    pub len: u64,
}

/// What a peer must not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A bit that only extensions use.
    Reserved,
    /// An unknown opcode.
    Opcode,
    /// A length of 2^63 or more.
    Length,
    /// A control frame that is longer than 125 bytes, or in pieces.
    Control,
    /// A client's frame that is not masked.
    Unmasked,
    /// A server's frame that is masked.
    Masked,
    /// A continuation of nothing, or a message within another.
    Order,
    /// A Close frame with half a code.
    CloseCode,
}

impl FrameError {
    /// In words.
    pub fn what(self) -> &'static str {
        match self {
            FrameError::Reserved => "WebSocket frame with a reserved bit",
            FrameError::Opcode => "WebSocket frame with an unknown opcode",
            FrameError::Length => "WebSocket frame with an impossible length",
            FrameError::Control => "WebSocket control frame that is too long or in pieces",
            FrameError::Unmasked => "WebSocket frame of a client that is not masked",
            FrameError::Masked => "WebSocket frame of a server that is masked",
            FrameError::Order => "WebSocket frames of two messages mixed",
            FrameError::CloseCode => "WebSocket Close frame with half a code",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl std::error::Error for FrameError {}

/// Bytes of a head whose first ones are `start`: at least two are needed to
/// tell.
pub fn head_len(start: &[u8]) -> usize {
    let Some(second) = start.get(1) else {
        return 2;
    };
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + key
}

/// Reads a head of exactly [`head_len`] bytes.
///
/// # Errors
/// What is wrong with it on its own; [`FrameError::Length`] if it is cut.
pub fn read_head(bytes: &[u8]) -> Result<FrameHead, FrameError> {
    let mut cursor = Cursor::new(bytes);
    let [first, second] = cursor.array("frame head").map_err(|_| FrameError::Length)?;
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(FrameError::Opcode)?;
    let len = match second & 0x7f {
        126 => cursor.u16("frame length").map(u64::from),
        127 => cursor.u64("frame length"),
        short => Ok(u64::from(short)),
    };
    let len = len.map_err(|_| FrameError::Length)?;
    let key = (second & 0x80 != 0).then(|| cursor.array("masking key"));
    let head = FrameHead {
        is_last: first & 0x80 != 0,
        opcode,
        key: key.transpose().map_err(|_| FrameError::Length)?,
        len,
    };
    head.check().map(|()| head)
}

impl FrameHead {
    fn check(&self) -> Result<(), FrameError> {
        if self.len > u64::MAX / 2 {
            return Err(FrameError::Length);
        }
        let is_short = self.is_last && self.len <= MAX_WS_CONTROL as u64;
        match self.opcode.is_control() && !is_short {
            true => Err(FrameError::Control),
            false => Ok(()),
        }
    }

    /// The head as it is sent: so many of the bytes.
    pub fn encode(&self) -> ([u8; WS_FRAME_HEAD], usize) {
        let long = self.len.to_be_bytes();
        let (code, length) = match self.len {
            0..=125 => (long[7], &long[8..]),
            126..=0xffff => (126, &long[6..]),
            _ => (127, &long[..]),
        };
        let first = self.opcode.bits() | if self.is_last { 0x80 } else { 0 };
        let second = code | if self.key.is_some() { 0x80 } else { 0 };
        let parts = [&[first, second], length, self.key.as_slice().as_flattened()];
        let (mut bytes, mut len) = ([0; WS_FRAME_HEAD], 0);
        for (to, byte) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *byte;
            len += 1;
        }
        (bytes, len)
    }
}

/// Masks `bytes`, or unmasks them, which is the same. Returns the key for the
/// bytes that follow.
pub fn mask(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, with) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= with;
    }
    let mut next = key;
    next.rotate_left(rest.len() % key.len());
    next
}
