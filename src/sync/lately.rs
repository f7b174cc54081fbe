use std::time::{Duration, Instant};

use super::shim::atomic::{AtomicU64, Ordering};

/// When something last happened. Noting it takes no lock.
#[derive(Debug)]
pub struct Lately {
    start: Instant,
    /// In microseconds from then.
    last: AtomicU64,
}

impl Lately {
    /// It has happened now.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            last: AtomicU64::new(0),
        }
    }

    /// It happens again.
    pub fn note(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    /// When it was last noted.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }

    /// Whether that is less than `time` ago.
    pub fn is_within(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.last()) < time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_recent_until_a_time_has_passed_since_the_last_note() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lately = Lately::new(start);
        assert_eq!(lately.last(), start);
        assert!(lately.is_within(second, start + second / 2));
        assert!(!lately.is_within(second, start + second));
        lately.note(start + second);
        assert_eq!(lately.last(), start + second);
        assert!(lately.is_within(second, start + second + second / 2));
    }
}
