use std::time::{Duration, Instant};

use crate::limits::FOR_EVER;

/// The instant that is `wait` from now.
pub(crate) fn deadline_in(wait: Duration) -> Instant {
    deadline_after(Instant::now(), wait)
}

/// The instant that is `wait` after `start`, whatever a caller calls a time:
/// the sum would panic where the system's clock does not reach.
pub(crate) fn deadline_after(start: Instant, wait: Duration) -> Instant {
    start.checked_add(wait.min(FOR_EVER)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_exact_or_beyond_every_life() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(deadline_after(now, second), now + second);
        for wait in [FOR_EVER, FOR_EVER + second, Duration::MAX] {
            assert_eq!(deadline_after(now, wait), now + FOR_EVER);
        }
        assert!(deadline_in(Duration::MAX) >= now + FOR_EVER);
    }
}
