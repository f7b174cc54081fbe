//! What a session receives, on its way to whoever consumes it.
//!
//! The carrier's reader brings the bytes. As long as the consumer takes them
//! without waiting, the reader writes them itself; what does not fit is parked
//! within a bound, and a thread that exists only while something is parked
//! writes it on. So a consumer that stops costs its own session's bound and
//! nobody else's time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::options::CarrierOptions;
use super::part::Part;
use super::stats::Counters;
use crate::buf::Buf;
use crate::limits::{
    BUFFER_CLASSES, PARKED_DATAGRAMS, PARKED_PER_CARRIER, PARKED_PER_PROCESS,
    PARKED_UNDER_PRESSURE, STALLED_AGAIN,
};
use crate::link::{Handle, LinkError, Writer};
use crate::net::Network;
use crate::sync::Done;
use crate::sync::shim::{Condvar, Mutex, MutexGuard};

/// What bounds the receiving side of a carrier's sessions, and counts what
/// happens there.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    parked: usize,
    stalled_session: Duration,
    counters: Arc<Counters>,
    /// Bytes that wait for the consumers of this carrier's sessions.
    parked_here: Arc<AtomicUsize>,
    /// When a session of the carrier was last ended for holding it up.
    ended_one: Arc<Mutex<Option<Instant>>>,
}

impl Bounds {
    pub(super) fn new(options: &CarrierOptions, counters: Arc<Counters>) -> Self {
        Self {
            parked: options.parked,
            stalled_session: options.stalled_session,
            counters,
            parked_here: Arc::default(),
            ended_one: Arc::default(),
        }
    }

    /// Until when a session may hold the carrier up that does so since `begun`
    /// and whose consumer last took something at `progress`.
    ///
    /// That time runs from the consumer's last progress, so that many that
    /// have stalled together are ended together. One that comes to it right
    /// after another has been ended gets less, for the carrier has waited
    /// already: as long as it has flowed meanwhile.
    fn deadline(&self, begun: Instant, progress: Instant) -> Instant {
        let whole = progress + self.stalled_session;
        let Some(ended) = *self.ended_one.lock() else {
            return whole;
        };
        let flowed = begun.saturating_duration_since(ended);
        whole.min(progress.max(begun) + flowed.max(STALLED_AGAIN))
    }

    fn count_stalled(&self) {
        self.counters.stalled.add(1);
        *self.ended_one.lock() = Some(Instant::now());
    }
}

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
    parked: VecDeque<Buf>,
    /// Memory of what is parked or in a drainer's hands.
    parked_bytes: Part,
    /// When the consumer last took something of what is parked.
    progress: Instant,
    /// The peer keeps to the credit that it is granted, which bounds what can
    /// be parked.
    has_credit: bool,
    ending: Option<Ending>,
    /// Wakes a drainer that waits inside the consumer.
    interrupt: Option<Handle>,
    dropped: u64,
}

static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of memory that wait for consumers in this process.
pub(super) fn parked_in_process() -> usize {
    PARKED.load(Ordering::Relaxed)
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
        let parked_bytes = Part::of_carrier(&PARKED, bounds.parked_here.clone());
        Self {
            network,
            bounds,
            state: Mutex::new(State {
                consumer: Consumer::Awaited,
                parked: VecDeque::new(),
                parked_bytes,
                progress: Instant::now(),
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
            let Some(buf) = self.state.lock().parked.pop_front() else {
                if !flushed && writer.flush().is_err() {
                    return self.lose();
                }
                return Ok(self.give_back(writer));
            };
            flushed = true; // data takes along what was held back
            let charge = buf.footprint();
            match write_now(writer.as_mut(), buf.as_slice()) {
                Ok(Written::All) => {
                    self.unpark(charge);
                    consumed(buf.len());
                }
                Ok(Written::Only(len)) => {
                    self.repark(buf, len);
                    consumed(len);
                    return Ok(Step::Drain(writer));
                }
                Err(_) => return self.lose(),
            }
        }
    }

    /// Takes `data` from the carrier's reader: all of it, or one datagram.
    ///
    /// Waits only when as much is parked as may be; tells `held_up` when that
    /// begins and ends.
    pub(super) fn deliver(
        &self,
        data: &[u8],
        consumed: &dyn Fn(usize),
        held_up: &dyn Fn(bool),
    ) -> Result<Step, ConsumerGone> {
        match self.claim_consumer(data, held_up)? {
            Some(writer) => self.write_or_park(writer, data, consumed),
            None => Ok(Step::None),
        }
    }

    /// As [`deliver`](Self::deliver), but a consumer that keeps what it gets
    /// gets the buffer.
    pub(super) fn deliver_buf(
        &self,
        buf: Buf,
        consumed: &dyn Fn(usize),
        held_up: &dyn Fn(bool),
    ) -> Result<Step, ConsumerGone> {
        let Some(mut writer) = self.claim_consumer(buf.as_slice(), held_up)? else {
            return Ok(Step::None);
        };
        let len = buf.len();
        match writer.try_keep(buf) {
            Ok(()) => {
                let step = self.give_back(writer);
                consumed(len);
                Ok(step)
            }
            Err(buf) => self.write_or_park(writer, buf.as_slice(), consumed),
        }
    }

    /// Takes the consumer, to write `data` to it; parks `data` if there is none
    /// or another thread has it.
    fn claim_consumer(
        &self,
        data: &[u8],
        held_up: &dyn Fn(bool),
    ) -> Result<Option<Box<dyn Writer>>, ConsumerGone> {
        let mut state = self.state.lock();
        if state.ending.is_none() && self.is_full(&state) {
            self.bounds.counters.hold_ups.add(1);
            held_up(true);
            let room = self.wait_for_room(&mut state);
            held_up(false);
            if !room {
                self.bounds.count_stalled();
                return Err(ConsumerGone::Stalled);
            }
        }
        if state.ending.is_some() {
            return Ok(None);
        }
        // Only now, for whoever had it may have given it back meanwhile.
        match std::mem::replace(&mut state.consumer, Consumer::Busy) {
            Consumer::Ready(writer) => Ok(Some(writer)),
            other => {
                state.consumer = other;
                self.park(&mut state, data);
                Ok(None)
            }
        }
    }

    fn write_or_park(
        &self,
        mut writer: Box<dyn Writer>,
        data: &[u8],
        consumed: &dyn Fn(usize),
    ) -> Result<Step, ConsumerGone> {
        match write_now(writer.as_mut(), data) {
            Ok(Written::All) => {
                let step = self.give_back(writer);
                consumed(data.len());
                Ok(step)
            }
            Ok(Written::Only(len)) => {
                self.park(&mut self.state.lock(), &data[len..]);
                consumed(len);
                Ok(Step::Drain(writer))
            }
            Err(_) => self.lose(),
        }
    }

    /// Backpressure of last resort (section 12): the carrier's reader waits
    /// for this session. Returns whether it may go on; not if the consumer has
    /// taken nothing for too long.
    fn wait_for_room(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let begun = Instant::now();
        while self.is_full(state) && state.ending.is_none() {
            let deadline = self.bounds.deadline(begun, state.progress);
            if Instant::now() >= deadline {
                return false;
            }
            self.room.wait_until(state, deadline);
        }
        true
    }

    /// Streams of plain peers wait for room; datagrams are dropped.
    fn is_full(&self, state: &State) -> bool {
        self.network == Network::Tcp && !state.has_credit && self.has_its_share(state)
    }

    /// Whether the session has parked as much as it may, which is less when
    /// too much waits on its carrier, or in the whole process.
    fn has_its_share(&self, state: &State) -> bool {
        let here = self.bounds.parked_here.load(Ordering::Relaxed);
        let limit = match here < PARKED_PER_CARRIER && parked_in_process() < PARKED_PER_PROCESS {
            true => self.bounds.parked,
            false => self.bounds.parked.min(PARKED_UNDER_PRESSURE),
        };
        state.parked_bytes.own() >= limit
    }

    fn park(&self, state: &mut State, data: &[u8]) {
        let is_kept = match self.network {
            Network::Tcp => true,
            Network::Udp => state.parked.len() < PARKED_DATAGRAMS && !self.has_its_share(state),
        };
        if is_kept {
            state.park(data, self.network);
        } else {
            state.dropped += 1;
            self.bounds.counters.dropped.add(1);
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
        state.drop_parked(); // the end may have come while some was parked
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
        state.drop_parked();
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
        state.parked_bytes.sub(charge);
        state.progress = Instant::now();
        drop(state);
        self.room.notify_all();
    }

    fn repark(&self, mut buf: Buf, written: usize) {
        buf.advance(written);
        self.state.lock().parked.push_front(buf);
    }

    /// Bytes of memory that wait for the consumer.
    pub(super) fn parked(&self) -> usize {
        self.state.lock().parked_bytes.own()
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
            let parked = self.parked.drain(..).map(|buf| buf.footprint()).sum();
            self.parked_bytes.sub(parked);
        }
    }

    /// Nobody takes anything any more, nor has any of it in hands.
    fn drop_parked(&mut self) {
        self.parked.clear();
        self.parked_bytes.set(0);
    }

    fn park(&mut self, mut data: &[u8], network: Network) {
        if network == Network::Tcp {
            data = self.fill_last(data);
            if data.is_empty() {
                return;
            }
        }
        // Room for more, so that small pieces share a buffer (A3).
        let mut buf = Buf::with_capacity(data.len().max(BUFFER_CLASSES[1]));
        buf.extend(data);
        if self.parked_bytes.own() == 0 {
            self.progress = Instant::now();
        }
        self.parked_bytes.add(buf.footprint());
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
    use std::thread;

    use super::*;
    use crate::limits::{PARKED_PER_SESSION, STALLED_SESSION};
    use crate::link::Interrupt;

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

    #[test]
    fn who_holds_a_carrier_up_after_another_gets_as_long_as_it_has_flowed() {
        let bounds = bounds();
        let start = Instant::now();
        assert_eq!(bounds.deadline(start, start), start + STALLED_SESSION);
        *bounds.ended_one.lock() = Some(start);
        for (flowed, given) in [
            (Duration::ZERO, STALLED_AGAIN),
            (STALLED_AGAIN / 2, STALLED_AGAIN),
            (STALLED_SESSION / 2, STALLED_SESSION / 2),
            (2 * STALLED_SESSION, STALLED_SESSION),
        ] {
            let begun = start + flowed;
            assert_eq!(bounds.deadline(begun, begun), begun + given);
            // What it takes while it is waited for gives it as much again.
            let later = begun + STALLED_AGAIN;
            assert_eq!(bounds.deadline(begun, later), later + given);
        }
        // One that stalled together with the other has had its time.
        let begun = start + STALLED_SESSION;
        assert_eq!(bounds.deadline(begun, start), begun);
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
                take(inlet.deliver(&counting()[place..place + len], &ignore, &|_| {}));
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
        let step = inlet.deliver(&counting()[..100], &ignore, &|_| {});
        assert!(matches!(step, Ok(Step::Drain(_))));
        drop(step);
        inlet.abort();
        assert!(!inlet.done().is_done(), "it may still be written to");
        inlet.consumer_lost();
        assert!(inlet.done().is_done());
        assert_eq!(inlet.parked(), 0);
    }

    /// With little less than that on it each session has its whole room.
    #[test]
    fn a_carrier_on_which_much_waits_leaves_a_session_little_and_others_theirs() {
        static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
        let (one, other) = (bounds(), bounds());
        let is_full = |bounds: &Bounds| {
            let inlet = Inlet::new(Network::Tcp, false, bounds.clone());
            let data = &counting()[..PARKED_UNDER_PRESSURE];
            assert!(matches!(
                inlet.deliver(data, &ignore, &|_| {}),
                Ok(Step::None)
            ));
            let full = inlet.is_full(&inlet.state.lock());
            inlet.abort();
            full
        };
        let mut waiting = Part::of_carrier(&ELSEWHERE, one.parked_here.clone());
        waiting.add(PARKED_PER_CARRIER - 3 * PARKED_UNDER_PRESSURE);
        assert!(!is_full(&one));
        waiting.add(3 * PARKED_UNDER_PRESSURE);
        assert!(is_full(&one));
        assert!(!is_full(&other));
        drop(waiting);
        assert!(!is_full(&one));
        assert_eq!(one.parked_here.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn parked_bytes_wait_for_the_consumer() {
        let next = Arc::new(AtomicUsize::new(0));
        let inlet = Inlet::new(Network::Tcp, false, bounds());
        assert!(matches!(
            inlet.deliver(&[0, 1, 2], &ignore, &|_| {}),
            Ok(Step::None)
        ));
        assert!(matches!(
            inlet.deliver(&[3, 4], &ignore, &|_| {}),
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
