//! One session: its two directions, how each ends, and how both do.
//!
//! Lock order in `mux`, outermost first: a picker's list, a carrier's table, a
//! session's ends, an inlet's state. None of them is held while anything is
//! read, written or interrupted.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};

use super::MuxError;
use super::carrier::Carrier;
use super::flow::{Flow, Received};
use super::frame::{keep_header, new_header};
use super::inlet::{ConsumerGone, Inlet, Step};
use crate::buf::Buf;
use crate::limits::{DIRECT_SIZE, DRAIN_QUIET, FRAME_PAYLOAD};
use crate::link::{Handle, LinkError, Writer};
use crate::net::{Destination, Network};
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Complaints, Done, Lately, Next, Periodic};

/// Sessions that were ended for holding up their carriers.
static STALLED: Complaints = Complaints::new();

/// A session of a carrier, from the moment it has an id until both sides have
/// ended it.
pub(super) struct Session {
    id: u16,
    target: Destination,
    carrier: Arc<Carrier>,
    inlet: Inlet,
    flow: Flow,
    ends: Mutex<Ends>,
    /// Pieces that have arrived; a change of it shows that more does.
    arrivals: AtomicU64,
    /// A datagram has gone one way or the other.
    moved: Lately,
    /// Sends the End that waits for a plain server's answer.
    end_timer: Mutex<Option<Periodic>>,
    /// Frees who reads what this side sends, once nobody wants it any more.
    source: Mutex<Option<Handle>>,
    is_over: AtomicBool,
    over: Done,
}

/// Which sides have said that no more comes from them.
#[derive(Default)]
struct Ends {
    /// The peer knows of the session, or New is queued.
    announced: bool,
    local: bool,
    /// This side has ended, but End has not been sent yet.
    end_is_due: bool,
    /// End was sent to a plain server because its answer had gone quiet, after
    /// as many pieces. It ends the session with the error bit then, which says
    /// nothing of the answer (section 8.2) unless more of that had come.
    quiet_after: Option<u64>,
    remote: bool,
    over: bool,
    failure: Option<Failure>,
}

/// What a cause for a session's end was.
#[derive(PartialEq, Eq)]
enum Finish {
    First,
    /// Not the first.
    Late,
}

/// Why a session ended otherwise than in an orderly way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The peer ended it with the error bit.
    Peer,
    /// This side did.
    Local,
    /// The carrier ended.
    CarrierLost,
}

impl From<Failure> for MuxError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Peer => MuxError::SessionReset,
            Failure::Local => MuxError::Aborted,
            Failure::CarrierLost => MuxError::CarrierLost,
        }
    }
}

impl Session {
    /// A session of this side's, to be [announced](Self::send_new).
    pub(super) fn new(id: u16, target: Destination, carrier: Arc<Carrier>) -> Arc<Self> {
        Self::with_ends(id, target, carrier, Ends::default())
    }

    /// A session that the peer has announced.
    pub(super) fn of_peer(id: u16, target: Destination, carrier: Arc<Carrier>) -> Arc<Self> {
        let ends = Ends {
            announced: true,
            ..Ends::default()
        };
        Self::with_ends(id, target, carrier, ends)
    }

    fn with_ends(id: u16, target: Destination, carrier: Arc<Carrier>, ends: Ends) -> Arc<Self> {
        let peer = carrier.peer();
        let bound = peer.is_aware();
        Arc::new(Self {
            id,
            inlet: Inlet::new(target.network, bound, carrier.bounds().clone()),
            flow: Flow::new(peer, bound, carrier.options()),
            moved: Lately::new(carrier.timer().clock().now()),
            target,
            carrier,
            ends: Mutex::new(ends),
            arrivals: AtomicU64::new(0),
            end_timer: Mutex::new(None),
            source: Mutex::new(None),
            is_over: AtomicBool::new(false),
            over: Done::new(),
        })
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn target(&self) -> &Destination {
        &self.target
    }

    pub(super) fn network(&self) -> Network {
        self.target.network
    }

    /// `carrier/session`, for the log.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.carrier.number(), self.id)
    }

    // --- What arrives -----------------------------------------------------

    /// Gives what arrives to `consumer`. When nobody wants any more what this
    /// side sends, `source` is interrupted.
    pub(super) fn attach(self: &Arc<Self>, consumer: Box<dyn Writer>, source: Handle) {
        *self.source.lock() = Some(source);
        if self.is_over() {
            self.stop_source();
        }
        let step = self.inlet.attach(consumer, &|len| self.consumed(len));
        self.take_step(step);
    }

    /// Happens when the receiving direction has ended, orderly or not.
    pub(super) fn received_all(&self) -> &Arc<Done> {
        self.inlet.done()
    }

    /// Called by the carrier's reader, for a piece of a stream or a datagram.
    /// Returns the offset up to which the peer is to be granted payload, if it
    /// is time to tell it.
    pub(super) fn deliver(self: &Arc<Self>, data: &[u8]) -> Option<u64> {
        self.deliver_by(data.len(), |inlet, consumed, held_up| {
            inlet.deliver(data, consumed, held_up)
        })
    }

    /// As [`deliver`](Self::deliver), for a piece of a stream that has a buffer
    /// for itself.
    pub(super) fn deliver_buf(self: &Arc<Self>, buf: Buf) -> Option<u64> {
        self.deliver_by(buf.len(), |inlet, consumed, held_up| {
            inlet.deliver_buf(buf, consumed, held_up)
        })
    }

    fn deliver_by(
        self: &Arc<Self>,
        len: usize,
        deliver: impl FnOnce(&Inlet, &dyn Fn(usize), &dyn Fn(bool)) -> Result<Step, ConsumerGone>,
    ) -> Option<u64> {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        match self.count(len) {
            Received::Fine => {}
            Received::BoundFromNow => self.inlet.rely_on_credit(),
            Received::PastCredit => {
                debug!("session {}: peer ignores its credit", self.name());
                self.fail();
                return None;
            }
        }
        let peer = self.carrier.peer();
        let granted = Cell::new(None);
        let consumed = |len| granted.set(self.consume(len).or(granted.get()));
        let step = deliver(&self.inlet, &consumed, &|begins| peer.hold_up(begins));
        self.take_step(step);
        granted.get()
    }

    fn count(&self, len: usize) -> Received {
        match self.network() {
            Network::Tcp => self.flow.receive(len, self.carrier.peer().is_aware()),
            Network::Udp => {
                self.datagram_moves();
                Received::Fine
            }
        }
    }

    fn datagram_moves(&self) {
        self.moved.note(self.carrier.timer().clock().now());
    }

    /// The consumer has taken `len` bytes; the peer may be told.
    fn consumed(&self, len: usize) {
        if let Some(offset) = self.consume(len) {
            self.carrier.outgoing().credit(&[(self.id, offset)]);
        }
    }

    /// The consumer has taken `len` bytes. Returns what to grant, if anything.
    fn consume(&self, len: usize) -> Option<u64> {
        if self.network() == Network::Udp {
            return None;
        }
        let peer = self.carrier.peer();
        let offset = self.flow.consume(len, peer);
        offset.filter(|_| !peer.is_plain())
    }

    /// The peer grants payload up to `offset`.
    pub(super) fn granted(&self, offset: u64) {
        self.flow.grant(offset);
    }

    /// The peer, plain until now, has said HELLO.
    pub(super) fn peer_said_hello(&self, window: u32) {
        if self.network() == Network::Udp {
            return;
        }
        let offset = self.flow.limit_to(window);
        self.carrier.outgoing().credit(&[(self.id, offset)]);
        self.send_due_end();
    }

    fn take_step(self: &Arc<Self>, step: Result<Step, ConsumerGone>) {
        match step {
            Ok(Step::None) => {}
            Ok(Step::Drain(consumer)) => self.drain_elsewhere(consumer),
            Err(ConsumerGone::Failed) => self.fail(),
            Err(ConsumerGone::Stalled) => {
                if let Some(unsaid) = STALLED.turn() {
                    info!(
                        "session {} held its carrier up too long{unsaid}",
                        self.name()
                    );
                }
                self.fail();
            }
        }
        self.settle();
    }

    fn drain_elsewhere(self: &Arc<Self>, consumer: Box<dyn Writer>) {
        let session = self.clone();
        let name = format!("mux-dr-{}", self.name());
        let spawned = self.carrier.spawn(&name, move || {
            let consumed = |len| session.consumed(len);
            if session.inlet.drain(consumer, &consumed).is_err() {
                session.fail();
            }
            session.settle();
        });
        if let Err(e) = spawned {
            debug!("session {}: no thread to drain it: {e}", self.name());
            self.inlet.consumer_lost();
            self.fail();
        }
    }

    /// The peer sent an End.
    ///
    /// Without the error bit it is a half-close (section 13): the answer still
    /// goes out. A second one says that the answer is not wanted either.
    /// Datagram sessions have no half-close.
    pub(super) fn remote_end(&self, error: bool) {
        let mut ends = self.ends.lock();
        if error && ends.quiet_after != Some(self.arrived()) {
            drop(ends);
            self.finish(Some(Failure::Peer));
            return;
        }
        let again = std::mem::replace(&mut ends.remote, true);
        let whole = again || self.network() == Network::Udp;
        let local = ends.local;
        ends.local |= whole; // so that only one End leaves (A17)
        drop(ends);
        if whole {
            self.finish(None); // before who reads sees the end, and writes
        }
        self.inlet.finish();
        self.send_due_end();
        if local {
            self.finish(None);
        }
        if whole && !local {
            self.carrier.outgoing().end_now(self.id, false);
            // Only now, for who reads there takes it for a failure.
            self.stop_source();
        }
        self.settle(); // this side may have ended meanwhile
    }

    // --- What leaves ------------------------------------------------------

    /// Sends New, with `payload` if there is one.
    pub(super) fn send_new(&self, payload: Option<Buf>) -> Result<(), LinkError> {
        let (first, rest) = match payload {
            Some(payload) if !self.goes_with_new(&payload) => (None, Some(payload)),
            payload => (payload, None),
        };
        self.queue(self.new_frame(first), None)?;
        self.announced();
        match rest {
            Some(rest) => self.send(rest),
            None => Ok(()),
        }
    }

    fn goes_with_new(&self, payload: &Buf) -> bool {
        let has_credit = || self.network() == Network::Udp || self.flow.take_whole(payload.len());
        self.fits(payload) && has_credit()
    }

    /// New is queued. If the session failed meanwhile, its End follows now:
    /// before, it would have been for an id that the peer does not know (A12).
    fn announced(&self) {
        let mut ends = self.ends.lock();
        ends.announced = true;
        let failed = ends.failure == Some(Failure::Local);
        drop(ends);
        if failed {
            self.carrier.outgoing().end_now(self.id, true);
        }
    }

    fn new_frame(&self, payload: Option<Buf>) -> Buf {
        let header = new_header(self.id, &self.target, payload.as_ref().map(Buf::len));
        let mut frame = payload.unwrap_or_else(|| Buf::with_capacity(header.len()));
        frame.prepend(&header);
        frame
    }

    /// Sends New with `payload`, or Keep, on the control lane; fails at once if
    /// that is full.
    pub(super) fn send_control(&self, first: bool, payload: &[u8]) -> Result<(), LinkError> {
        if self.is_over() {
            return Err(LinkError::Reset);
        }
        let mut frame = Buf::copy_of(payload);
        match first {
            true => frame.prepend(&new_header(self.id, &self.target, Some(payload.len()))),
            false => frame.prepend(&keep_header(self.id, payload.len())),
        }
        self.carrier.outgoing().control(frame)?;
        if first {
            self.announced();
        }
        Ok(())
    }

    /// Sends one buffer: bytes of the stream, or one datagram. Waits while
    /// there is no credit, or the carrier's pipe is full.
    pub(super) fn send(&self, payload: Buf) -> Result<(), LinkError> {
        match self.network() {
            Network::Tcp => self.send_stream(payload),
            Network::Udp => self.send_datagram(payload, None),
        }
    }

    /// In frames of at most [`FRAME_PAYLOAD`], as credit allows.
    fn send_stream(&self, mut payload: Buf) -> Result<(), LinkError> {
        while !payload.is_empty() {
            let len = self.flow.take(payload.len().min(FRAME_PAYLOAD), None)?;
            if len == payload.len() {
                return self.send_keep(payload, None);
            }
            let piece = Buf::copy_of(payload.as_slice().get(..len).unwrap_or_default());
            payload.advance(len);
            self.send_keep(piece, None)?;
        }
        Ok(())
    }

    /// Sends the first bytes of `data`, as many as go in one frame and credit
    /// allows, and says how many. Waits as [`send`](Self::send) does, for
    /// `limit` if there is one; nothing has been sent then.
    pub(super) fn send_some(
        &self,
        data: &[u8],
        limit: Option<Duration>,
    ) -> Result<usize, LinkError> {
        if data.is_empty() {
            return Ok(0);
        }
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let len = self.flow.take(data.len().min(FRAME_PAYLOAD), until)?;
        let piece = data.get(..len).unwrap_or_default();
        if self.send_directly(piece) {
            return Ok(len);
        }
        let piece = Buf::copy_of(piece);
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let sent = self.send_keep(piece, left);
        if sent.is_err() {
            self.flow.give_back(len);
        }
        sent.map(|()| len)
    }

    /// Sends a large piece from where it is, if that is possible now.
    fn send_directly(&self, piece: &[u8]) -> bool {
        let head = keep_header(self.id, piece.len());
        piece.len() >= DIRECT_SIZE
            && !self.is_over()
            && self.carrier.outgoing().data_directly(&head, piece)
    }

    /// Sends one datagram. Waits while the carrier's pipe is full, for `limit`
    /// if there is one.
    pub(super) fn send_datagram(
        &self,
        payload: Buf,
        limit: Option<Duration>,
    ) -> Result<(), LinkError> {
        self.datagram_moves();
        match self.fits(&payload) {
            true => self.send_keep(payload, limit),
            false => {
                self.drop_datagram(&payload);
                Ok(())
            }
        }
    }

    /// As UDP may: a plain peer would end the whole carrier (section 8.3).
    fn drop_datagram(&self, payload: &Buf) {
        self.carrier.counters().dropped.add(1);
        debug!("session {}: dropped {} bytes", self.name(), payload.len());
    }

    fn send_keep(&self, mut payload: Buf, limit: Option<Duration>) -> Result<(), LinkError> {
        payload.prepend(&keep_header(self.id, payload.len()));
        self.queue(payload, limit)
    }

    /// Whether it goes in one frame, and the peer takes it.
    fn fits(&self, payload: &Buf) -> bool {
        let largest = match self.network() {
            Network::Tcp => FRAME_PAYLOAD,
            Network::Udp => self.carrier.peer().largest_datagram(),
        };
        payload.len() <= largest
    }

    fn queue(&self, frame: Buf, limit: Option<Duration>) -> Result<(), LinkError> {
        if self.is_over() {
            return Err(LinkError::Reset);
        }
        self.carrier
            .outgoing()
            .data(frame, limit)
            .map_err(|e| match LinkError::from(e) {
                LinkError::TimedOut => LinkError::TimedOut,
                _ => LinkError::Reset,
            })
    }

    /// No more comes from this side: sends End behind what was sent.
    pub(super) fn end_local(self: &Arc<Self>) -> Result<(), LinkError> {
        let mut ends = self.ends.lock();
        if ends.over {
            return match ends.failure {
                Some(_) => Err(LinkError::Reset),
                None => Ok(()),
            };
        }
        if std::mem::replace(&mut ends.local, true) {
            return Ok(());
        }
        let (announced, remote) = (ends.announced, ends.remote);
        ends.end_is_due = announced;
        drop(ends);
        self.flow.end(); // another handle's write may wait for credit
        if !announced {
            self.inlet.finish();
        } else if remote || !self.waits_with_end() {
            self.send_due_end();
        } else {
            self.send_end_when_quiet();
        }
        if remote || !announced {
            self.finish(None);
        }
        Ok(())
    }

    /// Whether the peer would take End for more than a half-close: a plain
    /// server cuts its answer soon after it (section 13).
    fn waits_with_end(&self) -> bool {
        let waits = !self.carrier.options().end_quiet.is_zero();
        waits && self.network() == Network::Tcp && self.carrier.peers_end_cuts_answers()
    }

    /// Sends End once nothing has arrived for the quiet time.
    fn send_end_when_quiet(self: &Arc<Self>) {
        self.carrier
            .with_sessions(|table| table.end_is_due(self.id));
        let session = Arc::downgrade(self);
        let quiet = self.carrier.options().end_quiet;
        let mut seen = self.arrived();
        let timer = self.carrier.timer().schedule(quiet, move || {
            let Some(session) = session.upgrade() else {
                return Next::Stop;
            };
            let now = session.arrived();
            if std::mem::replace(&mut seen, now) != now {
                return Next::After(quiet);
            }
            session.send_end_after(now);
            Next::Stop
        });
        *self.end_timer.lock() = Some(timer);
    }

    fn arrived(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Sends the End that is still due after so many pieces of an answer.
    fn send_end_after(&self, pieces: u64) {
        let mut ends = self.ends.lock();
        ends.quiet_after = ends.end_is_due.then_some(pieces);
        drop(ends);
        self.send_due_end();
    }

    /// Sends the End that is due, if one is.
    pub(super) fn send_due_end(&self) {
        let mut ends = self.ends.lock();
        let due = std::mem::take(&mut ends.end_is_due) && ends.failure.is_none();
        drop(ends);
        if due {
            self.carrier.outgoing().end_after_data(self.id);
        }
    }

    /// Who sends cannot go on. What arrived before both sides had ended is
    /// still consumed.
    pub(super) fn source_failed(&self) {
        self.finish(Some(Failure::Local));
    }

    /// Sends End behind what was sent, and does not wait for the peer's:
    /// nothing that it still sends is wanted, and it may never send one.
    pub(super) fn leave(self: &Arc<Self>) {
        let _ = self.end_local();
        self.inlet.finish();
        self.finish(None);
    }

    /// This side cannot go on: ends both directions with an error.
    pub(super) fn fail(&self) {
        if self.finish(Some(Failure::Local)) == Finish::Late {
            self.stop_consumer();
        }
    }

    /// Nobody waits for what is parked any more.
    pub(super) fn stop_consumer(&self) {
        self.inlet.abort();
        self.settle();
    }

    /// The carrier has ended. What arrived of a session that the peer had
    /// ended before is still consumed.
    pub(super) fn lose_carrier(&self) {
        self.send_due_end(); // a last chance, if the carrier can still send
        self.finish(Some(Failure::CarrierLost));
    }

    // --- Both -------------------------------------------------------------

    /// Ends the session; the first cause wins.
    fn finish(&self, failure: Option<Failure>) -> Finish {
        let mut ends = self.ends.lock();
        if std::mem::replace(&mut ends.over, true) {
            return Finish::Late;
        }
        ends.failure = failure;
        let announced = ends.announced;
        // All that the peer had to say has arrived.
        let keeps_received = failure == Some(Failure::CarrierLost) && ends.remote;
        drop(ends);
        if failure == Some(Failure::Local) && announced {
            // While the session has its place in the table: data that arrives
            // after that is answered with an End without the error bit.
            self.carrier.outgoing().end_now(self.id, true);
        }
        self.is_over.store(true, Ordering::SeqCst);
        self.flow.end();
        let end_timer = self.end_timer.lock().take();
        drop(end_timer);
        if failure.is_some() && !keeps_received {
            self.inlet.abort();
        }
        if failure.is_some() {
            self.stop_source();
        }
        self.over.signal();
        self.settle();
        Finish::First
    }

    /// Gives up the session's place once both sides have ended it and all that
    /// arrived is consumed: until then it is live work. Called after either.
    fn settle(&self) {
        if self.is_settled() {
            self.carrier.remove(self);
        }
    }

    /// Whether both sides have ended it and nothing is left to consume.
    pub(super) fn is_settled(&self) -> bool {
        self.is_over() && self.inlet.done().is_done()
    }

    fn stop_source(&self) {
        let source = self.source.lock().take();
        if let Some(source) = source {
            source.interrupt();
        }
    }

    /// Happens when both sides have ended it, or one has failed.
    pub(super) fn over(&self) -> &Done {
        &self.over
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether its carrier should stay for its sake: a stream does not say when
    /// its next byte comes, datagrams are over once none has come for a while.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.network() == Network::Tcp || self.moved.is_within(DRAIN_QUIET, now)
    }

    /// Bytes of memory that wait for its consumer.
    pub(super) fn parked(&self) -> usize {
        self.inlet.parked()
    }

    /// Why it ended, if not in an orderly way.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.ends.lock().failure
    }

    /// Waits until both directions have ended and what arrived is consumed.
    pub(super) fn wait(&self) -> Result<(), MuxError> {
        self.over.wait();
        self.inlet.done().wait();
        self.settle(); // who made it happen may not have come to that yet
        match self.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let dropped = self.inlet.dropped();
        if dropped > 0 {
            debug!("session {}: {dropped} datagrams were dropped", self.name());
        }
    }
}
