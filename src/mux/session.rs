//! One session: its two directions, how each ends, and how both do.
//!
//! Lock order in `mux`, outermost first: a picker's list, a carrier's table, a
//! session's ends, an inlet's state. None of them is held while anything is
//! read, written or interrupted.

mod arriving;
mod leaving;
mod status;

use std::sync::Arc;
use std::time::Instant;

use log::debug;

use super::MuxError;
use super::carrier::Carrier;
use super::flow::Flow;
use super::inlet::Inlet;
use super::outgoing::Turn;
use super::stats::Datagrams;
use crate::limits::DRAIN_QUIET;
use crate::link::Handle;
use crate::net::{Destination, Network, Origin};
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Done, Lately, Periodic};

/// A session of a carrier, from the moment it has an id until both sides have
/// ended it.
pub(super) struct Session {
    id: u16,
    target: Destination,
    /// Where it comes from, if that is known at this end.
    origin: Option<Box<Origin>>,
    carrier: Arc<Carrier>,
    since: Instant,
    inlet: Inlet,
    flow: Flow,
    datagrams: Datagrams,
    /// Among those who send on the carrier.
    turn: Turn,
    ends: Mutex<Ends>,
    /// Pieces that have arrived; a change of it shows that more does.
    arrivals: AtomicU64,
    /// What [`arrivals`](Self::arrivals) was when this side last sent. At first
    /// it is what they never are.
    answered: AtomicU64,
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
    /// New is on its way into the queue. The session keeps its place until then:
    /// to a peer that has New already, an End for an id that is not open would
    /// come before the one that says that the session failed.
    is_announcing: bool,
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
    pub(super) fn new(
        id: u16,
        target: Destination,
        origin: Option<Origin>,
        carrier: Arc<Carrier>,
    ) -> Arc<Self> {
        let origin = origin.map(Box::new);
        Self::with_ends(id, (target, origin), carrier, Ends::default())
    }

    /// A session that the peer has announced.
    pub(super) fn of_peer(
        id: u16,
        target: Destination,
        origin: Option<Box<Origin>>,
        carrier: Arc<Carrier>,
    ) -> Arc<Self> {
        let ends = Ends {
            announced: true,
            ..Ends::default()
        };
        Self::with_ends(id, (target, origin), carrier, ends)
    }

    fn with_ends(
        id: u16,
        (target, origin): (Destination, Option<Box<Origin>>),
        carrier: Arc<Carrier>,
        ends: Ends,
    ) -> Arc<Self> {
        let peer = carrier.peer();
        let bound = peer.is_aware();
        let now = carrier.timer().clock().now();
        Arc::new(Self {
            id,
            since: now,
            turn: Turn::default(),
            datagrams: Datagrams::default(),
            inlet: Inlet::new(target.network, bound, carrier.bounds().clone()),
            flow: Flow::new(peer, bound, carrier.options(), carrier.counters().clone()),
            moved: Lately::new(now),
            target,
            origin,
            carrier,
            ends: Mutex::new(ends),
            arrivals: AtomicU64::new(0),
            answered: AtomicU64::new(u64::MAX),
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

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    pub(super) fn network(&self) -> Network {
        self.target.network
    }

    /// `carrier/session`, for the log.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.carrier.number(), self.id)
    }

    fn datagram_moves(&self) {
        self.moved.note(self.carrier.timer().clock().now());
    }

    /// Pieces so far.
    fn arrived(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
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
        if self.is_settled() && !self.ends.lock().is_announcing {
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
