//! Which of several outbounds takes a connection (section 5.3).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::seq::IndexedRandom;

use super::{BalancerOptions, BalancerStatus, BalancerStrategy, CandidateStatus};
use crate::limits::{SIMILAR_ROUND_TRIP, SIMILAR_SLACK, TRIAL_PAUSE};
use crate::link::{Health, Outbound};

/// Picks among the outbounds that it is shown, and counts what each has.
pub(super) struct Balancer {
    options: BalancerOptions,
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    picked: AtomicUsize,
}

/// What is remembered of an outbound.
#[derive(Default)]
struct Slot {
    connections: Arc<AtomicUsize>,
    tried: Option<Instant>,
}

/// One of the outbounds that may be picked.
struct Candidate {
    outbound: Arc<dyn Outbound>,
    health: Option<Health>,
    connections: Arc<AtomicUsize>,
}

/// A connection, as long as it lasts, in the count of its outbound.
pub(super) struct Turn(Arc<AtomicUsize>);

impl Balancer {
    pub(super) fn new(options: BalancerOptions) -> Self {
        Self {
            options,
            slots: Mutex::default(),
            picked: AtomicUsize::new(0),
        }
    }

    pub(super) fn options(&self) -> &BalancerOptions {
        &self.options
    }

    /// One of `outbounds`; `None` if there are none, or if all of them fail
    /// and there is an outbound for that case.
    pub(super) fn pick(
        &self,
        outbounds: Vec<Arc<dyn Outbound>>,
        now: Instant,
    ) -> Option<(Arc<dyn Outbound>, Turn)> {
        let candidates = self.candidates(outbounds);
        let chosen = self
            .on_trial(&candidates, now)
            .or_else(|| self.among_working(&candidates))
            .or_else(|| self.among_failing(&candidates))?;
        chosen.connections.fetch_add(1, Ordering::Relaxed);
        let turn = Turn(chosen.connections.clone());
        Some((chosen.outbound.clone(), turn))
    }

    /// How each of `outbounds` does.
    pub(super) fn status(&self, outbounds: Vec<Arc<dyn Outbound>>) -> BalancerStatus {
        let candidates = self.candidates(outbounds);
        let slots = self.slots.lock();
        let candidates = candidates.iter().map(|candidate| CandidateStatus {
            tag: candidate.outbound.tag().to_owned(),
            health: candidate.health,
            tried: slots.get(candidate.outbound.tag()).and_then(|s| s.tried),
            connections: candidate.load(),
        });
        BalancerStatus {
            tag: self.options.tag.clone(),
            strategy: self.options.strategy,
            fallback: self.options.fallback.clone(),
            candidates: candidates.collect(),
        }
    }

    /// What outbounds know of themselves is asked without a lock of ours.
    fn candidates(&self, outbounds: Vec<Arc<dyn Outbound>>) -> Vec<Candidate> {
        let candidates = outbounds.into_iter().map(|outbound| Candidate {
            health: outbound.health(),
            connections: self.connections(outbound.tag()),
            outbound,
        });
        candidates.collect()
    }

    fn connections(&self, tag: &str) -> Arc<AtomicUsize> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(tag) {
            return slot.connections.clone();
        }
        slots.entry(tag.into()).or_default().connections.clone()
    }

    /// One that has to be tried to know more of it, if its turn has come.
    fn on_trial<'a>(&self, candidates: &'a [Candidate], now: Instant) -> Option<&'a Candidate> {
        let mut due = candidates.iter().filter(|c| self.is_in_question(c, now));
        due.find(|candidate| self.begin_trial(candidate.outbound.tag(), now))
    }

    fn is_in_question(&self, candidate: &Candidate, now: Instant) -> bool {
        match candidate.health {
            None => false,
            Some(Health {
                failed: Some(at), ..
            }) => now.duration_since(at) >= TRIAL_PAUSE,
            Some(health) => self.options.strategy.measures() && health.round_trip.is_none(),
        }
    }

    /// Whether the last trial was long enough ago.
    fn begin_trial(&self, tag: &str, now: Instant) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(tag) else {
            return false;
        };
        let recent = |at: Instant| now.duration_since(at) < TRIAL_PAUSE;
        let begins = !slot.tried.is_some_and(recent);
        if begins {
            slot.tried = Some(now);
        }
        begins
    }

    fn among_working<'a>(&self, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
        let working: Vec<&Candidate> = candidates.iter().filter(|c| !c.fails()).collect();
        match self.options.strategy {
            BalancerStrategy::Random => at_random(&working),
            BalancerStrategy::RoundRobin => self.next(&working),
            BalancerStrategy::LeastPing => nearest(&working).or_else(|| at_random(&working)),
            BalancerStrategy::LeastLoad => least_loaded(&near(&working)),
        }
    }

    fn next<'a>(&self, working: &[&'a Candidate]) -> Option<&'a Candidate> {
        let count = working.len().max(1);
        let place = self.picked.fetch_add(1, Ordering::Relaxed) % count;
        working.get(place).copied()
    }

    /// When none works any may do, unless something else is to be done.
    fn among_failing<'a>(&self, candidates: &'a [Candidate]) -> Option<&'a Candidate> {
        let all: Vec<&Candidate> = candidates.iter().collect();
        match self.options.fallback {
            Some(_) => None,
            None => at_random(&all),
        }
    }
}

impl Candidate {
    fn fails(&self) -> bool {
        self.health.is_some_and(|health| health.failed.is_some())
    }

    fn round_trip(&self) -> Option<Duration> {
        self.health.and_then(|health| health.round_trip)
    }

    fn load(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn at_random<'a>(candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
    candidates.choose(&mut rand::rng()).copied()
}

/// Of those whose round trip is known.
fn nearest<'a>(candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
    let measured = candidates.iter().filter(|c| c.round_trip().is_some());
    measured.min_by_key(|c| c.round_trip()).copied()
}

/// Those that are not much farther than the nearest; all, if nothing is known
/// of any.
fn near<'a>(candidates: &[&'a Candidate]) -> Vec<&'a Candidate> {
    let Some(shortest) = nearest(candidates).and_then(Candidate::round_trip) else {
        return candidates.to_vec();
    };
    let longest = shortest * SIMILAR_ROUND_TRIP + SIMILAR_SLACK;
    let is_near = |c: &&&Candidate| c.round_trip().is_some_and(|time| time <= longest);
    candidates.iter().filter(is_near).copied().collect()
}

/// One at random of those with the fewest connections.
fn least_loaded<'a>(candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
    let fewest = candidates.iter().map(|c| c.load()).min()?;
    let idle: Vec<&Candidate> = candidates
        .iter()
        .filter(|c| c.load() == fewest)
        .copied()
        .collect();
    at_random(&idle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{DispatchError, Link, Request};

    struct Out(&'static str, Option<Health>);

    impl Outbound for Out {
        fn tag(&self) -> &str {
            self.0
        }

        fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
            Err(DispatchError::Refused("not in this test"))
        }

        fn health(&self) -> Option<Health> {
            self.1
        }
    }

    fn server(
        tag: &'static str,
        millis: Option<u64>,
        failed: Option<Instant>,
    ) -> Arc<dyn Outbound> {
        let health = Health {
            round_trip: millis.map(Duration::from_millis),
            failed,
        };
        Arc::new(Out(tag, Some(health)))
    }

    fn direct(tag: &'static str) -> Arc<dyn Outbound> {
        Arc::new(Out(tag, None))
    }

    fn balancer(strategy: BalancerStrategy) -> Balancer {
        Balancer::new(BalancerOptions {
            strategy,
            ..BalancerOptions::new("all", vec!["a".into()])
        })
    }

    /// The tags of a hundred picks that do not last, each once.
    fn picked(balancer: &Balancer, outbounds: &[Arc<dyn Outbound>], now: Instant) -> Vec<String> {
        let pick = |_| balancer.pick(outbounds.to_vec(), now).unwrap().0;
        let mut tags: Vec<String> = (0..100).map(pick).map(|o| o.tag().to_owned()).collect();
        tags.sort();
        tags.dedup();
        tags
    }

    const ALL: [BalancerStrategy; 4] = [
        BalancerStrategy::Random,
        BalancerStrategy::RoundRobin,
        BalancerStrategy::LeastPing,
        BalancerStrategy::LeastLoad,
    ];

    #[test]
    fn every_outbound_gets_its_share() {
        let outbounds = [direct("a1"), direct("a2"), direct("a3")];
        for strategy in ALL {
            let balancer = balancer(strategy);
            assert_eq!(
                picked(&balancer, &outbounds, Instant::now()),
                ["a1", "a2", "a3"]
            );
        }
        assert!(
            balancer(BalancerStrategy::Random)
                .pick(vec![], Instant::now())
                .is_none()
        );
    }

    #[test]
    fn turns_are_taken_in_order() {
        let balancer = balancer(BalancerStrategy::RoundRobin);
        let outbounds = [direct("a1"), direct("a2")];
        let pick = || balancer.pick(outbounds.to_vec(), Instant::now()).unwrap().0;
        let tags: Vec<_> = (0..4).map(|_| pick().tag().to_owned()).collect();
        assert_eq!(tags, ["a1", "a2", "a1", "a2"]);
    }

    #[test]
    fn who_fails_is_passed_over_until_he_is_tried_again() {
        let start = Instant::now();
        let (works, fails) = (
            server("a1", Some(9), None),
            server("a2", Some(1), Some(start)),
        );
        let outbounds = [works, fails];
        for strategy in ALL {
            let balancer = balancer(strategy);
            assert_eq!(picked(&balancer, &outbounds, start), ["a1"]);
            let later = start + TRIAL_PAUSE;
            let trial = balancer.pick(outbounds.to_vec(), later).unwrap().0;
            assert_eq!(trial.tag(), "a2", "{strategy:?}");
            assert_eq!(
                picked(&balancer, &outbounds, later),
                ["a1"],
                "one at a time"
            );
            let trial = balancer.pick(outbounds.to_vec(), later + TRIAL_PAUSE);
            assert_eq!(trial.unwrap().0.tag(), "a2");
        }
    }

    #[test]
    fn when_all_fail_any_is_tried_or_the_fallback_taken() {
        let now = Instant::now();
        let outbounds = [server("a1", None, Some(now)), server("a2", None, Some(now))];
        for strategy in ALL {
            assert_eq!(picked(&balancer(strategy), &outbounds, now).len(), 2);
            let mut careful = balancer(strategy);
            careful.options.fallback = Some("direct".into());
            assert!(careful.pick(outbounds.to_vec(), now).is_none());
        }
    }

    #[test]
    fn the_nearest_is_taken_once_all_have_been_tried() {
        let now = Instant::now();
        let far_off = Duration::from_millis(40);
        let balancer = balancer(BalancerStrategy::LeastPing);
        let unknown = [server("a1", Some(5), None), server("a2", None, None)];
        assert_eq!(balancer.pick(unknown.to_vec(), now).unwrap().0.tag(), "a2");
        assert_eq!(
            picked(&balancer, &unknown, now),
            ["a1"],
            "a trial is under way"
        );
        let known = [
            server("a1", Some(5), None),
            server("a2", Some(4), None),
            server("a3", Some(far_off.as_millis() as u64), None),
            direct("a4"),
        ];
        assert_eq!(picked(&balancer, &known, now), ["a2"]);
    }

    #[test]
    fn its_status_is_what_it_decides_by() {
        let now = Instant::now();
        let balancer = balancer(BalancerStrategy::LeastPing);
        let outbounds = [
            server("a1", Some(5), None),
            server("a2", None, Some(now)),
            direct("a3"),
        ];
        let (_, _lasting) = balancer.pick(outbounds.to_vec(), now).unwrap();
        let later = now + TRIAL_PAUSE;
        drop(balancer.pick(outbounds.to_vec(), later).unwrap());
        let status = balancer.status(outbounds.to_vec());
        assert_eq!((&*status.tag, status.fallback), ("all", None));
        let [near, fails, direct] = &status.candidates[..] else {
            panic!("three outbounds");
        };
        assert_eq!(near.health, outbounds[0].health());
        assert_eq!((near.connections, near.tried), (1, None));
        assert_eq!(fails.health.unwrap().failed, Some(now));
        assert_eq!((fails.connections, fails.tried), (0, Some(later)));
        assert_eq!((&*direct.tag, direct.health), ("a3", None));
    }

    #[test]
    fn load_is_spread_over_those_that_are_near() {
        let now = Instant::now();
        let balancer = balancer(BalancerStrategy::LeastLoad);
        let outbounds = [
            server("a1", Some(20), None),
            server("a2", Some(30), None),
            server("a3", Some(200), None),
        ];
        let pick = || balancer.pick(outbounds.to_vec(), now).unwrap();
        let (first, turn) = pick();
        let (second, _second_turn) = pick();
        assert_ne!(first.tag(), second.tag());
        assert!([first.tag(), second.tag()].iter().all(|tag| *tag != "a3"));
        drop(turn);
        for _ in 0..20 {
            assert_eq!(pick().0.tag(), first.tag(), "the other has a connection");
        }
    }
}
