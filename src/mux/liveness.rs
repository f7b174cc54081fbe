//! Whether the peer of a carrier is still there (section 14): a state machine
//! on instants, without threads.

use std::time::{Duration, Instant};

use super::options::LivenessTimes;
use crate::limits::SHORTEST_PROBE;

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing; look again after this time.
    Fine(Duration),
    /// Send a probe, and look again.
    Probe(Duration),
    /// Prefer other carriers, and look again.
    Suspect(Duration),
    /// End the carrier.
    Dead,
}

/// What is known of one peer.
#[derive(Debug)]
pub(super) struct Liveness {
    times: LivenessTimes,
    /// Silence so far, in steps that are never longer than was planned: a
    /// machine that slept, or was stopped, must not take its own absence for
    /// the peer's.
    silence: Duration,
    looked: Instant,
    planned: Duration,
    probed: bool,
    /// A peer that has never answered a probe is judged by the transport.
    answers: bool,
}

impl Liveness {
    pub(super) fn new(times: LivenessTimes, now: Instant) -> Self {
        Self {
            times,
            silence: Duration::ZERO,
            looked: now,
            planned: times.probe,
            probed: false,
            answers: false,
        }
    }

    /// Looks at the carrier; `heard` says whether anything was received since
    /// the last look. A carrier that this side does not read, for a session
    /// holds it up, counts as heard.
    pub(super) fn look(&mut self, heard: bool, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.looked).min(self.planned);
        self.looked = now;
        if heard {
            self.answers |= self.probed;
            self.probed = false;
            self.silence = Duration::ZERO;
            return Verdict::Fine(self.plan(self.times.probe));
        }
        self.silence += passed;
        self.judge()
    }

    fn judge(&mut self) -> Verdict {
        let (silence, times) = (self.silence, self.times);
        if silence < times.probe {
            return Verdict::Fine(self.plan(times.probe - silence));
        }
        if !self.probed {
            self.probed = true;
            return Verdict::Probe(self.plan(times.suspect.saturating_sub(silence)));
        }
        if !self.answers {
            return Verdict::Fine(self.plan(times.probe));
        }
        if silence >= times.dead {
            return Verdict::Dead;
        }
        if silence >= times.suspect {
            return Verdict::Suspect(self.plan(times.dead - silence));
        }
        Verdict::Fine(self.plan(times.suspect - silence))
    }

    /// Never at once again: the timer must not spin.
    fn plan(&mut self, wait: Duration) -> Duration {
        self.planned = wait.max(SHORTEST_PROBE);
        self.planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn times() -> LivenessTimes {
        LivenessTimes {
            probe: 2 * SECOND,
            suspect: 5 * SECOND,
            dead: 15 * SECOND,
        }
    }

    /// Looks when it wants to, until it says something other than `Fine`.
    fn next(liveness: &mut Liveness, now: &mut Instant, heard: bool) -> Verdict {
        loop {
            let planned = liveness.planned;
            *now += planned;
            match liveness.look(heard, *now) {
                Verdict::Fine(_) if !heard => {}
                other => return other,
            }
        }
    }

    #[test]
    fn a_peer_that_answered_once_is_suspected_and_then_given_up() {
        let mut now = Instant::now();
        let start = now;
        let mut liveness = Liveness::new(times(), now);
        assert_eq!(
            next(&mut liveness, &mut now, false),
            Verdict::Probe(3 * SECOND)
        );
        assert!(matches!(liveness.look(true, now), Verdict::Fine(_)));
        let silent_since = now;
        assert!(matches!(
            next(&mut liveness, &mut now, false),
            Verdict::Probe(_)
        ));
        assert_eq!(now - silent_since, 2 * SECOND);
        assert!(matches!(
            next(&mut liveness, &mut now, false),
            Verdict::Suspect(_)
        ));
        assert_eq!(now - silent_since, 5 * SECOND);
        assert_eq!(next(&mut liveness, &mut now, false), Verdict::Dead);
        assert_eq!(now - silent_since, 15 * SECOND);
        assert_eq!(now - start, 17 * SECOND);
    }

    #[test]
    fn a_peer_that_never_answers_is_left_to_the_transport() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(times(), now);
        assert!(matches!(
            next(&mut liveness, &mut now, false),
            Verdict::Probe(_)
        ));
        for _ in 0..100 {
            let planned = liveness.planned;
            now += planned;
            assert!(matches!(liveness.look(false, now), Verdict::Fine(_)));
        }
    }

    #[test]
    fn our_own_absence_is_not_the_peers_silence() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(times(), now);
        assert!(matches!(
            next(&mut liveness, &mut now, false),
            Verdict::Probe(_)
        ));
        liveness.look(true, now);
        now += 1000 * SECOND;
        assert!(matches!(liveness.look(false, now), Verdict::Probe(_)));
    }
}
