//! What bounds the receiving side of a carrier's sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::options::CarrierOptions;
use super::part::Part;
use super::stats::Counters;
use crate::limits::{PARKED_PER_CARRIER, PARKED_PER_PROCESS, PARKED_UNDER_PRESSURE, STALLED_AGAIN};
use crate::sync::shim::Mutex;

static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of memory that wait for consumers in this process.
pub(super) fn parked_in_process() -> usize {
    PARKED.load(Ordering::Relaxed)
}

/// The bounds of a carrier's sessions, and the counters of what happens when
/// they are reached.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    parked: usize,
    stalled_session: Duration,
    counters: Arc<Counters>,
    /// Bytes that wait for the consumers of this carrier's sessions.
    parked_here: Arc<AtomicUsize>,
    /// When a session of the carrier was last ended for holding it up.
    ended_one: Arc<Mutex<Option<Instant>>>,
}

impl Bounds {
    pub(super) fn new(options: &CarrierOptions, counters: Arc<Counters>) -> Self {
        Self {
            parked: options.parked,
            stalled_session: options.stalled_session,
            counters,
            parked_here: Arc::default(),
            ended_one: Arc::default(),
        }
    }

    /// For the bytes of one more session.
    pub(super) fn part(&self) -> Part {
        Part::of_carrier(&PARKED, self.parked_here.clone())
    }

    /// Whether `parked` bytes are as much as one session may park, which is less
    /// when too much waits on its carrier, or in the whole process.
    pub(super) fn are_reached(&self, parked: usize) -> bool {
        let here = self.parked_here.load(Ordering::Relaxed);
        let limit = match here < PARKED_PER_CARRIER && parked_in_process() < PARKED_PER_PROCESS {
            true => self.parked,
            false => self.parked.min(PARKED_UNDER_PRESSURE),
        };
        parked >= limit
    }

    /// Until when a session may hold the carrier up that does so since `begun`
    /// and whose consumer last took something at `progress`.
    ///
    /// That time runs from the consumer's last progress, so that many that
    /// have stalled together are ended together. One that comes to it right
    /// after another has been ended gets less, for the carrier has waited
    /// already: as long as it has flowed meanwhile.
    pub(super) fn deadline(&self, begun: Instant, progress: Instant) -> Instant {
        let whole = progress + self.stalled_session;
        let Some(ended) = *self.ended_one.lock() else {
            return whole;
        };
        let flowed = begun.saturating_duration_since(ended);
        whole.min(progress.max(begun) + flowed.max(STALLED_AGAIN))
    }

    pub(super) fn count_hold_up(&self) {
        self.counters.hold_ups.add(1);
    }

    pub(super) fn count_stalled(&self) {
        self.counters.stalled.add(1);
        *self.ended_one.lock() = Some(Instant::now());
    }

    pub(super) fn count_dropped(&self) {
        self.counters.dropped.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{PARKED_PER_SESSION, STALLED_SESSION};

    fn bounds() -> Bounds {
        Bounds::new(&CarrierOptions::default(), Arc::default())
    }

    #[test]
    fn who_holds_a_carrier_up_after_another_gets_as_long_as_it_has_flowed() {
        let bounds = bounds();
        let start = Instant::now();
        assert_eq!(bounds.deadline(start, start), start + STALLED_SESSION);
        *bounds.ended_one.lock() = Some(start);
        for (flowed, given) in [
            (Duration::ZERO, STALLED_AGAIN),
            (STALLED_AGAIN / 2, STALLED_AGAIN),
            (STALLED_SESSION / 2, STALLED_SESSION / 2),
            (2 * STALLED_SESSION, STALLED_SESSION),
        ] {
            let begun = start + flowed;
            assert_eq!(bounds.deadline(begun, begun), begun + given);
            // What it takes while it is waited for gives it as much again.
            let later = begun + STALLED_AGAIN;
            assert_eq!(bounds.deadline(begun, later), later + given);
        }
        // One that stalled together with the other has had its time.
        let begun = start + STALLED_SESSION;
        assert_eq!(bounds.deadline(begun, start), begun);
    }

    /// With little less than that on it each session has its whole room.
    #[test]
    fn a_carrier_on_which_much_waits_leaves_a_session_little_and_others_theirs() {
        static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
        let (one, other) = (bounds(), bounds());
        let mut waiting = Part::of_carrier(&ELSEWHERE, one.parked_here.clone());
        waiting.add(PARKED_PER_CARRIER - 1);
        assert!(!one.are_reached(PARKED_PER_SESSION - 1));
        assert!(one.are_reached(PARKED_PER_SESSION));
        waiting.add(1);
        assert!(one.are_reached(PARKED_UNDER_PRESSURE));
        assert!(!one.are_reached(PARKED_UNDER_PRESSURE - 1));
        assert!(!other.are_reached(PARKED_UNDER_PRESSURE));
        drop(waiting);
        assert!(!one.are_reached(PARKED_UNDER_PRESSURE));
    }

    #[test]
    fn a_sessions_bytes_count_on_its_carrier_until_it_is_gone() {
        let (one, other) = (bounds(), bounds());
        let mut part = one.part();
        part.add(PARKED_PER_CARRIER);
        assert!(one.are_reached(PARKED_UNDER_PRESSURE));
        assert!(!other.are_reached(PARKED_UNDER_PRESSURE));
        drop(part);
        assert!(!one.are_reached(PARKED_UNDER_PRESSURE));
    }
}
