//! The arithmetic of flow control (section 11): how much of a session's
//! stream may be sent, and how much is granted to the peer. No threads here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{
    GRANTS_PER_WINDOW, MAX_FRAME_PAYLOAD, MIN_ROUND_TRIP, REMEMBERED_GRANTS, SENT_UNAWARE,
    STARVED_PART, WINDOW_SHRINKS, WINDOW_STRETCH,
};

/// How far this side may send. Offsets count from the session's first byte.
#[derive(Debug, Clone)]
pub(super) struct SendCredit {
    sent: u64,
    granted: u64,
    /// A plain peer knows no credit.
    unlimited: bool,
}

impl SendCredit {
    /// Towards a peer that has not said HELLO.
    pub(super) fn plain() -> Self {
        Self {
            sent: 0,
            granted: 0,
            unlimited: true,
        }
    }

    /// The peer has said HELLO. A session that is past its window by then has
    /// to wait until credit catches up.
    pub(super) fn limit_to(&mut self, window: u32) {
        self.unlimited = false;
        self.granted = self.granted.max(window.into());
    }

    /// The peer grants payload up to `offset`. A smaller one is ignored.
    pub(super) fn grant(&mut self, offset: u64) {
        self.granted = self.granted.max(offset);
    }

    /// Takes as much of `wanted` bytes as may be sent now.
    pub(super) fn take(&mut self, wanted: usize) -> usize {
        let taken = match self.unlimited {
            true => wanted,
            false => wanted.min(usize::try_from(self.left()).unwrap_or(usize::MAX)),
        };
        self.sent = self.sent.saturating_add(taken as u64);
        taken
    }

    /// Takes all of `len` bytes, or none.
    pub(super) fn take_whole(&mut self, len: usize) -> bool {
        let whole = self.unlimited || self.left() >= len as u64;
        whole && self.take(len) == len
    }

    /// `len` bytes that were taken have not been sent after all.
    pub(super) fn give_back(&mut self, len: usize) {
        self.sent = self.sent.saturating_sub(len as u64);
    }

    /// Bytes that were taken and not given back.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    fn left(&self) -> u64 {
        self.granted.saturating_sub(self.sent)
    }
}

/// How far the peer may send, and when it is told.
#[derive(Debug, Clone)]
pub(super) struct ReceiveCredit {
    received: u64,
    consumed: u64,
    granted: u64,
    window: u64,
    first_window: u64,
    max_window: u64,
    /// The peer keeps to what it is granted.
    bound: bool,
    /// Offsets that were granted and not passed yet.
    grants: VecDeque<u64>,
    /// When the consumer last took something, and how long the peer's silence
    /// means nothing after it: so far apart frames may arrive.
    taken: Option<(Instant, Duration)>,
    /// For how much of the stretch the peer had no credit although all that it
    /// had sent was consumed.
    starved: Duration,
    /// When the stretch began over which the window is judged, and what had
    /// been consumed then.
    mark: Option<(Instant, u64)>,
}

impl ReceiveCredit {
    /// With the window that HELLO names, which may grow to `max_window` and
    /// shrink again. A peer is not `bound` as long as it may not have heard of
    /// credit.
    pub(super) fn new(window: u32, max_window: u64, bound: bool) -> Self {
        Self {
            received: 0,
            consumed: 0,
            granted: window.into(),
            window: window.into(),
            first_window: window.into(),
            max_window,
            bound,
            grants: VecDeque::from([window.into()]),
            taken: None,
            starved: Duration::ZERO,
            mark: None,
        }
    }

    /// `len` bytes have arrived, at the time that `now` tells. Returns whether
    /// the peer keeps to its credit, if it is bound to; one maximal frame beyond
    /// is forgiven.
    pub(super) fn receive(&mut self, len: usize, now: impl FnOnce() -> Instant) -> bool {
        if let Some((taken, unsuspicious)) = self.taken.filter(|_| self.is_starving()) {
            let waited = now().saturating_duration_since(taken);
            if waited > unsuspicious {
                self.starved += waited;
            }
        }
        self.pass_grants();
        self.received = self.received.saturating_add(len as u64);
        let allowed = self.granted.saturating_add(MAX_FRAME_PAYLOAD as u64);
        !self.bound || self.received <= allowed
    }

    /// The peer knows of credit by now. Returns whether this binds it: once
    /// credit has caught up even with what it may have sent before it knew.
    pub(super) fn bind(&mut self) -> bool {
        let binds = !self.bound && self.received.saturating_add(SENT_UNAWARE) <= self.granted;
        self.bound |= binds;
        binds
    }

    /// The consumer has taken `len` bytes. Returns the offset to grant, when
    /// enough of the window is free again.
    pub(super) fn consume(
        &mut self,
        len: usize,
        now: Instant,
        round_trip: Duration,
        may_grow: bool,
    ) -> Option<u64> {
        self.consumed = self.consumed.saturating_add(len as u64);
        self.taken = Some((now, MIN_ROUND_TRIP.max(round_trip / 4)));
        self.adapt(now, round_trip.max(MIN_ROUND_TRIP), may_grow);
        let free = self.consumed + self.window;
        if free < self.granted + self.window / GRANTS_PER_WINDOW {
            return None;
        }
        self.grant(free);
        Some(free)
    }

    /// Bytes that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes by which the window is larger than at first.
    pub(super) fn grown(&self) -> u64 {
        self.window.saturating_sub(self.first_window)
    }

    /// What has been granted so far, for a peer that has just said HELLO.
    pub(super) fn granted(&mut self) -> u64 {
        self.grant(self.granted.max(self.consumed + self.window));
        self.granted
    }

    fn grant(&mut self, offset: u64) {
        self.granted = offset;
        if self.grants.len() == REMEMBERED_GRANTS {
            self.grants.pop_front();
        }
        self.grants.push_back(offset);
    }

    fn pass_grants(&mut self) {
        let received = self.received;
        while self.grants.front().is_some_and(|grant| *grant <= received) {
            self.grants.pop_front();
        }
    }

    /// Whether the peer has sent all that it was granted at that time, and none
    /// of it waits for the consumer. Otherwise its bytes would not end just
    /// where a grant ends.
    fn is_starving(&self) -> bool {
        self.consumed == self.received && self.grants.contains(&self.received)
    }

    /// Fits the window to the path each time that a whole one was consumed.
    fn adapt(&mut self, now: Instant, round_trip: Duration, may_grow: bool) {
        let (since, from) = *self.mark.get_or_insert((now, self.consumed));
        let consumed = self.consumed - from;
        if consumed < self.window {
            return;
        }
        let took = now.saturating_duration_since(since);
        let fitting = self.fitting(consumed, took, round_trip);
        self.window = self.towards(fitting, may_grow);
        self.mark = Some((now, self.consumed));
        self.starved = Duration::ZERO;
    }

    fn towards(&self, fitting: u64, may_grow: bool) -> u64 {
        let less = self.window.saturating_sub(fitting) / WINDOW_SHRINKS;
        let window = match may_grow {
            true => fitting.max(self.window - less).min(self.max_window),
            false => fitting.min(self.window),
        };
        window.max(self.first_window)
    }

    /// A window that was used up in about one round trip was itself the limit,
    /// and so was one that left the peer without credit: the shortest round trip
    /// does not tell how long grants wait on their way, behind what flows there.
    /// Else the path or the consumer is the limit, and what they hold at their
    /// pace is enough, with some more for the grants that are under way:
    /// whatever goes beyond only waits somewhere, in front of everybody else.
    fn fitting(&self, consumed: u64, took: Duration, round_trip: Duration) -> u64 {
        if took < round_trip + round_trip / 4 {
            return self.window * 2;
        }
        if self.starved <= took / STARVED_PART {
            return held(consumed, took, round_trip);
        }
        let flowing = took.saturating_sub(self.starved).max(took / 2);
        let needed = scaled(self.window, took, flowing);
        let most = held(consumed, flowing, round_trip).saturating_mul(WINDOW_STRETCH);
        needed.min(most)
    }
}

/// What a path holds on which so many bytes took so long, and some more.
fn held(consumed: u64, took: Duration, round_trip: Duration) -> u64 {
    scaled(consumed, round_trip, took).saturating_mul(11) / 8
}

fn scaled(bytes: u64, by: Duration, to: Duration) -> u64 {
    let scaled = u128::from(bytes) * by.as_nanos() / to.as_nanos().max(1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{FRAME_PAYLOAD, INITIAL_WINDOW, MAX_WINDOW};

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_plain_peer_has_no_limit_until_it_says_hello() {
        let mut credit = SendCredit::plain();
        assert_eq!(credit.take(1000), 1000);
        credit.limit_to(600);
        assert_eq!(credit.take(1), 0);
        credit.grant(1001);
        assert_eq!(credit.take(10), 1);
        credit.grant(500);
        assert_eq!(credit.take(10), 0);
    }

    #[test]
    fn who_did_not_know_of_credit_is_bound_once_it_has_caught_up() {
        let window = INITIAL_WINDOW as usize;
        let mut credit = ReceiveCredit::new(INITIAL_WINDOW, MAX_WINDOW, false);
        assert!(credit.receive(4 * window, Instant::now));
        assert!(!credit.bind());
        credit.consume(4 * window, Instant::now(), MILLISECOND, false);
        assert!(credit.bind());
        assert!(!credit.bind());
        assert!(credit.receive(window + MAX_FRAME_PAYLOAD, Instant::now));
        assert!(!credit.receive(1, Instant::now));
    }

    /// A path of this many bytes a millisecond, with a round trip of 50 ms, and
    /// a sender that always has more; returns the window after `windows` of
    /// them were consumed.
    fn window_on_path(pace: u64, windows: u32) -> u64 {
        let round_trip = 50 * MILLISECOND;
        let mut credit = ReceiveCredit::new(INITIAL_WINDOW, MAX_WINDOW, true);
        let mut now = Instant::now();
        for _ in 0..windows {
            let window = credit.window;
            let at_pace = Duration::from_millis(window / pace);
            now += at_pace.max(round_trip);
            credit.consume(window as usize, now, round_trip, true);
        }
        credit.window
    }

    #[test]
    fn the_window_comes_to_what_the_path_holds() {
        let megabyte = 1_000_000;
        for pace in [20_000, 125_000, 200_000_u64] {
            let held = pace * 50;
            let window = window_on_path(pace, 40);
            assert!(window >= held + held / 4, "{window} for {held}");
            assert!(
                window <= held + held / 2 + megabyte / 10,
                "{window} for {held}"
            );
        }
        assert_eq!(window_on_path(1_000, 40), u64::from(INITIAL_WINDOW));
        assert_eq!(window_on_path(10_000_000, 40), MAX_WINDOW);
    }

    #[test]
    fn a_window_that_may_not_grow_may_still_shrink() {
        let window = INITIAL_WINDOW as usize;
        let start = Instant::now();
        let mut credit = ReceiveCredit::new(INITIAL_WINDOW, MAX_WINDOW, true);
        credit.consume(window, start, MILLISECOND, false);
        credit.consume(window, start + MILLISECOND, MILLISECOND, false);
        assert_eq!(credit.grown(), 0);
        credit.consume(window, start + 2 * MILLISECOND, MILLISECOND, true);
        assert_eq!(credit.grown(), window as u64);
        credit.consume(2 * window, start + 1000 * MILLISECOND, MILLISECOND, false);
        assert_eq!(credit.grown(), 0);
    }

    /// A path with a bottleneck each way, which grants pass behind the data that
    /// goes their way.
    struct Path {
        now: Instant,
        ways: [Way; 2],
    }

    /// From one end of it to the other.
    struct Way {
        credit: SendCredit,
        /// Of the end that it leads to.
        receiver: ReceiveCredit,
        /// The shortest round trip that this end has seen.
        round_trip: Duration,
        /// When the bottleneck will have sent all.
        busy: Instant,
        /// Data of a length or a grant for the other way, and when it arrives.
        under_way: VecDeque<(Instant, Result<usize, u64>)>,
    }

    /// Bytes a millisecond.
    const PACE: u64 = 25_000;
    const DELAY: Duration = Duration::from_millis(10);

    impl Way {
        fn new(now: Instant, round_trip: Duration) -> Self {
            let mut credit = SendCredit::plain();
            credit.limit_to(0);
            Self {
                credit,
                receiver: ReceiveCredit::new(INITIAL_WINDOW, MAX_WINDOW, true),
                round_trip,
                busy: now,
                under_way: VecDeque::new(),
            }
        }

        fn send(&mut self, now: Instant, len: usize, what: Result<usize, u64>) {
            let sending = Duration::from_nanos(len as u64 * 1_000_000 / PACE);
            self.busy = self.busy.max(now) + sending;
            self.under_way.push_back((self.busy + DELAY, what));
        }

        /// All that it has credit for.
        fn send_data(&mut self, now: Instant) {
            loop {
                match self.credit.take(FRAME_PAYLOAD) {
                    0 => return,
                    len => self.send(now, len, Ok(len)),
                }
            }
        }

        /// Data arrives and is consumed at once. Returns what is granted.
        fn consume(&mut self, now: Instant, len: usize) -> Option<u64> {
            assert!(self.receiver.receive(len, || now));
            self.receiver.consume(len, now, self.round_trip, true)
        }
    }

    impl Path {
        /// The second way begins when the first has had the path for itself.
        fn new(round_trips: [Duration; 2]) -> Self {
            let now = Instant::now();
            let mut ways = round_trips.map(|round_trip| Way::new(now, round_trip));
            let first = Err(INITIAL_WINDOW.into());
            ways[1].under_way.push_back((now, first));
            let mut path = Self { now, ways };
            path.run(500 * MILLISECOND);
            let now = path.now;
            path.ways[0].under_way.push_front((now, first));
            path
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while let Some((at, way)) = self.next().filter(|(at, _)| *at <= end) {
                self.now = at;
                self.arrive(way);
            }
            self.now = end;
        }

        fn next(&self) -> Option<(Instant, usize)> {
            let fronts = self.ways.iter().map(|way| way.under_way.front());
            let fronts = fronts.enumerate();
            fronts
                .filter_map(|(way, front)| Some((front?.0, way)))
                .min()
        }

        fn arrive(&mut self, way: usize) {
            let now = self.now;
            match self.ways[way].under_way.pop_front().unwrap().1 {
                Ok(len) => {
                    if let Some(grant) = self.ways[way].consume(now, len) {
                        self.ways[1 - way].send(now, 40, Err(grant));
                    }
                }
                Err(grant) => {
                    let back = &mut self.ways[1 - way];
                    back.credit.grant(grant);
                    back.send_data(now);
                }
            }
        }

        /// The part of the path that either way uses for so long.
        fn shares(&mut self, time: Duration) -> [f64; 2] {
            let received = |path: &Self| path.ways.each_ref().map(|way| way.receiver.received);
            let before = received(self);
            self.run(time);
            let after = received(self);
            let most = (PACE * u64::try_from(time.as_millis()).unwrap()) as f64;
            [0, 1].map(|way| (after[way] - before[way]) as f64 / most)
        }
    }

    #[test]
    fn neither_way_starves_where_grants_wait_behind_data() {
        for round_trips in [[20, 20], [20, 35], [35, 20], [60, 20]] {
            let mut path = Path::new(round_trips.map(|time| time * MILLISECOND));
            path.run(1_500 * MILLISECOND);
            let [one, other] = path.shares(3_000 * MILLISECOND);
            assert!(one.min(other) >= 0.6, "{round_trips:?}: {one} {other}");
            assert!(one + other >= 1.6, "{round_trips:?}: {one} {other}");
            for way in path.ways {
                let most = 3 * PACE * 60;
                assert!(way.receiver.window <= most, "{}", way.receiver.window);
            }
        }
    }

    /// One step of two peers' life.
    #[derive(Debug, Clone)]
    enum Step {
        Send(usize),
        Deliver,
        Consume(usize),
        Grant,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1usize..200_000).prop_map(Step::Send),
            Just(Step::Deliver),
            (1usize..400_000).prop_map(Step::Consume),
            Just(Step::Grant),
        ]
    }

    /// A sender, a receiver, and what is under way between them.
    struct Model {
        sender: SendCredit,
        receiver: ReceiveCredit,
        flying: Vec<usize>,
        waiting: usize,
        grants: Vec<u64>,
        now: Instant,
    }

    impl Model {
        fn step(&mut self, step: &Step) {
            self.now += MILLISECOND;
            match step {
                Step::Send(wanted) => {
                    let taken = self.sender.take(*wanted);
                    self.flying.push(taken);
                }
                Step::Deliver if !self.flying.is_empty() => {
                    let len = self.flying.remove(0);
                    assert!(
                        self.receiver.receive(len, || self.now),
                        "sent past the grant"
                    );
                    assert!(self.receiver.received <= self.receiver.granted);
                    self.waiting += len;
                }
                Step::Consume(wanted) => {
                    let len = self.waiting.min(*wanted);
                    self.waiting -= len;
                    self.grants
                        .extend(self.receiver.consume(len, self.now, MILLISECOND, true));
                }
                Step::Grant if !self.grants.is_empty() => self.sender.grant(self.grants.remove(0)),
                Step::Deliver | Step::Grant => {}
            }
        }

        /// With everything delivered, consumed and granted.
        fn settle(&mut self) {
            while !self.flying.is_empty() {
                self.step(&Step::Deliver);
            }
            self.step(&Step::Consume(usize::MAX));
            while !self.grants.is_empty() {
                self.step(&Step::Grant);
            }
        }
    }

    proptest! {
        #[test]
        fn never_past_the_grant_and_never_stuck(steps in proptest::collection::vec(any_step(), 0..300)) {
            let mut model = Model {
                sender: SendCredit::plain(),
                receiver: ReceiveCredit::new(INITIAL_WINDOW, MAX_WINDOW, true),
                flying: Vec::new(),
                waiting: 0,
                grants: Vec::new(),
                now: Instant::now(),
            };
            model.sender.limit_to(INITIAL_WINDOW);
            for step in &steps {
                model.step(step);
                prop_assert!(model.waiting as u64 <= MAX_WINDOW);
            }
            model.settle();
            prop_assert!(model.sender.take(1) == 1, "stuck: {:?}", model.receiver);
        }
    }
}
