//! What one end of a carrier knows of the other.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::extension::Hello;
use super::probes::Probes;
use crate::limits::MAX_PLAIN_DATAGRAM;
use crate::sync::Lately;
use crate::sync::shim::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Probes that may be without an answer; the oldest is forgotten beyond.
pub(super) const PENDING_PROBES: usize = 8;

/// The state of the peer. Until its HELLO has come it is plain: a member of
/// the family that knows no extensions.
#[derive(Debug)]
pub(super) struct Peer {
    hello: OnceLock<Hello>,
    /// It has heard this side's HELLO.
    aware: AtomicBool,
    /// When something was last received.
    heard: Lately,
    /// Something was received.
    has_spoken: AtomicBool,
    /// It has been silent for too long to be given new sessions.
    suspect: AtomicBool,
    /// It wants no more sessions.
    draining: AtomicBool,
    /// Sessions that the carrier's reader waits for: 0 or 1.
    held_up: AtomicUsize,
    probes: Probes,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hello: OnceLock::new(),
            aware: AtomicBool::new(false),
            heard: Lately::new(now),
            has_spoken: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            held_up: AtomicUsize::new(0),
            probes: Probes::new(now),
        }
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.get()
    }

    /// The largest datagram that may be sent to it.
    pub(super) fn largest_datagram(&self) -> usize {
        self.hello()
            .map_or(MAX_PLAIN_DATAGRAM, |hello| hello.datagram.into())
    }

    /// Whether it wants to know where sessions come from.
    pub(super) fn wants_origins(&self) -> bool {
        self.hello().is_some_and(Hello::wants_origins)
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
    pub(super) fn hear(&self, now: Instant) {
        self.heard.note(now);
        // Plain loads first: the line stays shared while nothing changes.
        if !self.has_spoken.load(Ordering::Relaxed) {
            self.has_spoken.store(true, Ordering::Relaxed);
        }
        if self.suspect.load(Ordering::Relaxed) {
            self.suspect.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something was ever received of it.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// When something was last received.
    pub(super) fn last_heard(&self) -> Instant {
        self.heard.last()
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

    pub(super) fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Whether it answers probes: it has answered one, or it has said that it
    /// knows PING.
    pub(super) fn answers(&self) -> bool {
        !self.is_plain() || self.probes.were_answered()
    }

    /// The shortest round trip that was measured.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.probes.round_trip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_received_ends_a_suspicion() {
        let start = Instant::now();
        let peer = Peer::new(start);
        assert_eq!(peer.last_heard(), start);
        assert!(!peer.has_spoken());
        assert!(peer.become_suspect());
        assert!(!peer.become_suspect());
        let later = start + Duration::from_millis(5);
        peer.hear(later);
        assert!(!peer.is_suspect());
        assert!(peer.has_spoken());
        assert_eq!(peer.last_heard(), later);
    }
}
