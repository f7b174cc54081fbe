//! What a session receives, on its way to whoever consumes it.
//!
//! The carrier's reader brings the bytes. As long as the consumer takes them
//! without waiting, the reader writes them itself; what does not fit is parked
//! within a bound, and a thread that exists only while something is parked
//! writes it on. So a consumer that stops costs its own session's bound and
//! nobody else's time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, PARKED_DATAGRAMS, PARKED_PER_SESSION, STALLED_SESSION};
use crate::link::{Handle, LinkError, Writer};
use crate::net::Network;
use crate::sync::Done;

/// The receiving side of one session.
pub(super) struct Inlet {
    network: Network,
    state: Mutex<State>,
    /// Parked bytes have left, or the inlet has ended.
    room: Condvar,
    done: Arc<Done>,
}

struct State {
    consumer: Consumer,
    parked: VecDeque<Buf>,
    /// Memory of what is parked or in a drainer's hands.
    parked_bytes: usize,
    ending: Option<Ending>,
    /// Wakes a drainer that waits inside the consumer.
    interrupt: Option<Handle>,
    dropped: u64,
}

enum Consumer {
    /// Not attached yet.
    Awaited,
    Ready(Box<dyn Writer>),
    /// In the hands of the thread that writes to it at this moment.
    Busy,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Once everything parked has been written.
    Orderly,
    Abort,
}

/// What the caller has to do next.
pub(super) enum Step {
    /// Nothing.
    None,
    /// Run [`Inlet::drain`] with this consumer on a thread that may wait.
    Drain(Box<dyn Writer>),
}

/// The consumer has failed, or has made no progress for too long.
#[derive(Debug)]
pub(super) struct ConsumerGone;

impl Inlet {
    pub(super) fn new(network: Network) -> Self {
        Self {
            network,
            state: Mutex::new(State {
                consumer: Consumer::Awaited,
                parked: VecDeque::new(),
                parked_bytes: 0,
                ending: None,
                interrupt: None,
                dropped: 0,
            }),
            room: Condvar::new(),
            done: Arc::new(Done::new()),
        }
    }

    /// Happens when this direction has ended, orderly or not.
    pub(super) fn done(&self) -> &Arc<Done> {
        &self.done
    }

    /// Gives the session its consumer.
    pub(super) fn attach(&self, writer: Box<dyn Writer>) -> Result<Step, ConsumerGone> {
        let handle = writer.handle();
        let mut state = self.state.lock();
        state.interrupt = Some(handle);
        state.consumer = Consumer::Busy;
        drop(state);
        self.write_parked_now(writer)
    }

    /// Writes what was parked before the consumer came, as far as it goes
    /// without waiting.
    fn write_parked_now(&self, mut writer: Box<dyn Writer>) -> Result<Step, ConsumerGone> {
        let mut flushed = false;
        loop {
            let Some(buf) = self.state.lock().parked.pop_front() else {
                if !flushed && writer.flush().is_err() {
                    return self.lose();
                }
                return Ok(self.give_back(writer));
            };
            flushed = true; // data takes along what was held back
            let charge = buf.footprint();
            match write_now(writer.as_mut(), buf.as_slice()) {
                Ok(Written::All) => self.unpark(charge),
                Ok(Written::Only(len)) => {
                    self.repark(buf, len);
                    return Ok(Step::Drain(writer));
                }
                Err(_) => return self.lose(),
            }
        }
    }

    /// Takes `data` from the carrier's reader: all of it, or one datagram.
    ///
    /// Waits only when as much is parked as may be.
    pub(super) fn deliver(&self, data: &[u8]) -> Result<Step, ConsumerGone> {
        match self.claim_consumer(data)? {
            Some(writer) => self.write_or_park(writer, data),
            None => Ok(Step::None),
        }
    }

    /// Takes the consumer, to write `data` to it; parks `data` if there is none
    /// or another thread has it.
    fn claim_consumer(&self, data: &[u8]) -> Result<Option<Box<dyn Writer>>, ConsumerGone> {
        let mut state = self.state.lock();
        if !self.wait_for_room(&mut state) {
            return Err(ConsumerGone);
        }
        if state.ending.is_some() {
            return Ok(None);
        }
        // Only now, for whoever had it may have given it back meanwhile.
        match std::mem::replace(&mut state.consumer, Consumer::Busy) {
            Consumer::Ready(writer) => Ok(Some(writer)),
            other => {
                state.consumer = other;
                state.park(data, self.network);
                Ok(None)
            }
        }
    }

    fn write_or_park(
        &self,
        mut writer: Box<dyn Writer>,
        data: &[u8],
    ) -> Result<Step, ConsumerGone> {
        match write_now(writer.as_mut(), data) {
            Ok(Written::All) => Ok(self.give_back(writer)),
            Ok(Written::Only(len)) => {
                self.state.lock().park(&data[len..], self.network);
                Ok(Step::Drain(writer))
            }
            Err(_) => self.lose(),
        }
    }

    /// Backpressure of last resort (section 12): the carrier's reader waits
    /// for this session. Returns whether it may go on; not if the consumer
    /// took nothing for [`STALLED_SESSION`].
    fn wait_for_room(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let mut deadline = Instant::now() + STALLED_SESSION;
        while state.is_full(self.network) && state.ending.is_none() {
            let before = state.parked_bytes;
            let timed_out = self.room.wait_until(state, deadline).timed_out();
            if state.parked_bytes < before {
                deadline = Instant::now() + STALLED_SESSION;
            } else if timed_out {
                return false;
            }
        }
        true
    }

    /// Writes what is parked, waiting as it must, until nothing is. The
    /// consumer is ready for the carrier's reader again then, or has ended.
    pub(super) fn drain(&self, mut writer: Box<dyn Writer>) -> Result<(), ConsumerGone> {
        let mut batch = VecDeque::new();
        loop {
            let charge = self.state.lock().take_parked(&mut batch);
            if charge == 0 {
                match self.give_back_unless_parked(writer) {
                    None => return Ok(()),
                    Some(again) => writer = again,
                }
                continue;
            }
            if writer.write(&mut batch).is_err() {
                return self.lose().map(|_| ());
            }
            self.unpark(charge);
        }
    }

    fn give_back_unless_parked(&self, writer: Box<dyn Writer>) -> Option<Box<dyn Writer>> {
        match self.give_back(writer) {
            Step::None => None,
            Step::Drain(writer) => Some(writer),
        }
    }

    /// Puts the consumer back in its place, or ends it if its time has come.
    fn give_back(&self, mut writer: Box<dyn Writer>) -> Step {
        let mut state = self.state.lock();
        if state.ending != Some(Ending::Abort) && !state.parked.is_empty() {
            return Step::Drain(writer);
        }
        let Some(ending) = state.ending else {
            state.consumer = Consumer::Ready(writer);
            return Step::None;
        };
        state.consumer = Consumer::Gone;
        drop(state);
        end_writer(writer.as_mut(), ending);
        self.done.signal();
        Step::None
    }

    fn lose(&self) -> Result<Step, ConsumerGone> {
        let mut state = self.state.lock();
        state.consumer = Consumer::Gone;
        let expected = state.ending == Some(Ending::Abort);
        state.end(Ending::Abort);
        drop(state);
        self.room.notify_all();
        self.done.signal();
        if expected {
            Ok(Step::None)
        } else {
            Err(ConsumerGone)
        }
    }

    /// The peer has sent all: the consumer's end follows what is parked.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        if state.ending.is_some() {
            return;
        }
        state.ending = Some(Ending::Orderly);
        self.end_if_ready(state, Ending::Orderly);
    }

    /// Ends the consumer so that it sees an error; drops what is parked.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        state.end(Ending::Abort);
        let handle = state.interrupt.clone();
        let awaited = matches!(state.consumer, Consumer::Awaited);
        self.end_if_ready(state, Ending::Abort);
        self.room.notify_all();
        if awaited {
            self.done.signal();
        }
        if let Some(handle) = handle {
            handle.interrupt();
        }
    }

    fn end_if_ready(&self, mut state: MutexGuard<'_, State>, ending: Ending) {
        match std::mem::replace(&mut state.consumer, Consumer::Gone) {
            Consumer::Ready(mut writer) => {
                drop(state);
                end_writer(writer.as_mut(), ending);
                self.done.signal();
            }
            other => state.consumer = other,
        }
    }

    fn unpark(&self, charge: usize) {
        self.state.lock().parked_bytes -= charge;
        self.room.notify_all();
    }

    fn repark(&self, mut buf: Buf, written: usize) {
        buf.advance(written);
        self.state.lock().parked.push_front(buf);
    }

    /// Datagrams that were dropped because too many waited.
    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }
}

impl State {
    /// An orderly ending may become an abort, never the other way round (A14).
    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        if ending == Ending::Abort {
            self.parked.clear();
        }
    }

    /// Streams wait for room, datagrams are dropped.
    fn is_full(&self, network: Network) -> bool {
        network == Network::Tcp && self.parked_bytes >= PARKED_PER_SESSION
    }

    fn park(&mut self, mut data: &[u8], network: Network) {
        match network {
            Network::Tcp => data = self.fill_last(data),
            Network::Udp if self.parked.len() >= PARKED_DATAGRAMS => {
                self.dropped += 1;
                return;
            }
            Network::Udp => {}
        }
        if network == Network::Tcp && data.is_empty() {
            return;
        }
        // Room for more, so that small pieces share a buffer (A3).
        let mut buf = Buf::with_capacity(data.len().max(BUFFER_CLASSES[1]));
        buf.extend(data);
        self.parked_bytes += buf.footprint();
        self.parked.push_back(buf);
    }

    fn fill_last<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Some(last) = self.parked.back_mut() else {
            return data;
        };
        let (fits, rest) = data.split_at(data.len().min(last.spare().len()));
        last.extend(fits);
        rest
    }

    /// Moves some of what is parked into `batch`; returns its charge.
    fn take_parked(&mut self, batch: &mut VecDeque<Buf>) -> usize {
        if self.ending == Some(Ending::Abort) {
            return 0;
        }
        let mut charge = 0;
        while charge < DRAIN_BATCH {
            let Some(buf) = self.parked.pop_front() else {
                break;
            };
            charge += buf.footprint();
            batch.push_back(buf);
        }
        charge
    }
}

/// Bytes that a drainer writes at once.
const DRAIN_BATCH: usize = 64 * 1024;

enum Written {
    All,
    /// This many bytes; of a datagram none.
    Only(usize),
}

/// Writes as much as goes without waiting. An empty datagram is written, too.
fn write_now(writer: &mut dyn Writer, data: &[u8]) -> Result<Written, LinkError> {
    let mut written = 0;
    loop {
        match writer.try_write(&data[written..]) {
            Ok(len) => written += len,
            Err(LinkError::WouldBlock) => return Ok(Written::Only(written)),
            Err(e) => return Err(e),
        }
        if written >= data.len() {
            return Ok(Written::All);
        }
    }
}

fn end_writer(writer: &mut dyn Writer, ending: Ending) {
    if ending == Ending::Abort || writer.close().is_err() {
        writer.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::link::Interrupt;

    struct Nobody;

    impl Interrupt for Nobody {
        fn interrupt(&self) {}
    }

    /// Bytes that count up, for any place modulo 256 to start from.
    fn counting() -> &'static [u8] {
        static BYTES: LazyLock<Vec<u8>> =
            LazyLock::new(|| (0..PARKED_PER_SESSION).map(|n| n as u8).collect());
        &BYTES
    }

    /// Takes bytes that count up, now and then only after a wait.
    struct Counting {
        next: Arc<AtomicUsize>,
        calls: usize,
    }

    impl Counting {
        fn take(&mut self, data: &[u8]) {
            let place = self.next.fetch_add(data.len(), Ordering::Relaxed) % 256;
            assert!(data == &counting()[place..place + data.len()]);
        }
    }

    impl Writer for Counting {
        fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
            for buf in batch.drain(..) {
                self.take(buf.as_slice());
            }
            Ok(())
        }

        fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
            self.calls += 1;
            if self.calls.is_multiple_of(3) {
                return Err(LinkError::WouldBlock);
            }
            let len = data.len().div_ceil(2);
            self.take(&data[..len]);
            Ok(len)
        }

        fn close(&mut self) -> Result<(), LinkError> {
            Ok(())
        }

        fn abort(&mut self) {}

        fn handle(&self) -> Handle {
            Arc::new(Nobody)
        }
    }

    /// The consumer is handed to and fro between the reader and drainers, and
    /// the parked bytes reach their bound again and again.
    #[test]
    fn bytes_stay_in_order_whoever_writes_them() {
        const TOTAL: usize = 512 * 1024 * 1024;
        const PIECE: usize = 30_000;
        let next = Arc::new(AtomicUsize::new(0));
        let inlet = Inlet::new(Network::Tcp);
        thread::scope(|scope| {
            let take = |step| match step {
                Ok(Step::None) => {}
                Ok(Step::Drain(writer)) => {
                    scope.spawn(|| inlet.drain(writer).unwrap());
                }
                Err(ConsumerGone) => panic!("the consumer does not fail"),
            };
            let consumer = Counting {
                next: next.clone(),
                calls: 0,
            };
            take(inlet.attach(Box::new(consumer)));
            for start in (0..TOTAL).step_by(PIECE) {
                let place = start % 256;
                let len = PIECE.min(TOTAL - start);
                take(inlet.deliver(&counting()[place..place + len]));
            }
            inlet.finish();
            assert!(inlet.done().wait_timeout(STALLED_SESSION));
        });
        assert_eq!(next.load(Ordering::Relaxed), TOTAL);
    }

    #[test]
    fn parked_bytes_wait_for_the_consumer() {
        let next = Arc::new(AtomicUsize::new(0));
        let inlet = Inlet::new(Network::Tcp);
        assert!(matches!(inlet.deliver(&[0, 1, 2]), Ok(Step::None)));
        assert!(matches!(inlet.deliver(&[3, 4]), Ok(Step::None)));
        inlet.finish();
        let consumer = Counting {
            next: next.clone(),
            calls: 0,
        };
        if let Ok(Step::Drain(writer)) = inlet.attach(Box::new(consumer)) {
            inlet.drain(writer).unwrap();
        }
        assert!(inlet.done().is_done());
        assert_eq!(next.load(Ordering::Relaxed), 5);
    }
}
