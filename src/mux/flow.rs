//! A session's flow control at work: the senders that wait for credit, and
//! what is granted as the consumer takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::bounds::parked_in_process;
use super::credit::{ReceiveCredit, SendCredit};
use super::options::CarrierOptions;
use super::part::Part;
use super::peer::Peer;
use crate::limits::{GROWN_PER_PROCESS, PARKED_PER_PROCESS};
use crate::link::LinkError;
use crate::sync::shim::{Condvar, Mutex};

/// Both directions' credit of one stream.
pub(super) struct Flow {
    send: Mutex<Sending>,
    /// Credit has come, or the session is over.
    changed: Condvar,
    receive: Mutex<Receiving>,
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

impl Flow {
    /// For a session on a carrier with this peer, which is `bound` to keep to
    /// its credit or not yet.
    pub(super) fn new(peer: &Peer, bound: bool, options: &CarrierOptions) -> Self {
        let mut credit = SendCredit::plain();
        if let Some(hello) = peer.hello() {
            credit.limit_to(hello.window);
        }
        Self {
            send: Mutex::new(Sending {
                credit,
                over: false,
            }),
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
        loop {
            if send.over {
                return Err(LinkError::Reset);
            }
            let taken = send.credit.take(wanted);
            if taken > 0 {
                return Ok(taken);
            }
            match deadline {
                None => self.changed.wait(&mut send),
                Some(at) if self.changed.wait_until(&mut send, at).timed_out() => {
                    return Err(LinkError::TimedOut);
                }
                Some(_) => {}
            }
        }
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
        if !receive.receive(len) {
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
