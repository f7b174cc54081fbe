//! What one end of a carrier knows of the other.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::extension::Hello;

/// Probes that may be without an answer; the oldest is forgotten beyond.
pub(super) const PENDING_PROBES: usize = 8;

/// The state of the peer. Until its HELLO has come it is plain: a member of
/// the family that knows no extensions.
#[derive(Debug)]
pub(super) struct Peer {
    hello: OnceLock<Hello>,
    /// It has heard this side's HELLO.
    aware: AtomicBool,
    /// Something was received since the last look.
    heard: AtomicBool,
    /// It has been silent for too long to be given new sessions.
    suspect: AtomicBool,
    /// It wants no more sessions.
    draining: AtomicBool,
    /// Sessions that the carrier's reader waits for: 0 or 1.
    held_up: AtomicUsize,
    /// The shortest round trip, in microseconds.
    round_trip: AtomicU64,
    probes: Mutex<Probes>,
}

#[derive(Debug, Default)]
struct Probes {
    last_nonce: u64,
    pending: VecDeque<Probe>,
}

#[derive(Debug)]
struct Probe {
    nonce: u64,
    sent: Instant,
    /// Who waits for the answer, if anybody.
    asked_by: Option<Sender<Duration>>,
}

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            hello: OnceLock::new(),
            aware: AtomicBool::new(false),
            heard: AtomicBool::new(true),
            suspect: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            held_up: AtomicUsize::new(0),
            round_trip: AtomicU64::new(u64::MAX),
            probes: Mutex::default(),
        }
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.get()
    }

    pub(super) fn is_plain(&self) -> bool {
        self.hello.get().is_none()
    }

    /// Returns whether this HELLO is the first.
    pub(super) fn said_hello(&self, hello: Hello) -> bool {
        self.hello.set(hello).is_ok()
    }

    /// It has shown that it knows this side for a muxcool peer.
    pub(super) fn become_aware(&self) {
        self.aware.store(!self.is_plain(), Ordering::Relaxed);
    }

    /// Whether what it sends from now on keeps to credit.
    pub(super) fn is_aware(&self) -> bool {
        self.aware.load(Ordering::Relaxed)
    }

    /// Something was received.
    pub(super) fn hear(&self) {
        // Plain loads first: the lines stay shared while nothing changes.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.suspect.load(Ordering::Relaxed) {
            self.suspect.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something was received since the last call, or would have been
    /// but for a session that holds the reader up.
    pub(super) fn take_heard(&self) -> bool {
        let held_up = self.is_held_up();
        self.heard.swap(false, Ordering::Relaxed) || held_up
    }

    /// Returns whether it was not suspected before.
    pub(super) fn become_suspect(&self) -> bool {
        !self.suspect.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Counted by the carrier's reader around a wait for one session.
    pub(super) fn hold_up(&self, begins: bool) {
        match begins {
            true => self.held_up.fetch_add(1, Ordering::Relaxed),
            false => self.held_up.fetch_sub(1, Ordering::Relaxed),
        };
    }

    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.load(Ordering::Relaxed) > 0
    }

    /// The shortest round trip that was measured.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Notes a probe that is about to leave, and returns its nonce. The answer
    /// is told to `asked_by`.
    pub(super) fn new_probe(&self, now: Instant, asked_by: Option<Sender<Duration>>) -> u64 {
        let mut probes = self.probes.lock();
        probes.last_nonce += 1;
        let nonce = probes.last_nonce;
        if probes.pending.len() >= PENDING_PROBES {
            probes.pending.pop_front();
        }
        probes.pending.push_back(Probe {
            nonce,
            sent: now,
            asked_by,
        });
        nonce
    }

    /// The answer to the probe with this nonce has come; without one, to the
    /// oldest: plain peers answer in order.
    pub(super) fn answered(&self, nonce: Option<u64>, now: Instant) {
        let mut probes = self.probes.lock();
        let wanted = |probe: &Probe| nonce.is_none_or(|nonce| nonce == probe.nonce);
        let Some(place) = probes.pending.iter().position(wanted) else {
            return;
        };
        let probe = probes.pending.remove(place);
        drop(probes);
        let Some(probe) = probe else {
            return;
        };
        let took = now.saturating_duration_since(probe.sent);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX - 1);
        self.round_trip.fetch_min(micros, Ordering::Relaxed);
        if let Some(asked_by) = probe.asked_by {
            let _ = asked_by.try_send(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_round_trip_is_kept_and_told() {
        let peer = Peer::new();
        assert_eq!(peer.round_trip(), None);
        let start = Instant::now();
        let (tell, told) = crossbeam_channel::bounded(1);
        let first = peer.new_probe(start, None);
        let second = peer.new_probe(start, Some(tell));
        peer.answered(Some(second), start + Duration::from_millis(3));
        assert_eq!(told.try_recv(), Ok(Duration::from_millis(3)));
        peer.answered(Some(first), start + Duration::from_millis(5));
        peer.answered(Some(first), start + Duration::from_millis(1));
        assert_eq!(peer.round_trip(), Some(Duration::from_millis(3)));
    }

    #[test]
    fn what_is_received_ends_a_suspicion() {
        let peer = Peer::new();
        assert!(peer.take_heard());
        assert!(!peer.take_heard());
        assert!(peer.become_suspect());
        assert!(!peer.become_suspect());
        peer.hear();
        assert!(!peer.is_suspect());
        assert!(peer.take_heard());
    }
}
