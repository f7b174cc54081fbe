//! Whether the peer of a carrier is still there (section 14): a state machine
//! on instants, without threads.

use std::time::{Duration, Instant};

use super::options::LivenessTimes;
use crate::limits::{ABSENCE, SHORTEST_PROBE};

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

/// What a look at the carrier finds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    /// Something was received since the last look, or this side does not read,
    /// for a session holds it up.
    pub(super) heard: bool,
    /// The peer has answered a probe before. One that never has is judged by
    /// the transport.
    pub(super) answers: bool,
    /// It does not read what is sent now. A plain peer may do so for one
    /// session's sake, which is no reason to end the others.
    pub(super) blocked: bool,
}

/// What is known of one peer.
#[derive(Debug)]
pub(super) struct Liveness {
    times: LivenessTimes,
    /// Silence so far, without the time in which this side was absent.
    silence: Duration,
    looked: Instant,
    planned: Duration,
    probed: bool,
}

impl Liveness {
    pub(super) fn new(times: LivenessTimes, now: Instant) -> Self {
        Self {
            times,
            silence: Duration::ZERO,
            looked: now,
            planned: times.probe,
            probed: false,
        }
    }

    /// Looks at the carrier.
    pub(super) fn look(&mut self, found: Found, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        if found.heard {
            self.probed = false;
            self.silence = Duration::ZERO;
            return Verdict::Fine(self.plan(self.times.probe));
        }
        match passed > self.planned + ABSENCE {
            true => self.ask_anew(),
            false => self.silence += passed,
        }
        if found.blocked {
            self.silence = self.silence.min(self.times.suspect);
        }
        self.judge(found.answers)
    }

    /// A machine that slept, or was stopped, must not take its own absence for
    /// the peer's: what the peer said meanwhile has not been read yet.
    fn ask_anew(&mut self) {
        self.probed = false;
        self.silence = self.times.probe;
    }

    fn judge(&mut self, answers: bool) -> Verdict {
        let (silence, times) = (self.silence, self.times);
        if silence < times.probe {
            return Verdict::Fine(self.plan(times.probe - silence));
        }
        if !self.probed {
            self.probed = true;
            return Verdict::Probe(self.plan(times.suspect.saturating_sub(silence)));
        }
        if !answers {
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

    const SILENT: Found = Found {
        heard: false,
        answers: true,
        blocked: false,
    };

    const HEARD: Found = Found {
        heard: true,
        ..SILENT
    };

    /// Looks when it wants to, until it says something other than `Fine`.
    fn next(liveness: &mut Liveness, now: &mut Instant, found: Found) -> Verdict {
        loop {
            *now += liveness.planned;
            match liveness.look(found, *now) {
                Verdict::Fine(_) => {}
                other => return other,
            }
        }
    }

    fn is_probe(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Probe(_))
    }

    fn is_suspect(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Suspect(_))
    }

    #[test]
    fn a_peer_that_answered_once_is_suspected_and_then_given_up() {
        let mut now = Instant::now();
        let start = now;
        let mut liveness = Liveness::new(times(), now);
        let probe = next(&mut liveness, &mut now, SILENT);
        assert_eq!(probe, Verdict::Probe(3 * SECOND));
        assert_eq!(now - start, 2 * SECOND);
        assert!(matches!(liveness.look(HEARD, now), Verdict::Fine(_)));
        let silent_since = now;
        assert!(is_probe(next(&mut liveness, &mut now, SILENT)));
        assert_eq!(now - silent_since, 2 * SECOND);
        assert!(is_suspect(next(&mut liveness, &mut now, SILENT)));
        assert_eq!(now - silent_since, 5 * SECOND);
        assert_eq!(next(&mut liveness, &mut now, SILENT), Verdict::Dead);
        assert_eq!(now - silent_since, 15 * SECOND);
    }

    #[test]
    fn a_peer_that_never_answers_is_left_to_the_transport() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(times(), now);
        let deaf = Found {
            answers: false,
            ..SILENT
        };
        assert!(is_probe(next(&mut liveness, &mut now, deaf)));
        for round in 0..100 {
            now += liveness.planned;
            // What it sends by itself is no answer.
            let found = match round % 7 {
                0 => Found {
                    heard: true,
                    ..deaf
                },
                _ => deaf,
            };
            let verdict = liveness.look(found, now);
            assert!(is_probe(verdict) || matches!(verdict, Verdict::Fine(_)));
        }
    }

    #[test]
    fn our_own_absence_is_not_the_peers_silence_whenever_it_begins() {
        for looks in 0..3 {
            let mut now = Instant::now();
            let mut liveness = Liveness::new(times(), now);
            let mut last = Verdict::Fine(Duration::ZERO);
            for _ in 0..looks {
                now += liveness.planned;
                last = liveness.look(SILENT, now);
            }
            now += 1000 * SECOND;
            assert!(is_probe(liveness.look(SILENT, now)), "after {last:?}");
            let asked = now;
            assert!(is_suspect(next(&mut liveness, &mut now, SILENT)));
            assert_eq!(next(&mut liveness, &mut now, SILENT), Verdict::Dead);
            assert_eq!(now - asked, 13 * SECOND);
        }
    }

    #[test]
    fn a_peer_that_does_not_read_is_suspected_and_no_more() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(times(), now);
        let blocked = Found {
            blocked: true,
            ..SILENT
        };
        assert!(is_probe(next(&mut liveness, &mut now, blocked)));
        for _ in 0..10 {
            assert!(is_suspect(next(&mut liveness, &mut now, blocked)));
        }
        // It reads again, and says nothing.
        let reads_since = now;
        assert!(is_suspect(next(&mut liveness, &mut now, blocked)));
        assert_eq!(next(&mut liveness, &mut now, SILENT), Verdict::Dead);
        assert!(now - reads_since >= 10 * SECOND);
    }
}
