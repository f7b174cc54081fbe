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
    /// End the carrier, for it is silent.
    Dead,
    /// End the carrier, for it takes nothing.
    Unread,
}

/// What a look at the carrier finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// When something was last received.
    pub(super) heard: Instant,
    /// A session holds this side's reader up, so that it cannot hear.
    pub(super) held_up: bool,
    /// The peer is known to answer probes. One that is not is judged by the
    /// transport.
    pub(super) answers: bool,
    /// It does not read what is sent now, and so may not answer. A plain peer
    /// may do so for one session's sake, which is no reason to end the others
    /// soon.
    pub(super) blocked: bool,
    /// The bytes that were sent when a write began that still waits for the
    /// peer, if one does.
    pub(super) stuck_at: Option<u64>,
}

/// What is known of one peer.
#[derive(Debug)]
pub(super) struct Liveness {
    times: LivenessTimes,
    /// From when on its silence counts.
    silent_since: Instant,
    looked: Instant,
    planned: Duration,
    probed: bool,
    /// Where it takes nothing, and since when.
    stuck: Option<(u64, Instant)>,
}

impl Liveness {
    pub(super) fn new(times: LivenessTimes, now: Instant) -> Self {
        Self {
            times,
            silent_since: now,
            looked: now,
            planned: times.probe,
            probed: false,
            stuck: None,
        }
    }

    /// Looks at the carrier.
    pub(super) fn look(&mut self, found: Found, now: Instant) -> Verdict {
        let was_absent = now.saturating_duration_since(self.looked) > self.planned + ABSENCE;
        self.looked = now;
        let heard = match was_absent {
            // A machine that slept, or was stopped, must not take that for the
            // peer's silence: what the peer said meanwhile was not read yet.
            true => found.heard.max(before(now, self.times.probe)),
            false => found.heard,
        };
        if found.held_up {
            self.count_from(now);
        } else if heard > self.silent_since {
            self.count_from(heard);
        }
        if found.blocked {
            let latest = before(now, self.times.suspect);
            self.silent_since = self.silent_since.max(latest);
        }
        if self.is_unread(found.stuck_at, was_absent, now) {
            return Verdict::Unread;
        }
        self.judge(
            now.saturating_duration_since(self.silent_since),
            found.answers,
        )
    }

    /// Whether it has taken nothing for too long. While this side was absent
    /// the peer may have read; nobody saw it.
    fn is_unread(&mut self, stuck_at: Option<u64>, was_absent: bool, now: Instant) -> bool {
        let before = self.stuck.filter(|_| !was_absent);
        self.stuck = stuck_at.map(|sent| match before {
            Some((then, since)) if then == sent => (sent, since),
            _ => (sent, now),
        });
        let since = self.stuck.map_or(now, |(_, since)| since);
        now.saturating_duration_since(since) >= self.times.unread
    }

    fn count_from(&mut self, since: Instant) {
        self.silent_since = since;
        self.probed = false;
    }

    fn judge(&mut self, silence: Duration, answers: bool) -> Verdict {
        let times = self.times;
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

    /// Never at once again, for the timer must not spin; and often enough to
    /// probe in time a peer that speaks and falls silent again.
    fn plan(&mut self, wait: Duration) -> Duration {
        self.planned = wait.min(self.times.probe).max(SHORTEST_PROBE);
        self.planned
    }
}

/// For a clock that has just begun, `now`.
fn before(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
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
            unread: 60 * SECOND,
        }
    }

    /// A watch that goes by itself.
    struct Watch {
        liveness: Liveness,
        now: Instant,
        found: Found,
    }

    impl Watch {
        fn new() -> Self {
            let now = Instant::now();
            let found = Found {
                heard: now,
                held_up: false,
                answers: true,
                blocked: false,
                stuck_at: None,
            };
            Self {
                liveness: Liveness::new(times(), now),
                now,
                found,
            }
        }

        fn hear(&mut self) {
            self.found.heard = self.now;
        }

        fn look(&mut self) -> Verdict {
            self.now += self.liveness.planned;
            self.liveness.look(self.found, self.now)
        }

        /// Looks until it has something other to say than `Fine`, and says for
        /// how many seconds the peer has been silent then.
        fn next(&mut self) -> (Verdict, u64) {
            loop {
                let verdict = self.look();
                if !matches!(verdict, Verdict::Fine(_)) {
                    return (verdict, (self.now - self.found.heard).as_secs());
                }
            }
        }
    }

    fn is_probe(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Probe(_))
    }

    fn is_suspect(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Suspect(_))
    }

    /// Whenever it was last heard between two looks.
    #[test]
    fn a_peer_that_answered_once_is_suspected_and_then_given_up() {
        for millis in [0, 1, 700, 1999, 2000] {
            let mut watch = Watch::new();
            assert!(matches!(watch.next(), (Verdict::Probe(_), 2)));
            watch.found.heard = watch.now + Duration::from_millis(millis);
            assert!(matches!(watch.next(), (Verdict::Probe(_), 2)));
            assert!(matches!(watch.next(), (Verdict::Suspect(_), 5)));
            while !matches!(watch.next(), (Verdict::Dead, 15)) {}
        }
    }

    #[test]
    fn a_peer_that_never_answers_is_left_to_the_transport() {
        let mut watch = Watch::new();
        watch.found.answers = false;
        for round in 0..100 {
            let verdict = watch.look();
            assert!(is_probe(verdict) || matches!(verdict, Verdict::Fine(_)));
            if round % 7 == 0 {
                watch.hear(); // what it sends by itself is no answer
            }
        }
    }

    #[test]
    fn our_own_absence_is_not_the_peers_silence_whenever_it_begins() {
        for (looks, hears) in (0..6).flat_map(|looks| [(looks, false), (looks, true)]) {
            let mut watch = Watch::new();
            for _ in 0..looks {
                watch.look();
            }
            if hears {
                watch.now += Duration::from_millis(1);
                watch.hear(); // no look has found that yet
            }
            watch.now += 1000 * SECOND;
            assert!(is_probe(watch.look()), "after {looks}");
            let asked = watch.now;
            assert!(is_suspect(watch.next().0));
            assert_eq!(watch.now - asked, 3 * SECOND);
            while watch.next().0 != Verdict::Dead {}
            assert_eq!(watch.now - asked, 13 * SECOND);
        }
    }

    #[test]
    fn whoever_is_held_up_does_not_count() {
        let mut watch = Watch::new();
        watch.found.held_up = true;
        for _ in 0..100 {
            assert!(matches!(watch.look(), Verdict::Fine(_)));
        }
        let since = watch.now;
        watch.found.held_up = false;
        while watch.next().0 != Verdict::Dead {}
        assert_eq!(watch.now - since, 15 * SECOND);
    }

    #[test]
    fn a_peer_that_does_not_read_is_suspected_and_no_more() {
        let mut watch = Watch::new();
        watch.found.blocked = true;
        assert!(is_probe(watch.next().0));
        for _ in 0..10 {
            assert!(is_suspect(watch.next().0));
        }
        let since = watch.now;
        watch.found.blocked = false; // it reads again, and says nothing
        while watch.next().0 != Verdict::Dead {}
        assert_eq!(watch.now - since, 10 * SECOND);
    }

    /// Looks for so long; says whether the verdict was that it takes nothing.
    fn is_given_up_in(watch: &mut Watch, time: Duration) -> bool {
        let end = watch.now + time;
        while watch.now < end {
            if watch.look() == Verdict::Unread {
                return true;
            }
        }
        false
    }

    #[test]
    fn a7_a_peer_that_takes_nothing_is_given_up_in_the_end() {
        for answers in [true, false] {
            let mut watch = Watch::new();
            watch.found.answers = answers;
            watch.found.blocked = true;
            // It takes little, or nothing waits for it: no reason.
            for sent in 0..20 {
                watch.found.stuck_at = Some(sent);
                assert!(!is_given_up_in(&mut watch, 50 * SECOND));
                watch.found.stuck_at = (sent % 2 == 0).then_some(sent + 1);
                assert!(!is_given_up_in(&mut watch, 2 * SECOND));
            }
            watch.found.stuck_at = Some(77);
            let since = watch.now;
            assert!(is_given_up_in(&mut watch, 100 * SECOND));
            let passed = watch.now - since;
            assert!((60..=64).contains(&passed.as_secs()), "{passed:?}");
        }
    }

    /// Whether it hears or speaks is another matter.
    #[test]
    fn a7_what_it_says_meanwhile_saves_no_peer_that_takes_nothing() {
        let mut watch = Watch::new();
        watch.found.stuck_at = Some(0);
        for _ in 0..28 {
            watch.hear();
            assert!(!is_given_up_in(&mut watch, 2 * SECOND));
        }
        watch.hear();
        assert!(is_given_up_in(&mut watch, 10 * SECOND));
    }

    #[test]
    fn a7_our_own_absence_is_not_the_time_in_which_a_peer_takes_nothing() {
        let mut watch = Watch::new();
        watch.found.blocked = true;
        watch.found.stuck_at = Some(0);
        assert!(!is_given_up_in(&mut watch, 50 * SECOND));
        watch.now += 1000 * SECOND;
        assert!(!is_given_up_in(&mut watch, 50 * SECOND));
        assert!(is_given_up_in(&mut watch, 20 * SECOND));
    }
}
