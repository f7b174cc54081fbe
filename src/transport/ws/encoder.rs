use std::collections::VecDeque;

use super::wire::{FrameHead, Opcode, mask};
use crate::buf::Buf;
use crate::limits::WS_FRAME;

/// Makes frames.
#[derive(Debug, Clone, Copy)]
pub struct Encoder {
    masks: bool,
}

impl Encoder {
    /// For a client's frames, which are masked.
    pub fn client() -> Self {
        Self { masks: true }
    }

    /// For a server's frames.
    pub fn server() -> Self {
        Self { masks: false }
    }

    /// Makes binary messages of a batch, where it is. Several buffers go in one
    /// as far as they have [`WS_FRAME`] bytes together.
    pub fn put_in_frames(&self, batch: &mut VecDeque<Buf>) {
        batch.retain(|buf| !buf.is_empty());
        let mut rest = batch.make_contiguous();
        while !rest.is_empty() {
            let (frame, after) = rest.split_at_mut(buffers_of_a_frame(rest));
            self.put_in_frame(frame);
            rest = after;
        }
    }

    /// A frame of its own.
    pub fn frame(&self, opcode: Opcode, payload: &[u8]) -> Buf {
        let mut frame = [Buf::copy_of(payload)];
        self.put_in_one(opcode, &mut frame);
        let [frame] = frame;
        frame
    }

    fn put_in_frame(&self, buffers: &mut [Buf]) {
        self.put_in_one(Opcode::Binary, buffers);
    }

    fn put_in_one(&self, opcode: Opcode, buffers: &mut [Buf]) {
        let head = FrameHead {
            is_last: true,
            opcode,
            key: self.masks.then(rand::random),
            len: buffers.iter().map(Buf::len).sum::<usize>() as u64,
        };
        if let Some(key) = head.key {
            let masked = |key, buf: &mut Buf| mask(buf.as_mut_slice(), key);
            buffers.iter_mut().fold(key, masked);
        }
        if let Some(first) = buffers.first_mut() {
            let (bytes, len) = head.encode();
            first.prepend(bytes.split_at(len).0);
        }
    }
}

/// At least one.
fn buffers_of_a_frame(batch: &[Buf]) -> usize {
    let mut len = 0;
    let fits = |buf: &&Buf| {
        len += buf.len();
        len <= WS_FRAME
    };
    batch.iter().take_while(fits).count().max(1)
}
