//! What waits for a session's consumer.

use std::collections::VecDeque;
use std::time::Instant;

use super::part::Part;
use crate::buf::Buf;
use crate::limits::BUFFER_CLASSES;
use crate::net::Network;

/// Pieces of a stream, or datagrams, in order; charged for the memory that they
/// pin until they are [taken](Self::taken), not only until they are handed out.
pub(super) struct Parked {
    network: Network,
    waiting: VecDeque<Buf>,
    /// Memory of what waits or is in a drainer's hands.
    charged: Part,
    /// When the consumer last took something.
    progress: Instant,
}

/// What may have to be parked.
pub(super) trait Piece: AsRef<[u8]> {
    /// Parks all but the first `written` bytes.
    fn park(self, written: usize, parked: &mut Parked);
}

impl Piece for &[u8] {
    fn park(self, written: usize, parked: &mut Parked) {
        parked.push(self.get(written..).unwrap_or_default());
    }
}

/// It is parked as it is, unless more than an eighth of its memory would be
/// parked in vain.
impl Piece for Buf {
    fn park(mut self, written: usize, parked: &mut Parked) {
        self.advance(written);
        match self.footprint() - self.len() > self.footprint() / 8 {
            true => parked.push(self.as_slice()),
            false => parked.append(self),
        }
    }
}

impl Parked {
    pub(super) fn new(network: Network, charged: Part) -> Self {
        Self {
            network,
            waiting: VecDeque::new(),
            charged,
            progress: Instant::now(),
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.charged.own()
    }

    /// Buffers that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the consumer last took something, or else since when anything waits.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    /// Puts a copy of `data` last.
    pub(super) fn push(&mut self, mut data: &[u8]) {
        if self.network == Network::Tcp {
            data = self.fill_last(data);
            if data.is_empty() {
                return;
            }
        }
        // Room for more, so that small pieces share a buffer (A3).
        let mut buf = Buf::with_capacity(data.len().max(BUFFER_CLASSES[1]));
        buf.extend(data);
        self.append(buf);
    }

    fn append(&mut self, buf: Buf) {
        if self.bytes() == 0 {
            self.progress = Instant::now();
        }
        self.charged.add(buf.footprint());
        self.waiting.push_back(buf);
    }

    fn fill_last<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Some(last) = self.waiting.back_mut() else {
            return data;
        };
        let (fits, rest) = data.split_at(data.len().min(last.spare().len()));
        last.extend(fits);
        rest
    }

    /// Hands the first out.
    pub(super) fn pop(&mut self) -> Option<Buf> {
        self.waiting.pop_front()
    }

    /// What was handed out waits again, but for its first `written` bytes.
    pub(super) fn put_back(&mut self, mut buf: Buf, written: usize) {
        buf.advance(written);
        self.waiting.push_front(buf);
    }

    /// Hands out what a drainer writes at once; returns its charge.
    pub(super) fn pop_batch(&mut self, batch: &mut VecDeque<Buf>) -> usize {
        let mut charge = 0;
        while charge < DRAIN_BATCH {
            let Some(buf) = self.pop() else {
                break;
            };
            charge += buf.footprint();
            batch.push_back(buf);
        }
        charge
    }

    /// The consumer has what was handed out and is charged `charge`.
    pub(super) fn taken(&mut self, charge: usize) {
        self.charged.sub(charge);
        self.progress = Instant::now();
    }

    /// Drops what waits, but not what is in a drainer's hands.
    pub(super) fn drop_waiting(&mut self) {
        let waited = self.waiting.drain(..).map(|buf| buf.footprint()).sum();
        self.charged.sub(waited);
    }

    /// Nobody takes anything any more, nor has any of it in hands.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.charged.set(0);
    }
}

/// Bytes that a drainer writes at once.
const DRAIN_BATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::mux::bounds::Bounds;
    use crate::mux::options::CarrierOptions;

    fn parked(network: Network) -> Parked {
        let bounds = Bounds::new(&CarrierOptions::default(), Arc::default());
        Parked::new(network, bounds.part())
    }

    fn drain(parked: &mut Parked) -> Vec<u8> {
        std::iter::from_fn(|| parked.pop())
            .flat_map(|buf| buf.as_slice().to_vec())
            .collect()
    }

    #[test]
    fn a03_small_pieces_of_a_stream_share_memory_and_datagrams_do_not() {
        for (network, buffers) in [(Network::Tcp, 1), (Network::Udp, 100)] {
            let mut parked = parked(network);
            (0..100).for_each(|n| parked.push(&[n]));
            assert_eq!(parked.len(), buffers, "{network:?}");
            assert!(drain(&mut parked).into_iter().eq(0..100));
        }
    }

    #[test]
    fn a_buffer_waits_as_it_is_unless_little_of_it_is_left() {
        let data = vec![7; BUFFER_CLASSES[3]];
        for (written, is_kept) in [(0, true), (10, true), (data.len() - 10, false)] {
            let buf = Buf::copy_of(&data);
            let place = buf.as_slice()[written..].as_ptr();
            let mut parked = parked(Network::Tcp);
            buf.park(written, &mut parked);
            assert_eq!(parked.waiting[0].as_slice().as_ptr() == place, is_kept);
            assert_eq!(parked.bytes() >= data.len(), is_kept);
            assert_eq!(drain(&mut parked), data[written..]);
        }
    }

    #[test]
    fn what_is_handed_out_is_charged_until_it_is_taken() {
        let mut parked = parked(Network::Tcp);
        parked.push(&vec![7; DRAIN_BATCH]);
        parked.push(&[8; 1000]);
        let whole = parked.bytes();
        let mut batch = VecDeque::new();
        let charge = parked.pop_batch(&mut batch);
        assert!(charge >= DRAIN_BATCH && charge < whole);
        assert_eq!(parked.bytes(), whole);
        parked.taken(charge);
        assert_eq!(parked.bytes(), whole - charge);
        parked.drop_waiting();
        assert_eq!((parked.bytes(), parked.len()), (0, 0));
    }

    #[test]
    fn the_end_leaves_the_drainer_its_part() {
        let mut parked = parked(Network::Tcp);
        parked.push(&vec![7; DRAIN_BATCH]);
        parked.push(&[8; 1000]);
        let charge = parked.pop_batch(&mut VecDeque::new());
        parked.drop_waiting();
        assert_eq!((parked.bytes(), parked.len()), (charge, 0));
        parked.clear();
        assert_eq!(parked.bytes(), 0);
    }

    #[test]
    fn what_is_put_back_comes_first_without_what_was_written() {
        let mut parked = parked(Network::Udp);
        parked.push(b"abc");
        parked.push(b"def");
        let first = parked.pop().unwrap();
        parked.put_back(first, 2);
        assert_eq!(drain(&mut parked), b"cdef");
    }
}
