//! What is counted on a carrier. The counters order nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a [`ClientWorker`](super::ClientWorker) or a
/// [`ServerWorker`](super::ServerWorker) does and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Sessions ever made.
    pub total: u32,
    /// Sessions open now.
    pub active: u32,
    /// Whether it takes no more sessions.
    pub closing: bool,
    /// Bytes written to the carrier, the frames' heads among them.
    pub sent: u64,
    /// Bytes read from it, likewise.
    pub received: u64,
    /// The shortest round trip that was measured.
    pub round_trip: Option<Duration>,
    /// Bytes of memory that wait for the consumers of its sessions.
    pub parked: usize,
    /// Whether a plain peer is not read now, for a session has
    /// [parked](super::CarrierOptions::parked) all that it may: what comes for
    /// the others waits, too.
    pub held_up: bool,
    /// How often that was so.
    pub hold_ups: u64,
    /// Sessions that were [ended](super::CarrierOptions::stalled_session) for
    /// it.
    pub stalled: u64,
    /// How often a sender had to wait for credit of its session.
    pub credit_waits: u64,
    /// Datagrams that were dropped: too many waited for their consumer, or
    /// they were too large for the peer.
    pub dropped: u64,
}

/// What is over, in a line for the log.
impl fmt::Display for WorkerStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, sent, received) = (self.total, self.sent, self.received);
        write!(
            f,
            "{total} sessions, {sent} bytes sent, {received} received"
        )?;
        if let Some(round_trip) = self.round_trip {
            write!(f, ", round trip {round_trip:.1?}")?;
        }
        let (times, stalled, dropped) = (self.hold_ups, self.stalled, self.dropped);
        write!(
            f,
            ", held up {times} times, {stalled} stalled, {dropped} datagrams dropped"
        )
    }
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one carrier to which its sessions add; see [`WorkerStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: Counter,
    pub(super) hold_ups: Counter,
    pub(super) stalled: Counter,
    pub(super) dropped: Counter,
    pub(super) credit_waits: Counter,
}

/// Payload of one datagram session.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    pub(super) sent: Counter,
    pub(super) received: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_was() {
        let mut stats = WorkerStats {
            total: 3,
            active: 1,
            closing: true,
            sent: 40,
            received: 50,
            round_trip: None,
            parked: 6,
            held_up: false,
            hold_ups: 7,
            stalled: 8,
            credit_waits: 10,
            dropped: 9,
        };
        let line = "3 sessions, 40 bytes sent, 50 received, \
                    held up 7 times, 8 stalled, 9 datagrams dropped";
        assert_eq!(stats.to_string(), line);
        stats.round_trip = Some(Duration::from_micros(1234));
        assert!(stats.to_string().contains(", round trip 1.2ms, held"));
    }
}
