//! What a session receives, on its way to whoever consumes it.
//!
//! The carrier's reader brings the bytes. As long as the consumer takes them
//! without waiting, the reader writes them itself; what does not fit is parked
//! within a bound, and a thread that exists only while something is parked
//! writes it on. So a consumer that stops costs its own session's bound and
//! nobody else's time.

mod delivering;

use std::collections::VecDeque;
use std::sync::Arc;

use super::bounds::Bounds;
use super::parked::Parked;
use crate::buf::Buf;
use crate::link::{Handle, LinkError, Writer};
use crate::net::Network;
use crate::pipe::Wake;
use crate::sync::Done;
use crate::sync::shim::{Condvar, Mutex, MutexGuard};

/// The receiving side of one session.
pub(super) struct Inlet {
    network: Network,
    bounds: Bounds,
    state: Mutex<State>,
    /// Parked bytes have left, or the inlet has ended.
    room: Condvar,
    done: Arc<Done>,
}

struct State {
    consumer: Consumer,
    parked: Parked,
    /// The peer keeps to the credit that it is granted, which bounds what can
    /// be parked.
    has_credit: bool,
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

/// Why there is no consumer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerGone {
    /// It has failed.
    Failed,
    /// It has taken nothing for too long, while it held the carrier up.
    Stalled,
}

impl Inlet {
    /// With `has_credit` the peer is held back by credit, and the carrier's
    /// reader never waits.
    pub(super) fn new(network: Network, has_credit: bool, bounds: Bounds) -> Self {
        let parked = Parked::new(network, bounds.part());
        Self {
            network,
            bounds,
            state: Mutex::new(State {
                consumer: Consumer::Awaited,
                parked,
                has_credit,
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

    /// The peer has turned out to keep to credit.
    pub(super) fn rely_on_credit(&self) {
        self.state.lock().has_credit = true;
        self.room.notify_all();
    }

    /// Gives the session its consumer. What that takes is told to `consumed`.
    pub(super) fn attach(
        &self,
        writer: Box<dyn Writer>,
        consumed: &dyn Fn(usize),
    ) -> Result<Step, ConsumerGone> {
        let handle = writer.handle();
        let mut state = self.state.lock();
        state.interrupt = Some(handle);
        state.consumer = Consumer::Busy;
        drop(state);
        self.write_parked_now(writer, consumed)
    }

    /// Writes what was parked before the consumer came, as far as it goes
    /// without waiting.
    fn write_parked_now(
        &self,
        mut writer: Box<dyn Writer>,
        consumed: &dyn Fn(usize),
    ) -> Result<Step, ConsumerGone> {
        let mut flushed = false;
        loop {
            let Some(buf) = self.state.lock().parked.pop() else {
                if !flushed && writer.flush().is_err() {
                    return self.lose();
                }
                return Ok(self.give_back(writer));
            };
            flushed = true; // data takes along what was held back
            let charge = buf.footprint();
            match write_now(writer.as_mut(), buf.as_slice(), &drop) {
                Ok(Written::All) => {
                    self.unpark(charge);
                    consumed(buf.len());
                }
                Ok(Written::Only(len)) => {
                    self.state.lock().parked.put_back(buf, len);
                    consumed(len);
                    return Ok(Step::Drain(writer));
                }
                Err(_) => return self.lose(),
            }
        }
    }

    /// Writes what is parked, waiting as it must, until nothing is. The
    /// consumer is ready for the carrier's reader again then, or has ended.
    pub(super) fn drain(
        &self,
        mut writer: Box<dyn Writer>,
        consumed: &dyn Fn(usize),
    ) -> Result<(), ConsumerGone> {
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
            let len = batch.iter().map(Buf::len).sum();
            if writer.write(&mut batch).is_err() {
                return self.lose().map(|_| ());
            }
            self.unpark(charge);
            consumed(len);
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
        state.parked.clear(); // the end may have come while some was parked
        drop(state);
        end_writer(writer.as_mut(), ending);
        self.done.signal();
        Step::None
    }

    /// The consumer of a [`Step::Drain`] is gone, for nobody could run it.
    pub(super) fn consumer_lost(&self) {
        let _ = self.lose();
    }

    fn lose(&self) -> Result<Step, ConsumerGone> {
        let mut state = self.state.lock();
        state.consumer = Consumer::Gone;
        let expected = state.ending == Some(Ending::Abort);
        state.end(Ending::Abort);
        state.parked.clear();
        drop(state);
        self.room.notify_all();
        self.done.signal();
        if expected {
            Ok(Step::None)
        } else {
            Err(ConsumerGone::Failed)
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

    /// Ends the consumer so that it sees an error; drops what is parked. One
    /// that has had its end already is left in peace.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        if self.done.is_done() {
            return;
        }
        state.end(Ending::Abort);
        // Once only: the consumer may be the session's own other half, whose
        // interrupt comes back here.
        let handle = state.interrupt.take();
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
        let mut state = self.state.lock();
        state.parked.taken(charge);
        drop(state);
        self.room.notify_all();
    }

    /// Bytes of memory that wait for the consumer.
    pub(super) fn parked(&self) -> usize {
        self.state.lock().parked.bytes()
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
            self.parked.drop_waiting();
        }
    }

    /// Moves some of what is parked into `batch`; returns its charge.
    fn take_parked(&mut self, batch: &mut VecDeque<Buf>) -> usize {
        if self.ending == Some(Ending::Abort) {
            return 0;
        }
        self.parked.pop_batch(batch)
    }
}

enum Written {
    All,
    /// This many bytes; of a datagram none.
    Only(usize),
}

/// Writes as much as goes without waiting. An empty datagram is written, too.
/// Who waits for it is woken when `keep` drops what it is given.
fn write_now(
    writer: &mut dyn Writer,
    data: &[u8],
    keep: &dyn Fn(Wake),
) -> Result<Written, LinkError> {
    let mut written = 0;
    loop {
        match writer.try_write_quietly(&data[written..]) {
            Ok((len, wake)) => {
                written += len;
                keep(wake);
            }
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
    use crate::limits::{PARKED_PER_SESSION, STALLED_SESSION};
    use crate::link::Interrupt;
    use crate::mux::options::CarrierOptions;
    use crate::mux::wakes::Wakes;

    fn ignore(_: usize) {}

    fn bounds() -> Bounds {
        Bounds::new(&CarrierOptions::default(), Arc::default())
    }

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
        let inlet = Inlet::new(Network::Tcp, false, bounds());
        thread::scope(|scope| {
            let take = |step| match step {
                Ok(Step::None) => {}
                Ok(Step::Drain(writer)) => {
                    scope.spawn(|| inlet.drain(writer, &ignore).unwrap());
                }
                Err(gone) => panic!("the consumer does not fail: {gone:?}"),
            };
            let consumer = Counting {
                next: next.clone(),
                calls: 0,
            };
            take(inlet.attach(Box::new(consumer), &ignore));
            for start in (0..TOTAL).step_by(PIECE) {
                let place = start % 256;
                let len = PIECE.min(TOTAL - start);
                take(inlet.deliver(
                    &counting()[place..place + len],
                    &ignore,
                    &|_| {},
                    &Wakes::default(),
                ));
            }
            inlet.finish();
            assert!(inlet.done().wait_timeout(STALLED_SESSION));
        });
        assert_eq!(next.load(Ordering::Relaxed), TOTAL);
    }

    #[test]
    fn a_consumer_that_nobody_drains_is_the_end() {
        let inlet = Inlet::new(Network::Tcp, false, bounds());
        let consumer = Counting {
            next: Arc::default(),
            calls: 0,
        };
        assert!(matches!(
            inlet.attach(Box::new(consumer), &ignore),
            Ok(Step::None)
        ));
        let step = inlet.deliver(&counting()[..100], &ignore, &|_| {}, &Wakes::default());
        assert!(matches!(step, Ok(Step::Drain(_))));
        drop(step);
        inlet.abort();
        assert!(!inlet.done().is_done(), "it may still be written to");
        inlet.consumer_lost();
        assert!(inlet.done().is_done());
        assert_eq!(inlet.parked(), 0);
    }

    #[test]
    fn parked_bytes_wait_for_the_consumer() {
        let next = Arc::new(AtomicUsize::new(0));
        let inlet = Inlet::new(Network::Tcp, false, bounds());
        assert!(matches!(
            inlet.deliver(&[0, 1, 2], &ignore, &|_| {}, &Wakes::default()),
            Ok(Step::None)
        ));
        assert!(matches!(
            inlet.deliver(&[3, 4], &ignore, &|_| {}, &Wakes::default()),
            Ok(Step::None)
        ));
        inlet.finish();
        let consumer = Counting {
            next: next.clone(),
            calls: 0,
        };
        if let Ok(Step::Drain(writer)) = inlet.attach(Box::new(consumer), &ignore) {
            inlet.drain(writer, &ignore).unwrap();
        }
        assert!(inlet.done().is_done());
        assert_eq!(next.load(Ordering::Relaxed), 5);
    }
}
