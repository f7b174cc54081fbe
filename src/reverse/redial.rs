use std::time::{Duration, Instant};

use rand::RngExt;

use crate::limits::{HEARTBEAT, REDIAL_BACKOFF};
use crate::sync::Clock;

/// When a bridge may dial its portal.
///
/// Two dials are a pause apart that grows within [`REDIAL_BACKOFF`], whether
/// the first one failed or its carrier did not last: a portal that takes a
/// connection only to end it is as much out of reach as one that refuses it.
/// A carrier that was of use for a [`HEARTBEAT`] makes the pause short again,
/// and is replaced at once.
pub(super) struct Redial {
    clock: Clock,
    /// The last dial, and how long the next one keeps its distance from it.
    last: Option<(Instant, Duration)>,
    pause: Duration,
}

impl Redial {
    /// Nothing was dialled yet, so the first dial may be made at once.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            last: None,
            pause: REDIAL_BACKOFF.0,
        }
    }

    /// Notes that a dial is made now for want of any carrier. Half of the
    /// pause after it is fixed and half is chance, so that many bridges do not
    /// come back at one moment.
    pub(super) fn dialled(&mut self) {
        let pause = self.pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.pause = (self.pause * 2).min(REDIAL_BACKOFF.1);
        self.last = Some((self.clock.now(), pause));
    }

    /// Notes that a dial is made now to help the carriers that are there.
    pub(super) fn dialled_another(&mut self) {
        self.last = Some((self.clock.now(), HEARTBEAT));
    }

    /// Notes that a carrier was of use from `since` until now.
    pub(super) fn lost(&mut self, since: Instant) {
        if self.clock.now().saturating_duration_since(since) >= HEARTBEAT {
            *self = Self::new(self.clock.clone());
        }
    }

    /// How long the next dial has to wait; zero if it need not.
    pub(super) fn wait(&self) -> Duration {
        let Some((last, pause)) = self.last else {
            return Duration::ZERO;
        };
        (last + pause).saturating_duration_since(self.clock.now())
    }

    /// Now, as it counts the age of carriers.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::ManualClock;

    #[test]
    fn pauses_grow_to_their_bound_until_a_carrier_lasts() {
        let manual = ManualClock::new();
        let mut redial = Redial::new(manual.clock());
        assert_eq!(redial.wait(), Duration::ZERO);
        let mut expected = REDIAL_BACKOFF.0;
        for _ in 0..12 {
            let since = redial.now();
            redial.dialled();
            redial.lost(since);
            let wait = redial.wait();
            assert!((expected / 2..=expected).contains(&wait), "{wait:?}");
            manual.advance(wait);
            assert_eq!(redial.wait(), Duration::ZERO);
            expected = (expected * 2).min(REDIAL_BACKOFF.1);
        }
        let since = redial.now();
        redial.dialled();
        manual.advance(HEARTBEAT);
        redial.lost(since);
        assert_eq!(redial.wait(), Duration::ZERO);
        redial.dialled();
        assert!(redial.wait() <= REDIAL_BACKOFF.0);
    }

    /// 200 bridges lose their portal at one moment, for 40 s: once their pauses
    /// have grown, chance keeps them apart.
    #[test]
    fn many_bridges_do_not_come_back_at_one_moment() {
        const BRIDGES: usize = 200;
        const STEP: Duration = Duration::from_millis(10);
        let manual = ManualClock::new();
        let mut bridges: Vec<Redial> = (0..BRIDGES).map(|_| Redial::new(manual.clock())).collect();
        let mut dials = vec![0; 40];
        for count in &mut dials {
            for _ in 0..100 {
                for bridge in bridges.iter_mut().filter(|b| b.wait().is_zero()) {
                    bridge.dialled();
                    *count += 1;
                }
                manual.advance(STEP);
            }
        }
        println!("dials in each second: {dials:?}");
        let grown = &dials[25..];
        let mean = grown.iter().sum::<usize>() / grown.len();
        assert!((20..=40).contains(&mean), "pauses of 5 to 10 s");
        assert!(grown.iter().all(|count| *count <= BRIDGES / 3), "{dials:?}");
    }

    #[test]
    fn help_comes_once_a_heartbeat_and_the_pause_stays() {
        let manual = ManualClock::new();
        let mut redial = Redial::new(manual.clock());
        redial.dialled_another();
        assert_eq!(redial.wait(), HEARTBEAT);
        manual.advance(HEARTBEAT);
        assert_eq!(redial.wait(), Duration::ZERO);
        redial.dialled();
        assert!(redial.wait() <= REDIAL_BACKOFF.0);
    }
}
