//! A session's flow control at work: the senders that wait for credit, and
//! what is granted as the consumer takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::bounds::parked_in_process;
use super::credit::{ReceiveCredit, SendCredit};
use super::options::CarrierOptions;
use super::part::Part;
use super::peer::Peer;
use super::stats::Counters;
use crate::limits::{GROWN_PER_PROCESS, PARKED_PER_PROCESS};
use crate::link::LinkError;
use crate::sync::shim::{Condvar, Mutex, MutexGuard};

/// Both directions' credit of one stream.
pub(super) struct Flow {
    send: Mutex<Sending>,
    /// Credit has come, or the session is over.
    changed: Condvar,
    receive: Mutex<Receiving>,
    counters: Arc<Counters>,
}

/// What the arrival of payload means for the credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing.
    Fine,
    /// The peer has not always kept to credit, for it did not know of it; from
    /// now on it does.
    BoundFromNow,
    /// The peer does not keep to it.
    PastCredit,
}

struct Sending {
    credit: SendCredit,
    over: bool,
    /// Senders that wait for credit.
    waiting: usize,
}

struct Receiving {
    credit: ReceiveCredit,
    grown: Part,
}

/// Bytes by which all windows of the process are larger than at first.
static GROWN: AtomicUsize = AtomicUsize::new(0);

/// What peers may send has to fit into memory, should all consumers stop.
fn windows_may_grow() -> bool {
    let grown = GROWN.load(Ordering::Relaxed);
    parked_in_process() < PARKED_PER_PROCESS && grown < GROWN_PER_PROCESS
}

impl Sending {
    /// `None` if there is no credit.
    fn take(&mut self, wanted: usize) -> Option<Result<usize, LinkError>> {
        if self.over {
            return Some(Err(LinkError::Reset));
        }
        let taken = self.credit.take(wanted);
        (taken > 0).then_some(Ok(taken))
    }
}

impl Flow {
    /// For a session on a carrier with this peer, which is `bound` to keep to
    /// its credit or not yet.
    pub(super) fn new(
        peer: &Peer,
        bound: bool,
        options: &CarrierOptions,
        counters: Arc<Counters>,
    ) -> Self {
        let mut credit = SendCredit::plain();
        if let Some(hello) = peer.hello() {
            credit.limit_to(hello.window);
        }
        Self {
            send: Mutex::new(Sending {
                credit,
                over: false,
                waiting: 0,
            }),
            counters,
            changed: Condvar::new(),
            receive: Mutex::new(Receiving {
                credit: ReceiveCredit::new(options.window, options.max_window, bound),
                grown: Part::of(&GROWN),
            }),
        }
    }

    /// Takes credit for up to `wanted` bytes, at least one; waits for it, until
    /// `deadline` if there is one.
    pub(super) fn take(
        &self,
        wanted: usize,
        deadline: Option<Instant>,
    ) -> Result<usize, LinkError> {
        let mut send = self.send.lock();
        match send.take(wanted) {
            None => self.wait_and_take(&mut send, wanted, deadline),
            Some(taken) => taken,
        }
    }

    fn wait_and_take(
        &self,
        send: &mut MutexGuard<'_, Sending>,
        wanted: usize,
        deadline: Option<Instant>,
    ) -> Result<usize, LinkError> {
        self.counters.credit_waits.add(1);
        send.waiting += 1;
        let outcome = loop {
            let in_time = match deadline {
                None => {
                    self.changed.wait(send);
                    true
                }
                Some(at) => !self.changed.wait_until(send, at).timed_out(),
            };
            if !in_time {
                break Err(LinkError::TimedOut);
            }
            if let Some(taken) = send.take(wanted) {
                break taken;
            }
        };
        send.waiting -= 1;
        outcome
    }

    /// Bytes that were sent and received so far.
    pub(super) fn moved(&self) -> (u64, u64) {
        let sent = self.send.lock().credit.sent();
        (sent, self.receive.lock().credit.received())
    }

    /// Whether somebody waits for credit.
    pub(super) fn has_waiting(&self) -> bool {
        self.send.lock().waiting > 0
    }

    /// `len` bytes that were taken have not been sent after all.
    pub(super) fn give_back(&self, len: usize) {
        self.send.lock().credit.give_back(len);
        self.changed.notify_all();
    }

    /// Takes credit for all of `len` bytes, or none, without waiting.
    pub(super) fn take_whole(&self, len: usize) -> bool {
        self.send.lock().credit.take_whole(len)
    }

    /// The peer grants payload up to `offset`.
    pub(super) fn grant(&self, offset: u64) {
        self.send.lock().credit.grant(offset);
        self.changed.notify_all();
    }

    /// The peer has said HELLO. Returns what it is to be granted at once.
    pub(super) fn limit_to(&self, window: u32) -> u64 {
        self.send.lock().credit.limit_to(window);
        self.receive.lock().credit.granted()
    }

    /// Nobody may send any more; who waits for credit fails.
    pub(super) fn end(&self) {
        self.send.lock().over = true;
        self.changed.notify_all();
    }

    /// `len` bytes have arrived, from a peer that is `aware` of credit or not.
    pub(super) fn receive(&self, len: usize, aware: bool) -> Received {
        let receive = &mut self.receive.lock().credit;
        if !receive.receive(len, Instant::now) {
            return Received::PastCredit;
        }
        match aware && receive.bind() {
            true => Received::BoundFromNow,
            false => Received::Fine,
        }
    }

    /// The consumer has taken `len` bytes. Returns what to grant, if anything.
    pub(super) fn consume(&self, len: usize, peer: &Peer) -> Option<u64> {
        let round_trip = peer.round_trip().unwrap_or_default();
        let Receiving { credit, grown } = &mut *self.receive.lock();
        let grant = credit.consume(len, Instant::now(), round_trip, windows_may_grow());
        grown.set(usize::try_from(credit.grown()).unwrap_or(usize::MAX));
        grant
    }
}
