use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use super::aead::Forged;
use super::cipher::ChunkCipher;
use super::sizes::Sizes;
use super::wire::{Direction, Options, RequestHeader, TAG};
use crate::buf::Buf;
use crate::net::Network;

/// Why a body cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// A chunk is not what was sent.
    Forged,
    /// A chunk is too small for what must be in it.
    Size,
    /// The bytes end before the chunk that says so.
    Truncated,
}

impl BodyError {
    /// The same in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            BodyError::Forged => "a chunk of the body is damaged",
            BodyError::Size => "a chunk of the body has an impossible size",
            BodyError::Truncated => "the body is cut short",
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for BodyError {}

impl From<Forged> for BodyError {
    fn from(_: Forged) -> Self {
        BodyError::Forged
    }
}

/// Reads the chunks of one direction (section 2.4) from whatever pieces they
/// arrive in, in place as far as they are whole. After an error it is of no
/// use any more.
#[derive(Debug)]
pub struct Opener {
    sizes: Sizes,
    cipher: Option<ChunkCipher>,
    /// Chunks are parts of a stream, not datagrams.
    is_stream: bool,
    /// The peer announced a chunk that ends the direction.
    has_end: bool,
    next: Next,
    /// The part of it that is there.
    held: Option<Buf>,
    has_begun: bool,
    has_ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Size,
    /// Of `len` bytes; those behind the first `sealed` are padding.
    Chunk {
        len: usize,
        sealed: usize,
    },
}

impl Opener {
    /// For one direction of the connection that `header` asks for.
    pub fn new(header: &RequestHeader, direction: Direction) -> Self {
        Self {
            sizes: Sizes::new(header, direction),
            cipher: ChunkCipher::of_body(header.security, &header.keys_of(direction)),
            is_stream: header.target.network == Network::Tcp,
            has_end: header.options.has(Options::CHUNKS),
            next: Next::Size,
            held: None,
            has_begun: false,
            has_ended: false,
        }
    }

    /// Takes what has arrived and appends its payload to `out`: of datagrams
    /// one buffer each. What follows the end is dropped.
    ///
    /// # Errors
    /// [`BodyError::Forged`] or [`BodyError::Size`]; what was good before
    /// that is in `out`.
    pub fn push(&mut self, mut input: Buf, out: &mut VecDeque<Buf>) -> Result<(), BodyError> {
        self.has_begun |= !input.is_empty();
        while let Some(mut held) = self.held.take() {
            if !held.fill_to(self.wanted(), &mut input) {
                self.held = Some(held);
                return Ok(());
            }
            if let Some(payload) = self.take(held.as_mut_slice())? {
                let len = payload.len();
                held.truncate(len);
                out.extend((!held.is_empty()).then_some(held));
            }
        }
        self.open_in_place(input, out)
    }

    /// Whether the end has been read.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Bytes of a size field.
    pub(super) fn field_len(&self) -> usize {
        self.sizes.field_len()
    }

    /// Whether not a byte has been read.
    pub(super) fn is_untouched(&self) -> bool {
        !self.has_begun
    }

    /// Ends the direction without a chunk that says so.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Bytes to be read until what is being read is complete.
    pub fn missing(&self) -> usize {
        self.wanted() - self.held.as_ref().map_or(0, Buf::len)
    }

    /// The connection has ended: whether it may.
    ///
    /// # Errors
    /// [`BodyError::Truncated`].
    pub fn finish(&self) -> Result<(), BodyError> {
        let between_chunks = matches!(self.next, Next::Size) && self.held.is_none();
        match self.has_ended || (between_chunks && !self.has_end) {
            true => Ok(()),
            false => Err(BodyError::Truncated),
        }
    }

    fn wanted(&self) -> usize {
        match self.next {
            Next::Size => self.sizes.field_len(),
            Next::Chunk { len, .. } => len,
        }
    }

    /// Opens what is whole; keeps the rest.
    fn open_in_place(&mut self, mut input: Buf, out: &mut VecDeque<Buf>) -> Result<(), BodyError> {
        let mut joined = 0..0;
        let opened = self.open_whole(&mut input, &mut joined, out);
        let rest = opened.as_ref().map_or(input.len(), |rest| *rest);
        if joined.is_empty() {
            input.advance(rest);
            self.hold(input);
        } else {
            let (_, rest) = input.split_at(rest);
            self.hold_copy(rest);
            input.truncate(joined.end);
            input.advance(joined.start);
            out.push_back(input);
        }
        opened.map(drop)
    }

    /// Opens what is whole in `input`, and says where the rest begins.
    /// Datagrams go to `out`, a stream's payload is moved together to `joined`.
    fn open_whole(
        &mut self,
        input: &mut Buf,
        joined: &mut Range<usize>,
        out: &mut VecDeque<Buf>,
    ) -> Result<usize, BodyError> {
        let mut at = 0;
        while !self.has_ended {
            let end = at + self.wanted();
            let Some(item) = input.as_mut_slice().get_mut(at..end) else {
                return Ok(at);
            };
            match self.take(item)? {
                None => {}
                Some(payload) if self.is_stream => {
                    let payload = at..at + payload.len();
                    join(input.as_mut_slice(), payload, joined);
                }
                Some(payload) => out.extend(datagram(payload)),
            }
            at = end;
        }
        Ok(input.len())
    }

    /// Reads a whole size, or a whole chunk: its front is the payload.
    fn take<'i>(&mut self, item: &'i mut [u8]) -> Result<Option<&'i [u8]>, BodyError> {
        match self.next {
            Next::Size => {
                let padding = self.sizes.padding();
                let len = self.sizes.read(item)?;
                let sealed = len.checked_sub(padding).ok_or(BodyError::Size)?;
                if sealed < self.overhead() {
                    return Err(BodyError::Size);
                }
                self.next = Next::Chunk { len, sealed };
                Ok(None)
            }
            Next::Chunk { sealed, .. } => {
                self.next = Next::Size;
                let sealed = item.get_mut(..sealed).ok_or(BodyError::Size)?;
                let payload = self.open(sealed)?;
                self.has_ended = payload.is_empty();
                Ok(Some(payload))
            }
        }
    }

    fn open<'i>(&mut self, sealed: &'i mut [u8]) -> Result<&'i [u8], BodyError> {
        let Some(cipher) = &mut self.cipher else {
            return Ok(sealed);
        };
        let (payload, tag) = sealed.split_last_chunk_mut().ok_or(BodyError::Size)?;
        cipher.open(payload, tag)?;
        Ok(payload)
    }

    fn overhead(&self) -> usize {
        self.cipher.as_ref().map_or(0, |_| TAG)
    }

    /// Keeps the buffer itself if it has room for what is missing.
    fn hold(&mut self, mut input: Buf) {
        let missing = self.wanted().saturating_sub(input.len());
        match input.spare().len() < missing {
            true => self.hold_copy(input.as_slice()),
            false => self.held = (!input.is_empty()).then_some(input),
        }
    }

    fn hold_copy(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut held = Buf::with_capacity(self.wanted());
            held.extend(bytes);
            self.held = Some(held);
        }
    }
}

/// Moves `payload` behind what is `joined` already.
fn join(bytes: &mut [u8], payload: Range<usize>, joined: &mut Range<usize>) {
    let (len, end) = (payload.len(), joined.end);
    if joined.start == end {
        *joined = payload;
    } else {
        bytes.copy_within(payload, end);
        joined.end += len;
    }
}

fn datagram(bytes: &[u8]) -> Option<Buf> {
    (!bytes.is_empty()).then(|| Buf::copy_of(bytes))
}
