use std::fmt;
use std::sync::{Arc, Weak};

use super::carrier::Carrier;
use super::status::CarrierStatus;
use crate::sync::shim::Mutex;

/// The carriers that somebody has, such as a portal: those that there are, and
/// what all that there have been have done.
///
/// Carriers are on the roster of their [options](super::CarrierOptions), which
/// clones share.
#[derive(Default)]
pub struct Roster {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    live: Vec<Weak<Carrier>>,
    carriers: u64,
    /// What those have done that are over.
    ended: Totals,
}

/// What carriers have done. All of it only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Carriers that there have been.
    pub carriers: u64,
    /// Sessions that they have had.
    pub sessions: u64,
    /// Bytes written to them.
    pub sent: u64,
    /// Bytes read from them.
    pub received: u64,
    /// How often a reader had to wait for one session's consumer.
    pub hold_ups: u64,
    /// Sessions that were ended for that.
    pub stalled: u64,
    /// Datagrams that were dropped.
    pub dropped: u64,
    /// How often a sender had to wait for credit.
    pub credit_waits: u64,
}

/// What a roster has to say.
#[derive(Debug, Clone, Default)]
pub struct RosterReport {
    /// The carriers of now, the oldest first.
    pub carriers: Vec<CarrierStatus>,
    /// What they and those before them have done.
    pub totals: Totals,
}

impl Roster {
    /// One without carriers.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How its carriers do, with `streams` of their sessions at the most.
    pub fn report(&self, streams: usize) -> RosterReport {
        let (live, totals) = self.live();
        let open = live.iter().filter(|carrier| !carrier.closed().is_done());
        let mut left = streams;
        let carriers = open.map(|carrier| {
            let status = carrier.status(left);
            left = left.saturating_sub(status.streams.len());
            status
        });
        RosterReport {
            carriers: carriers.collect(),
            totals,
        }
    }

    /// Under one lock, so that what ends meanwhile counts once.
    fn live(&self) -> (Vec<Arc<Carrier>>, Totals) {
        let list = self.list.lock();
        let live: Vec<_> = list.live.iter().filter_map(Weak::upgrade).collect();
        let mut totals = Totals {
            carriers: list.carriers,
            ..list.ended
        };
        for carrier in &live {
            totals.add(carrier.done());
        }
        drop(list);
        (live, totals) // the last of a carrier must not be dropped under the lock
    }

    pub(super) fn enter(&self, carrier: &Arc<Carrier>) {
        let mut list = self.list.lock();
        list.carriers += 1;
        list.live.push(Arc::downgrade(carrier));
    }

    /// A carrier has ended, or is dropped: counts what it has done since it was
    /// last counted.
    pub(super) fn leave(&self, carrier: &Carrier, counted: &mut Totals) {
        let mut list = self.list.lock();
        let is_other = |other: &Weak<Carrier>| !std::ptr::eq(other.as_ptr(), carrier);
        list.live.retain(is_other);
        let done = carrier.done();
        list.ended.add(done.since(counted));
        *counted = done;
    }
}

impl Totals {
    fn add(&mut self, more: Self) {
        self.carriers += more.carriers;
        self.sessions += more.sessions;
        self.sent += more.sent;
        self.received += more.received;
        self.hold_ups += more.hold_ups;
        self.stalled += more.stalled;
        self.dropped += more.dropped;
        self.credit_waits += more.credit_waits;
    }

    fn since(self, before: &Self) -> Self {
        Self {
            carriers: self.carriers - before.carriers,
            sessions: self.sessions - before.sessions,
            sent: self.sent - before.sent,
            received: self.received - before.received,
            hold_ups: self.hold_ups - before.hold_ups,
            stalled: self.stalled - before.stalled,
            dropped: self.dropped - before.dropped,
            credit_waits: self.credit_waits - before.credit_waits,
        }
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roster")
    }
}
