//! Who sends on a carrier: one thread at a time, whichever has something to
//! send first.
//!
//! The link's writer and what is to be written next make the *pump*. A session
//! that queues a frame takes the pump if nobody has it, and sends what is
//! queued by itself: no other thread has to be woken for it. What the link does
//! not take at once is left to the carrier's writer thread; so is what a
//! session sends in small frames that follow each other closely, for the thread
//! then sends many in one go. The first frame of a session after something has
//! arrived for it is not left to the thread: mostly an answer is waited for next.
//! Who finds the pump taken has queued, and that is enough: the one who has it
//! looks again when it has put the pump back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::extension::Hello;
use super::lanes::{LaneEnds, Lanes, Signals, lanes};
use super::stats::Counter;
use crate::buf::Buf;
use crate::limits::{CARRIER_DELAY, DIRECT_PAUSE, DIRECT_ROUNDS, DIRECT_SIZE, PACE_INTERVAL};
use crate::link::{LinkError, Writer};
use crate::pipe::PipeError;
use crate::sync::Nudge;
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, Ordering};

pub(super) use crate::pipe::Turn;

/// The sending side of a carrier, shared by everyone who sends on it.
pub(super) struct Outgoing {
    lanes: Lanes,
    /// Absent while somebody sends, and after the end.
    pump: Mutex<Option<Pump>>,
    /// For the writer thread.
    nudge: Nudge,
    writing: AtomicBool,
    knows_peer: AtomicBool,
    /// Bytes that the link has taken.
    sent: Counter,
}

/// What it takes to send.
struct Pump {
    writer: Box<dyn Writer>,
    ends: LaneEnds,
    /// What has left the lanes and not been written.
    batch: VecDeque<Buf>,
    /// The writer has taken what it has not sent.
    is_behind: bool,
    /// Nothing more comes out of the lanes.
    is_last: bool,
    /// Found by one who left the consequences to the writer thread.
    failed: Option<LinkError>,
    used: Instant,
    pace: Pace,
}

/// How fast the link takes bytes.
struct Pace {
    since: Instant,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn new(writer: Box<dyn Writer>) -> Self {
        let (lanes, ends) = lanes();
        let pump = Pump {
            writer,
            ends,
            batch: VecDeque::new(),
            is_behind: false,
            is_last: false,
            failed: None,
            used: Instant::now(),
            pace: Pace::new(),
        };
        Self {
            lanes,
            pump: Mutex::new(Some(pump)),
            nudge: Nudge::new(),
            writing: AtomicBool::new(false),
            knows_peer: AtomicBool::new(false),
            sent: Counter::default(),
        }
    }

    // --- For everyone -----------------------------------------------------

    /// Sends a frame with payload, or queues it; waits while the lane is full,
    /// for `limit` if there is one. One that `is_awaited` is not left to be
    /// collected with others.
    pub(super) fn data(
        &self,
        frame: Buf,
        turn: &Turn,
        limit: Option<Duration>,
        is_awaited: bool,
    ) -> Result<(), PipeError> {
        let leaves_now = is_awaited || frame.len() >= DIRECT_SIZE;
        self.lanes.data(frame, turn, limit)?;
        if let Some(pump) = self.take_pump() {
            if leaves_now || pump.used.elapsed() >= DIRECT_PAUSE {
                self.send_now(pump);
            } else {
                self.put_back(pump);
            }
        }
        Ok(())
    }

    /// Sends a frame from where it is, without a copy, if nobody else sends and
    /// the link takes all that comes before it. What the link does not take of
    /// the frame itself is the writer thread's. Returns whether the frame is on
    /// its way; if not, it has to be queued.
    pub(super) fn data_directly(&self, head: &[u8], payload: &[u8]) -> bool {
        let Some(mut pump) = self.take_pump() else {
            return false;
        };
        let sent = self.send_pieces(&mut pump, [head, payload]);
        let is_sent = sent.unwrap_or_else(|e| {
            pump.failed.get_or_insert(e);
            false
        });
        if let Some(again) = self.put_back_and_look(pump) {
            self.send_now(again);
        }
        is_sent
    }

    /// Sends a frame before queued data, or fails at once.
    pub(super) fn control(&self, frame: Buf) -> Result<(), PipeError> {
        self.lanes.control(frame)?;
        self.flush();
        Ok(())
    }

    /// Sends End before queued data.
    pub(super) fn end_now(&self, id: u16, error: bool) {
        self.lanes.end_now(id, error);
        self.flush();
    }

    /// Answers data for an id that is not open.
    pub(super) fn answer_unknown(&self, id: u16) {
        self.lanes.answer_unknown(id);
        self.flush();
    }

    /// Sends End after what is queued.
    pub(super) fn end_after_data(&self, id: u16) {
        self.lanes.end_after_data(id);
        self.flush();
    }

    /// Makes HELLO leave in one write with the first frame, in front of it.
    pub(super) fn greet(&self, hello: Hello) {
        self.lanes.signal(|signals| signals.greeting = Some(hello));
    }

    /// Answers a peer's HELLO.
    pub(super) fn hello(&self, hello: Hello) {
        self.signal(|signals| signals.hello = Some(hello));
    }

    /// Asks a muxcool peer for a PONG.
    pub(super) fn ping(&self, nonce: u64) {
        self.signal(|signals| signals.ping(nonce));
    }

    /// Answers a PING.
    pub(super) fn pong(&self, nonce: u64) {
        self.signal(|signals| signals.pong(nonce));
    }

    /// Grants sessions' payload up to an offset each.
    pub(super) fn credit(&self, grants: &[(u16, u64)]) {
        self.signal(|signals| signals.credit(grants));
    }

    /// Asks for no more sessions.
    pub(super) fn drain(&self) {
        self.signal(|signals| signals.drain = true);
    }

    /// Asks a plain peer for an End (section 14).
    pub(super) fn probe(&self) {
        self.signal(Signals::probe);
    }

    fn signal(&self, note: impl FnOnce(&mut Signals)) {
        self.lanes.signal(note);
        self.flush();
    }

    /// The peer has spoken, and so has said HELLO if it ever will: from now on
    /// credit bounds what a session has on its way to a muxcool peer, and more
    /// may wait than such a peer would forgive before (section 11).
    pub(super) fn know_peer(&self) {
        self.knows_peer.store(true, Ordering::Relaxed);
    }

    /// Whether the carrier's link is taking a write at this moment, or lets it
    /// wait.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// While the link lets a write wait: the bytes that it had taken before.
    pub(super) fn stuck_at(&self) -> Option<u64> {
        self.is_writing().then(|| self.sent())
    }

    /// Bytes that the carrier's link has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Lets what is queued leave, and then the carrier end.
    pub(super) fn close(&self) {
        self.lanes.close();
        self.nudge.call();
    }

    /// Drops what is queued; the writer thread ends at once.
    pub(super) fn interrupt(&self) {
        self.lanes.interrupt();
        self.nudge.call();
    }

    // --- Sending ----------------------------------------------------------

    /// Body of the carrier's writer thread: sends what others leave to it,
    /// until the lanes end, and ends the link.
    ///
    /// # Errors
    /// The link's, or [`LinkError::Reset`] after an interrupt.
    pub(super) fn run(&self) -> Result<(), LinkError> {
        loop {
            if let Some(mut pump) = self.take_pump() {
                match self.pump_dry(&mut pump) {
                    Ok(true) => return pump.writer.close(),
                    Ok(false) => self.put_back(pump),
                    Err(e) => {
                        self.put_back_broken(pump);
                        return Err(e);
                    }
                }
            }
            self.nudge.wait();
        }
    }

    /// Until [`discard`](Self::discard), so that the lanes go on taking what
    /// comes as long as the carrier is not known to be lost: a sender that was
    /// refused would try the same carrier again.
    fn put_back_broken(&self, mut pump: Pump) {
        pump.failed = Some(LinkError::Reset);
        *self.pump.lock() = Some(pump);
    }

    /// Aborts the link, which has failed, and lets go of it, once the carrier has
    /// ended.
    pub(super) fn discard(&self) {
        if let Some(mut pump) = self.take_pump() {
            pump.writer.abort();
        }
    }

    /// Sends until nothing is queued. Returns whether nothing ever will be.
    fn pump_dry(&self, pump: &mut Pump) -> Result<bool, LinkError> {
        if let Some(failed) = pump.failed.take() {
            return Err(failed);
        }
        while pump.fill(&self.lanes)? || pump.is_behind {
            self.write(pump)?;
        }
        Ok(pump.is_last)
    }

    /// Sends what is queued as far as the link takes it without waiting. The
    /// calling thread must hold no lock.
    fn flush(&self) {
        if let Some(pump) = self.take_pump() {
            self.send_now(pump);
        }
    }

    /// Sends what is queued, and for a few rounds what others queue meanwhile.
    /// What is left after that is the writer thread's.
    fn send_now(&self, mut pump: Pump) {
        for _ in 1..DIRECT_ROUNDS {
            self.send_round(&mut pump);
            match self.put_back_and_look(pump) {
                Some(again) => pump = again,
                None => return,
            }
        }
        self.send_round(&mut pump);
        self.put_back(pump);
    }

    fn send_round(&self, pump: &mut Pump) {
        if let Err(e) = self.send_once(pump) {
            pump.failed.get_or_insert(e);
        }
    }

    fn send_once(&self, pump: &mut Pump) -> Result<(), LinkError> {
        if pump.failed.is_some() || !(pump.is_behind || pump.fill(&self.lanes)?) {
            return Ok(());
        }
        let len = pump.waiting();
        pump.is_behind = !pump.writer.start_write(&mut pump.batch)?;
        self.written(pump, len - pump.waiting());
        Ok(())
    }

    /// Returns whether the pieces were sent, or some of them and the rest is in
    /// the batch.
    fn send_pieces(&self, pump: &mut Pump, pieces: [&[u8]; 2]) -> Result<bool, LinkError> {
        self.send_once(pump)?;
        if pump.is_unfinished() {
            return Ok(false);
        }
        let len = match pump.writer.try_write_pieces(&pieces) {
            Err(LinkError::WouldBlock) => return Ok(false),
            sent => sent?,
        };
        pump.batch.extend(rest_of(pieces, len));
        self.written(pump, len);
        Ok(true)
    }

    fn written(&self, pump: &mut Pump, len: usize) {
        self.sent.add(len);
        pump.used = Instant::now();
        let room = pump.pace.note(len, pump.used);
        if let Some(room) = room
            && self.knows_peer.load(Ordering::Relaxed)
        {
            self.lanes.hold(room);
        }
    }

    fn write(&self, pump: &mut Pump) -> Result<(), LinkError> {
        let len = pump.waiting();
        self.writing.store(true, Ordering::Relaxed);
        let written = pump.writer.write(&mut pump.batch);
        self.writing.store(false, Ordering::Relaxed);
        written?;
        pump.is_behind = false;
        self.written(pump, len);
        Ok(())
    }

    fn take_pump(&self) -> Option<Pump> {
        self.pump.lock().take()
    }

    /// Returns the pump if there is more to send, and nobody else sends it.
    fn put_back_and_look(&self, pump: Pump) -> Option<Pump> {
        if pump.is_unfinished() {
            self.put_back(pump);
            return None;
        }
        *self.pump.lock() = Some(pump);
        match self.lanes.has_news() {
            true => self.take_pump(),
            false => None,
        }
    }

    /// Whoever queued something while the pump was away relies on this look.
    fn put_back(&self, pump: Pump) {
        let unfinished = pump.is_unfinished();
        *self.pump.lock() = Some(pump);
        if unfinished || self.lanes.has_news() {
            self.nudge.call();
        }
    }
}

impl Pump {
    /// Takes what is queued, if all that was taken before has left. Returns
    /// whether there is something to write.
    fn fill(&mut self, lanes: &Lanes) -> Result<bool, PipeError> {
        if self.batch.is_empty() {
            self.is_last = self.ends.collect(lanes, &mut self.batch)?;
        }
        Ok(!self.batch.is_empty())
    }

    fn waiting(&self) -> usize {
        self.batch.iter().map(Buf::len).sum()
    }

    fn is_unfinished(&self) -> bool {
        !self.batch.is_empty() || self.is_behind || self.is_last || self.failed.is_some()
    }
}

/// What is left of the pieces behind the first `len` bytes; `None` if nothing.
fn rest_of([head, payload]: [&[u8]; 2], len: usize) -> Option<Buf> {
    let head_left = head.get(len..).unwrap_or_default();
    let payload_left = payload
        .get(len.saturating_sub(head.len())..)
        .unwrap_or_default();
    if payload_left.is_empty() {
        return None;
    }
    let mut rest = Buf::copy_of(payload_left);
    rest.prepend(head_left);
    Some(rest)
}

impl Pace {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Counts `len` bytes that have left. Returns what leaves in
    /// [`CARRIER_DELAY`], now and then.
    fn note(&mut self, len: usize, now: Instant) -> Option<usize> {
        self.bytes += len;
        let time = now.saturating_duration_since(self.since);
        if time < PACE_INTERVAL {
            return None;
        }
        let room = self.bytes as f64 * CARRIER_DELAY.as_secs_f64() / time.as_secs_f64();
        self.since = now;
        self.bytes = 0;
        Some(room as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CARRIER_PIPE;
    use crate::link::PipeLinkWriter;
    use crate::pipe::pipe;

    /// There is no writer thread: what is left to it stays where it is.
    #[test]
    fn what_is_awaited_leaves_at_once() {
        let (link, writer) = pipe(CARRIER_PIPE);
        let outgoing = Outgoing::new(Box::new(PipeLinkWriter::new(writer)));
        for _ in 0..100 {
            outgoing
                .data(Buf::copy_of(b"x"), &Turn::default(), None, true)
                .unwrap();
            assert!(matches!(link.try_read(), Ok(Some(_))));
        }
    }

    #[test]
    fn what_may_wait_follows_the_pace() {
        let mut pace = Pace::new();
        let start = pace.since;
        let second = Duration::from_secs(1);
        assert_eq!(pace.note(1000, start + PACE_INTERVAL / 2), None);
        let room = pace.note(1_000_000 - 1000, start + second);
        assert_eq!(room, Some(2000));
        // A burst counts with the silence before it.
        let room = pace.note(500_000, start + 2 * second);
        assert_eq!(room, Some(1000));
    }
}
