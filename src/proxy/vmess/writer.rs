use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use log::debug;

use super::sealer::{Sealer, TRAILER};
use super::wire::{Direction, Options, RequestHeader};
use crate::buf::Buf;
use crate::limits::{MAX_PLAIN_DATAGRAM, VMESS_JOINED};
use crate::link::{Handle, LinkError, Writer};
use crate::net::Network;

/// Largest datagram that we send, in bytes: a V2Ray peer takes one in a chunk
/// of 2048 bytes, and might put a larger one together with others.
pub const MAX_SENT_PACKET: usize = MAX_PLAIN_DATAGRAM - TRAILER;

/// Datagrams that were too large for a V2Ray peer, in the whole process.
static OVERSIZED: AtomicU64 = AtomicU64::new(0);

/// How many datagrams were not sent because no V2Ray peer would take them
/// whole ([`MAX_SENT_PACKET`]).
pub fn oversized_datagrams() -> u64 {
    OVERSIZED.load(Ordering::Relaxed)
}

/// What stands in front of a body.
pub(super) struct Head {
    /// Makes its bytes when they are sent: a request says the time.
    pub(super) make: Box<dyn FnOnce() -> Vec<u8> + Send>,
    /// Whether a flush sends it without payload.
    pub(super) goes_alone: bool,
}

/// Puts what it is given into chunks, and a header in front of the first.
///
/// It cannot write without waiting: what a full socket leaves of a chunk would
/// have to be sent by someone later.
pub(super) struct BodyWriter<W> {
    inner: W,
    head: Option<Head>,
    body: Body,
}

/// How what is written is treated.
pub(super) enum Body {
    /// It is sent as it is.
    Raw,
    /// It is put into chunks.
    Chunks(Box<Chunks>),
}

/// What makes chunks.
pub(super) struct Chunks {
    sealer: Sealer,
    is_stream: bool,
    /// The peer was told that the last one says so.
    has_end: bool,
}

impl<W: Writer> BodyWriter<W> {
    pub(super) fn new(inner: W, head: Head, body: Body) -> Self {
        Self {
            inner,
            head: Some(head),
            body,
        }
    }

    fn take_head(&mut self, out: &mut VecDeque<Buf>) {
        if let Some(head) = self.head.take() {
            out.push_back(Buf::copy_of(&(head.make)()));
        }
    }
}

impl Body {
    /// For one direction of the connection that `header` asks for.
    pub(super) fn new(header: &RequestHeader, direction: Direction) -> Self {
        if header.is_raw() {
            return Body::Raw;
        }
        Body::Chunks(Box::new(Chunks {
            sealer: Sealer::new(header, direction),
            is_stream: header.target.network == Network::Tcp,
            has_end: header.options.has(Options::CHUNKS),
        }))
    }

    fn put(&mut self, batch: &mut VecDeque<Buf>, out: &mut VecDeque<Buf>) {
        match self {
            Body::Raw => out.append(batch),
            Body::Chunks(chunks) if chunks.is_stream => {
                while let Some(payload) = next_payload(batch) {
                    chunks.sealer.seal(payload, out);
                }
            }
            Body::Chunks(chunks) => {
                let fitting = batch.drain(..).filter(|packet| fits(packet.len()));
                fitting.for_each(|packet| chunks.sealer.seal(packet, out));
            }
        }
    }

    fn end(&mut self, out: &mut VecDeque<Buf>) {
        if let Body::Chunks(chunks) = self
            && chunks.has_end
        {
            chunks.sealer.end(out);
        }
    }
}

/// The next buffer, or several small ones in one.
fn next_payload(batch: &mut VecDeque<Buf>) -> Option<Buf> {
    let lens = batch.iter().map(Buf::len);
    let sums = lens.scan(0, |sum, len| {
        *sum += len;
        Some(*sum)
    });
    let (count, len) = sums
        .take_while(|sum| *sum <= VMESS_JOINED)
        .fold((0, 0), |(count, _), sum| (count + 1, sum));
    if count < 2 {
        return batch.pop_front();
    }
    let mut joined = Buf::with_capacity(len + TRAILER);
    for small in batch.drain(..count) {
        joined.extend(small.as_slice());
    }
    Some(joined)
}

fn fits(len: usize) -> bool {
    if len > MAX_SENT_PACKET {
        OVERSIZED.fetch_add(1, Ordering::Relaxed);
        debug!("a datagram of {len} bytes is too large to send");
    }
    len <= MAX_SENT_PACKET
}

impl<W: Writer> Writer for BodyWriter<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let mut out = VecDeque::new();
        if !batch.is_empty() {
            self.take_head(&mut out);
        }
        self.body.put(batch, &mut out);
        self.inner.write(&mut out)
    }

    fn hold_little(&mut self) {
        self.inner.hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        if self.head.as_ref().is_some_and(|head| head.goes_alone) {
            let mut out = VecDeque::new();
            self.take_head(&mut out);
            self.inner.write(&mut out)?;
        }
        self.inner.flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        let mut out = VecDeque::new();
        self.take_head(&mut out);
        self.body.end(&mut out);
        self.inner.write(&mut out)?;
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}
