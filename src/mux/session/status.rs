use std::time::Instant;

use super::super::status::StreamStatus;
use super::Session;
use crate::net::{Network, Origin};

impl Session {
    /// How it does.
    pub(in super::super) fn status(&self, now: Instant) -> StreamStatus {
        let (sent, received) = match self.network() {
            Network::Tcp => self.flow.moved(),
            Network::Udp => (self.datagrams.sent.get(), self.datagrams.received.get()),
        };
        StreamStatus {
            id: self.id,
            target: self.target.clone(),
            visitor: self.origin().map(Origin::source),
            age: now.saturating_duration_since(self.since),
            sent,
            received,
            parked: self.parked(),
            waits_for_credit: self.flow.has_waiting(),
        }
    }
}
