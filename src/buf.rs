//! The unit of the data plane: an owned buffer out of a pool, with room in
//! front of the payload for a frame header, so that a frame is one buffer and
//! nothing is copied to make it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::LazyLock;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{BUFFER_CLASSES, HEADROOM, POOLED_PER_CLASS};

/// Bytes in one of the pool's buffers; goes back to the pool when dropped.
pub struct Buf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    /// An empty buffer for at least `payload` bytes.
    ///
    /// A size up to the largest class comes from the pool, a larger one from
    /// the allocator.
    pub fn with_capacity(payload: usize) -> Self {
        Self {
            bytes: POOL.take(payload),
            start: HEADROOM,
            end: HEADROOM,
        }
    }

    /// A copy of `data`.
    pub fn copy_of(data: &[u8]) -> Self {
        let mut buf = Self::with_capacity(data.len());
        buf.extend(data);
        buf
    }

    /// Reads once into a new buffer for `capacity` bytes.
    pub fn read_with(
        capacity: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Self> {
        let mut buf = Self::with_capacity(capacity);
        let len = read(buf.spare())?;
        buf.advance_end(len);
        Ok(buf)
    }

    /// The payload.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The payload, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Payload bytes.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this buffer holds, whatever its payload.
    pub fn footprint(&self) -> usize {
        self.bytes.len()
    }

    /// The free bytes behind the payload.
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Counts `len` bytes written to [`Buf::spare`] as payload.
    ///
    /// # Panics
    /// When `len` is more than there was room for.
    pub fn advance_end(&mut self, len: usize) {
        assert!(len <= self.bytes.len() - self.end, "past the buffer's end");
        self.end += len;
    }

    /// Takes `len` bytes off the front of the payload, all of it at the most.
    pub fn advance(&mut self, len: usize) {
        self.start += len.min(self.len());
    }

    /// Takes the payload's end off, beyond the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.start + len.min(self.len());
    }

    /// The first `len` bytes of the payload, at the most all of it, and the rest.
    pub fn split_at(&self, len: usize) -> (&[u8], &[u8]) {
        self.as_slice().split_at(len.min(self.len()))
    }

    /// Keeps the first `len` bytes of the payload, at the most all of it;
    /// returns a copy of the rest.
    pub fn split_off(&mut self, len: usize) -> Self {
        let (_, rest) = self.split_at(len);
        let rest = Self::copy_of(rest);
        self.truncate(len);
        rest
    }

    /// Takes bytes off the front of `input` until there are `len` here, or none
    /// are left there; returns whether there are.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn fill_to(&mut self, len: usize, input: &mut Buf) -> bool {
        let (part, _) = input.split_at(len.saturating_sub(self.len()));
        let taken = part.len();
        self.extend(part);
        input.advance(taken);
        self.len() >= len
    }

    /// Appends `data`.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn extend(&mut self, data: &[u8]) {
        self.spare()[..data.len()].copy_from_slice(data);
        self.advance_end(data.len());
    }

    /// Puts `header` in front of the payload: into the headroom if it fits,
    /// else by moving the payload to a new buffer.
    pub fn prepend(&mut self, header: &[u8]) {
        if header.len() > self.start {
            let mut grown = Buf::with_capacity(header.len() + self.len());
            grown.extend(header);
            grown.extend(self.as_slice());
            *self = grown;
            return;
        }
        self.start -= header.len();
        self.bytes[self.start..self.start + header.len()].copy_from_slice(header);
    }

    /// Moves a small payload out of a large buffer, so that what waits in a
    /// queue costs about what it carries.
    pub fn compact(self) -> Self {
        let wasteful = self.len() * 4 < self.footprint();
        if wasteful && self.footprint() > BUFFER_CLASSES[0] + HEADROOM {
            return Buf::copy_of(self.as_slice());
        }
        self
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        POOL.give(std::mem::take(&mut self.bytes));
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} of {} bytes)", self.len(), self.footprint())
    }
}

/// Takes `len` bytes off the front of a batch, and buffers that are empty.
pub(crate) fn drop_front(batch: &mut VecDeque<Buf>, mut len: usize) {
    while let Some(front) = batch.front_mut() {
        if len < front.len() {
            front.advance(len);
            return;
        }
        len -= front.len();
        batch.pop_front();
    }
}

/// Free buffers by class. A bounded channel is a lock-free queue here.
struct Pool {
    classes: Vec<Class>,
}

struct Class {
    payload: usize,
    give: Sender<Box<[u8]>>,
    take: Receiver<Box<[u8]>>,
}

static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);

impl Pool {
    fn new() -> Self {
        let class = |payload: usize| {
            let (give, take) = bounded(POOLED_PER_CLASS / (payload + HEADROOM));
            Class {
                payload,
                give,
                take,
            }
        };
        Self {
            classes: BUFFER_CLASSES.map(class).into(),
        }
    }

    fn take(&self, payload: usize) -> Box<[u8]> {
        match self.classes.iter().find(|class| payload <= class.payload) {
            Some(class) => class
                .take
                .try_recv()
                .unwrap_or_else(|_| vec![0; class.payload + HEADROOM].into_boxed_slice()),
            None => vec![0; payload + HEADROOM].into_boxed_slice(),
        }
    }

    /// Keeps the buffer if it is of a class with room; else it is freed.
    fn give(&self, bytes: Box<[u8]>) {
        let class = self
            .classes
            .iter()
            .find(|class| bytes.len() == class.payload + HEADROOM);
        if let Some(class) = class {
            let _ = class.give.try_send(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_in_front_without_a_copy() {
        let mut buf = Buf::copy_of(b"payload");
        let payload_at = buf.as_slice().as_ptr();
        buf.prepend(b"headr:8:");
        assert_eq!(buf.as_slice(), b"headr:8:payload");
        assert_eq!(buf.as_slice()[8..].as_ptr(), payload_at);
    }

    #[test]
    fn a_header_longer_than_the_headroom_still_fits() {
        let mut buf = Buf::copy_of(b"payload");
        let header = [7; HEADROOM + 1];
        buf.prepend(&header);
        assert_eq!(&buf.as_slice()[..header.len()], &header);
        assert_eq!(&buf.as_slice()[header.len()..], b"payload");
    }

    #[test]
    fn advancing_stops_at_the_end() {
        let mut buf = Buf::copy_of(b"abc");
        buf.advance(2);
        assert_eq!(buf.as_slice(), b"c");
        buf.advance(9);
        assert!(buf.is_empty());
    }

    #[test]
    fn what_is_cut_off_makes_room() {
        let mut buf = Buf::copy_of(b"abcdef");
        buf.advance(1);
        buf.truncate(9);
        assert_eq!(buf.as_slice(), b"bcdef");
        buf.truncate(2);
        buf.as_mut_slice()[0] = b'B';
        buf.extend(b"x");
        assert_eq!(buf.as_slice(), b"Bcx");
    }

    #[test]
    fn what_is_split_off_is_all_that_is_missing() {
        for len in [0, 2, 5, 9] {
            let mut buf = Buf::copy_of(b"xhello");
            buf.advance(1);
            let rest = buf.split_off(len);
            let whole = [buf.as_slice(), rest.as_slice()].concat();
            assert_eq!((whole.as_slice(), buf.len()), (&b"hello"[..], len.min(5)));
        }
    }

    #[test]
    fn a_small_payload_leaves_a_large_buffer() {
        let mut large = Buf::with_capacity(BUFFER_CLASSES[3]);
        large.extend(b"x");
        let small = large.compact();
        assert_eq!(small.as_slice(), b"x");
        assert_eq!(small.footprint(), BUFFER_CLASSES[0] + HEADROOM);
    }

    #[test]
    fn sizes_beyond_the_classes_are_served() {
        let largest = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];
        let mut buf = Buf::with_capacity(largest + 1);
        assert!(buf.spare().len() > largest);
        buf.extend(&vec![1; largest + 1]);
        assert_eq!(buf.len(), largest + 1);
    }
}
