//! Asking a peer for an answer, and how long that takes.
//!
//! A plain peer's answers do not tell to which probe they belong, and it may
//! give one for two. So there is never more than one under way to it: no
//! answer is taken for another's. Whoever asks meanwhile gets the answer to the
//! next, and shares it with all who do.

use std::time::{Duration, Instant};

use super::MuxError;
use crate::sync::Lately;
use crate::sync::shim::atomic::{AtomicU64, Ordering};
use crate::sync::shim::{Condvar, Mutex};

/// How a probe is sent, and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// PING with this nonce, to a muxcool peer.
    Ping(u64),
    /// A frame that every plain peer answers with End.
    Plain,
}

/// The probes of one peer.
#[derive(Debug)]
pub(super) struct Probes {
    state: Mutex<State>,
    /// An answer has come, or none will.
    changed: Condvar,
    /// The shortest round trip, in microseconds; `u64::MAX` if there is none.
    shortest: AtomicU64,
    /// A round trip was to be measured while much flows.
    measured: Lately,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the latest probe; they count from 1.
    latest: u64,
    under_way: Option<(Probe, Instant)>,
    /// Somebody asked after that one had left.
    another: bool,
    /// Number of the latest probe that was answered, and how long that took.
    answered: Option<(u64, Duration)>,
    over: bool,
}

impl Probes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            shortest: AtomicU64::new(u64::MAX),
            measured: Lately::new(now),
        }
    }

    /// Begins a probe, which the caller has to send; `None` while a plain
    /// peer's answer is under way. A PING that is under way is given up; who
    /// waits for it gets the answer to this one.
    pub(super) fn begin(&self, plain: bool, now: Instant) -> Option<Probe> {
        let mut state = self.state.lock();
        let awaited = state.under_way.map(|(probe, _)| probe);
        let is_free = !plain || awaited != Some(Probe::Plain);
        is_free.then(|| state.begin(plain, now))
    }

    /// The same, unless any is under way.
    pub(super) fn begin_if_none(&self, plain: bool, now: Instant) -> Option<Probe> {
        let mut state = self.state.lock();
        let is_free = state.under_way.is_none() && !state.over;
        is_free.then(|| state.begin(plain, now))
    }

    /// The same with PING, unless it was called for one that began less than
    /// `time` ago.
    pub(super) fn begin_if_none_within(&self, time: Duration, now: Instant) -> Option<Probe> {
        if self.measured.is_within(time, now) {
            return None;
        }
        self.measured.note(now);
        self.begin_if_none(false, now)
    }

    /// Since when the answer to a probe has been awaited.
    pub(super) fn awaited_since(&self) -> Option<Instant> {
        self.state.lock().under_way.map(|(_, since)| since)
    }

    /// Asks for an answer to a probe that leaves from now on. Returns its
    /// number, and the probe if the caller has to send it now.
    pub(super) fn ask(&self, plain: bool, now: Instant) -> (u64, Option<Probe>) {
        let mut state = self.state.lock();
        if state.under_way.is_some() {
            state.another = true;
            return (state.latest + 1, None);
        }
        let probe = state.begin(plain, now);
        (state.latest, Some(probe))
    }

    /// Waits for the answer to the probe with this number, or a later one, and
    /// says how long it took.
    ///
    /// # Errors
    /// [`MuxError::TimedOut`] after `limit`, [`MuxError::CarrierLost`].
    pub(super) fn wait(&self, number: u64, limit: Duration) -> Result<Duration, MuxError> {
        let mut state = self.state.lock();
        let open = |state: &mut State| !state.over && !state.has_answered(number);
        self.changed.wait_while_for(&mut state, open, limit);
        match state.answered {
            Some((_, took)) if state.has_answered(number) => Ok(took),
            _ if state.over => Err(MuxError::CarrierLost),
            _ => Err(MuxError::TimedOut),
        }
    }

    /// An answer to `probe` has come. Returns the next probe, if somebody asked
    /// for it meanwhile: the caller has to send it.
    pub(super) fn answered(&self, probe: Probe, plain: bool, now: Instant) -> Option<Probe> {
        let mut state = self.state.lock();
        let (_, since) = state.under_way.take_if(|(wanted, _)| *wanted == probe)?;
        let took = now.saturating_duration_since(since);
        state.answered = Some((state.latest, took));
        let next = state.another.then(|| state.begin(plain, now));
        drop(state);
        self.changed.notify_all();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX - 1);
        self.shortest.fetch_min(micros, Ordering::Relaxed);
        next
    }

    /// No more answers come.
    pub(super) fn end(&self) {
        self.state.lock().over = true;
        self.changed.notify_all();
    }

    /// Whether the peer has ever answered.
    pub(super) fn were_answered(&self) -> bool {
        self.round_trip().is_some()
    }

    /// The shortest round trip that was measured.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        match self.shortest.load(Ordering::Relaxed) {
            u64::MAX => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

impl State {
    fn begin(&mut self, plain: bool, now: Instant) -> Probe {
        self.latest += 1;
        let probe = match plain {
            true => Probe::Plain,
            false => Probe::Ping(self.latest),
        };
        self.under_way = Some((probe, now));
        self.another = false;
        probe
    }

    fn has_answered(&self, number: u64) -> bool {
        self.answered
            .is_some_and(|(answered, _)| answered >= number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_shortest_round_trip_is_kept() {
        let start = Instant::now();
        let probes = Probes::new(start);
        assert_eq!(probes.round_trip(), None);
        for (took, shortest) in [(5, 5), (3, 3), (4, 3)] {
            let probe = probes.begin(false, start).unwrap();
            probes.answered(probe, false, start + took * MILLISECOND);
            // A second answer, late, is none.
            probes.answered(probe, false, start);
            assert_eq!(probes.round_trip(), Some(shortest * MILLISECOND));
        }
    }

    #[test]
    fn who_asks_while_a_probe_is_under_way_gets_the_next() {
        let start = Instant::now();
        let probes = Probes::new(start);
        let (first, sent) = probes.ask(true, start);
        let sent = sent.unwrap();
        let (second, none) = probes.ask(true, start + MILLISECOND);
        assert_eq!((second, none), (first + 1, None));
        assert_eq!(probes.ask(true, start), (second, None));
        let next = probes.answered(sent, true, start + 3 * MILLISECOND);
        assert_eq!(probes.wait(first, MILLISECOND).unwrap(), 3 * MILLISECOND);
        assert!(probes.wait(second, MILLISECOND).is_err());
        let at = start + 10 * MILLISECOND;
        assert_eq!(probes.answered(next.unwrap(), true, at), None);
        assert_eq!(probes.wait(second, MILLISECOND).unwrap(), 7 * MILLISECOND);
    }

    #[test]
    fn measures_while_much_flows_are_some_time_apart() {
        let start = Instant::now();
        let probes = Probes::new(start);
        let measure = |at| probes.begin_if_none_within(10 * MILLISECOND, start + at * MILLISECOND);
        assert_eq!(measure(9), None);
        let probe = measure(10).unwrap();
        assert_eq!(measure(20), None, "one is under way");
        probes.answered(probe, false, start + 21 * MILLISECOND);
        assert_eq!(measure(29), None);
        assert!(measure(30).is_some());
    }

    /// Its answer would be taken for the next one's, and the next one's for
    /// that after it.
    #[test]
    fn a_plain_probe_is_never_given_up_for_another() {
        let start = Instant::now();
        let probes = Probes::new(start);
        let probe = probes.begin(true, start).unwrap();
        assert_eq!(probes.begin(true, start + MILLISECOND), None);
        assert_eq!(probes.begin_if_none(true, start + MILLISECOND), None);
        assert_eq!(probes.awaited_since(), Some(start));
        probes.answered(probe, true, start + 5 * MILLISECOND);
        assert_eq!(probes.round_trip(), Some(5 * MILLISECOND));
        assert_eq!(probes.awaited_since(), None);
        assert!(probes.begin_if_none(true, start).is_some());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_askers_to_the_next() {
        let start = Instant::now();
        let probes = Probes::new(start);
        let (first, _) = probes.ask(true, start);
        let (second, _) = probes.ask(true, start);
        let ping = probes.begin(false, start).unwrap(); // the peer has said HELLO
        assert_eq!(probes.answered(Probe::Plain, false, start), None);
        assert!(!probes.were_answered());
        assert_eq!(probes.answered(ping, false, start + MILLISECOND), None);
        for number in [first, second] {
            assert_eq!(probes.wait(number, MILLISECOND).unwrap(), MILLISECOND);
        }
        probes.end();
        assert!(matches!(
            probes.wait(second + 1, Duration::MAX),
            Err(MuxError::CarrierLost)
        ));
    }
}
