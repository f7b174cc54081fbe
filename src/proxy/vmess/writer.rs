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
pub(super) struct BodyWriter<W> {
    inner: W,
    head: Option<Head>,
    body: Body,
    /// What is to be sent before anything else.
    ready: VecDeque<Buf>,
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
            ready: VecDeque::new(),
        }
    }

    fn take_head(&mut self) {
        if let Some(head) = self.head.take() {
            self.ready.push_back(Buf::copy_of(&(head.make)()));
        }
    }

    fn take(&mut self, batch: &mut VecDeque<Buf>) {
        if !batch.is_empty() {
            self.take_head();
        }
        self.body.put(batch, &mut self.ready);
    }

    fn send(&mut self) -> Result<(), LinkError> {
        self.inner.write(&mut self.ready)
    }

    /// Returns whether all that is ready has left.
    fn start_send(&mut self) -> Result<bool, LinkError> {
        Ok(self.inner.start_write(&mut self.ready)? && self.ready.is_empty())
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
        self.take(batch);
        self.send()
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        if !self.start_send()? {
            return Ok(false);
        }
        self.take(batch);
        self.start_send()
    }

    fn hold_little(&mut self) {
        self.inner.hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        if self.head.as_ref().is_some_and(|head| head.goes_alone) {
            self.take_head();
        }
        self.send()?;
        self.inner.flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.take_head();
        self.body.end(&mut self.ready);
        self.send()?;
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

#[cfg(test)]
mod tests {
    use super::super::opener::Opener;
    use super::super::samples;
    use super::*;
    use crate::link::{Link, Reader, pair};
    use crate::net::Destination;

    fn header() -> RequestHeader {
        samples::header(Destination::tcp("example.com", 53).unwrap())
    }

    fn writer(inner: Box<dyn Writer>) -> BodyWriter<Box<dyn Writer>> {
        let head = Head {
            make: Box::new(|| b"HEAD".to_vec()),
            goes_alone: true,
        };
        BodyWriter::new(inner, head, Body::new(&header(), Direction::Request))
    }

    fn all_of(mut reader: Box<dyn Reader>) -> Vec<u8> {
        let (mut opener, mut out) = (Opener::new(&header(), Direction::Request), VecDeque::new());
        let mut head = 4;
        while let Some(mut buf) = reader.read().unwrap() {
            let of_head = head.min(buf.len());
            assert_eq!(buf.as_slice()[..of_head], b"HEAD"[4 - head..][..of_head]);
            buf.advance(of_head);
            head -= of_head;
            opener.push(buf, &mut out).unwrap();
        }
        assert!(opener.has_ended());
        out.iter().flat_map(Buf::as_slice).copied().collect()
    }

    /// What is encrypted and has not left goes before what comes after it.
    #[test]
    fn nothing_is_lost_or_overtaken_where_nobody_waits() {
        let data: Vec<u8> = (0..1_000_000_u32).map(|at| (at >> 5) as u8).collect();
        let (Link { writer: inner, .. }, far) = pair(1);
        let reading = std::thread::spawn(|| all_of(far.reader));
        let mut writer = writer(inner);
        let mut stayed_behind = 0;
        for piece in data.chunks(70_000) {
            let mut batch: VecDeque<Buf> = piece.chunks(30_000).map(Buf::copy_of).collect();
            if !writer.start_write(&mut batch).unwrap() {
                stayed_behind += 1;
                writer.start_write(&mut batch).unwrap();
                writer.write(&mut batch).unwrap();
            }
            assert!(batch.is_empty());
        }
        writer.close().unwrap();
        assert!(reading.join().unwrap() == data, "other bytes came");
        assert!(stayed_behind > 0);
    }

    #[test]
    fn a_flush_sends_the_head_once_and_what_stayed_behind() {
        let (near, far) = pair(1);
        let Link {
            writer: inner,
            reader: _reader,
        } = near;
        let mut writer = writer(inner);
        writer.flush().unwrap();
        let mut batch = VecDeque::from([Buf::copy_of(&[7; 10]), Buf::copy_of(&[8; 10_000])]);
        assert!(!writer.start_write(&mut batch).unwrap(), "the pipe is full");
        let reading = std::thread::spawn(|| all_of(far.reader));
        writer.write(&mut batch).unwrap();
        writer.flush().unwrap();
        writer.close().unwrap();
        assert_eq!(
            reading.join().unwrap(),
            [vec![7; 10], vec![8; 10_000]].concat()
        );
    }
}
