use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use log::debug;

use super::packets::{PacketDecoder, frame_packet};
use crate::buf::Buf;
use crate::link::{Handle, Layer, LinkError, ReadResult, Reader, Writer};

/// Datagrams that were too large for a V2Ray peer, in the whole process.
static OVERSIZED: AtomicU64 = AtomicU64::new(0);

/// How many datagrams were not sent because no V2Ray peer would take them
/// whole ([`MAX_SENT_PACKET`](super::wire::MAX_SENT_PACKET)).
pub fn oversized_datagrams() -> u64 {
    OVERSIZED.load(Ordering::Relaxed)
}

/// Delivers the datagrams that arrive on a stream.
pub(super) struct PacketReader<R> {
    inner: R,
    input: Option<Buf>,
    decoder: PacketDecoder,
}

impl<R: Reader> PacketReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            input: None,
            decoder: PacketDecoder::new(),
        }
    }

    fn next_at_hand(&mut self) -> Option<Buf> {
        let packet = self.decoder.next(self.input.as_mut()?);
        if packet.is_none() {
            self.input = None;
        }
        packet
    }

    fn ended(&self) -> ReadResult {
        match self.decoder.is_between_frames() {
            true => Ok(None),
            false => Err(LinkError::Protocol("stream ends within a datagram")),
        }
    }
}

impl<R: Reader> Layer for PacketReader<R> {
    type Below = R;

    fn below(&self) -> &R {
        &self.inner
    }

    fn below_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    fn next(&mut self, mut more: impl FnMut(&mut R) -> ReadResult) -> ReadResult {
        loop {
            if let Some(packet) = self.next_at_hand() {
                return Ok(Some(packet));
            }
            self.input = more(&mut self.inner)?;
            if self.input.is_none() {
                return self.ended();
            }
        }
    }
}

/// Sends datagrams on a stream. Those that a V2Ray peer would cut are dropped.
///
/// It cannot write without waiting: what a full socket leaves of a frame
/// would have to be sent by someone later.
pub(super) struct PacketWriter<W> {
    inner: W,
}

impl<W: Writer> PacketWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner }
    }
}

impl<W: Writer> Writer for PacketWriter<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let mut frames: VecDeque<Buf> = batch.drain(..).filter_map(framed).collect();
        self.inner.write(&mut frames)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.inner.flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

/// `None` when it is too large to be sent.
fn framed(packet: Buf) -> Option<Buf> {
    let len = packet.len();
    let frame = frame_packet(packet);
    if frame.is_none() {
        OVERSIZED.fetch_add(1, Ordering::Relaxed);
        debug!("a datagram of {len} bytes is too large to send");
    }
    frame
}
