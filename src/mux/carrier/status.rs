use std::sync::Arc;

use super::super::roster::Totals;
use super::super::session::Session;
use super::super::status::{CarrierState, CarrierStatus};
use super::Carrier;

impl Carrier {
    /// How it does, with so many of its streams at the most.
    pub(in super::super) fn status(&self, streams: usize) -> CarrierStatus {
        let now = self.now();
        let (sessions, shown) = self.with_sessions(|table| {
            let others: Vec<Arc<Session>> = table.others().take(streams).cloned().collect();
            (table.others().count(), others)
        });
        let mut streams: Vec<_> = shown.iter().map(|session| session.status(now)).collect();
        streams.sort_by_key(|stream| stream.id);
        CarrierStatus {
            number: self.number,
            peer: self.address,
            age: now.saturating_duration_since(self.since),
            state: self.state(),
            is_reliable: self.is_reliable(),
            has_muxcool_peer: !self.peer.is_plain(),
            stats: self.stats(self.with_sessions(|table| table.is_closed())),
            sessions,
            streams,
        }
    }

    /// What it has done, as far as that only grows.
    pub(in super::super) fn done(&self) -> Totals {
        let counters = &self.counters;
        Totals {
            carriers: 0, // the roster counts them as they come
            sessions: self.with_sessions(|table| table.total()).into(),
            sent: self.outgoing.sent(),
            received: counters.received.get(),
            hold_ups: counters.hold_ups.get(),
            stalled: counters.stalled.get(),
            dropped: counters.dropped.get(),
            credit_waits: counters.credit_waits.get(),
        }
    }

    fn state(&self) -> CarrierState {
        if self.peer.is_suspect() {
            CarrierState::Suspect
        } else if self.drain.is_wanted() || self.drain.is_retired() || self.peer.is_draining() {
            CarrierState::Draining
        } else {
            CarrierState::Healthy
        }
    }

    /// A client that has retired a carrier serves visitors on it until there is
    /// another. A server has been told to open that other.
    fn is_reliable(&self) -> bool {
        let leaves = match self.is_client() {
            true => self.peer.is_draining(),
            false => self.drain.is_wanted() || self.drain.is_retired(),
        };
        !self.peer.is_suspect() && !leaves
    }

    /// Tells the roster that it is over, or gone.
    pub(super) fn leave_roster(&self) {
        let mut counted = self.counted.lock();
        self.options.roster.leave(self, &mut counted);
    }
}

impl Drop for Carrier {
    /// What was queued may have left after its end.
    fn drop(&mut self) {
        self.leave_roster();
    }
}
