//! Which carrier a visitor gets.

use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::{CONTROL_DOMAINS, DEAD_AFTER, PICKER_CLEANUP, PROBE_AFTER};
use muxcool::mux::{CarrierOptions, ClientWorker, MuxError, MuxStream, WorkerPicker};
use muxcool::reverse::{PortalWorker, StaticMuxPicker};

use crate::mux_support::frames::{Frame, NEW, PROBE, Script};
use crate::mux_support::tasks::{wait_until, wait_until_quiet};
use crate::mux_support::tcp;
use crate::reverse_support::plain;
use crate::reverse_support::time::Time;
use crate::support::threads::ThreadCheck;

/// Steps in which time passes where the moment of something is looked for.
const STEP: Duration = Duration::from_millis(500);

/// Picks per test of a property that must hold for each.
const PICKS: usize = 20_000;

struct Picking {
    time: Time,
    picker: StaticMuxPicker,
}

/// A worker, its bridge, and the sessions that the test has opened on it.
struct Member {
    worker: Arc<PortalWorker>,
    script: Script,
    sessions: Vec<MuxStream>,
}

impl Picking {
    fn new() -> Self {
        let time = Time::new();
        Self {
            picker: StaticMuxPicker::new(&time.timer),
            time,
        }
    }

    fn member(&self, sessions: usize) -> Member {
        self.member_with(sessions, plain())
    }

    fn member_with(&self, sessions: usize, options: CarrierOptions) -> Member {
        let (link, mut script) = Script::new();
        let name = CONTROL_DOMAINS[0];
        let worker = self.time.portal_worker_with(link, name, options);
        assert_eq!(script.frame().status, NEW);
        let mut member = Member {
            worker,
            script,
            sessions: Vec::new(),
        };
        (0..sessions).for_each(|_| member.open());
        member
    }

    fn added(&self, sessions: usize) -> Member {
        let member = self.member(sessions);
        assert!(self.picker.add(member.worker.clone()));
        member
    }

    fn pick(&self) -> Arc<ClientWorker> {
        self.picker.pick_available().expect("a worker")
    }

    fn assert_picks(&self, member: &Member) {
        assert!(Arc::ptr_eq(&self.pick(), member.worker.client()));
    }

    fn assert_picks_none(&self) {
        assert!(matches!(
            self.picker.pick_available(),
            Err(MuxError::NoWorker)
        ));
    }
}

impl Member {
    fn open(&mut self) {
        let session = self.worker.client().open(tcp()).unwrap();
        assert_eq!(self.script.frame().status, NEW);
        self.sessions.push(session);
    }

    /// Every member of the family answers a probe with End.
    fn answer_probe(&mut self) {
        self.script.send(Frame::end(PROBE, false));
        wait_until_quiet();
    }

    fn lose(&mut self) {
        self.script.carrier.abort();
        assert!(
            self.worker
                .client()
                .wait_closed(Some(Duration::from_secs(20)))
        );
    }
}

#[test]
fn the_one_with_the_fewest_sessions_is_picked() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    picking.assert_picks_none();
    let [busy, mut idle, _middle] = [3, 1, 2].map(|sessions| picking.added(sessions));
    picking.assert_picks(&idle);
    idle.open();
    idle.open();
    idle.open();
    picking.assert_picks(&_middle);
    drop((busy, idle, _middle, picking));
    threads.finish();
}

#[test]
fn among_equals_the_first_is_picked() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let [first, second] = [2, 2].map(|sessions| picking.added(sessions));
    picking.assert_picks(&first);
    picking.picker.remove(&first.worker);
    picking.assert_picks(&second);
    picking.picker.remove(&first.worker);
    assert_eq!(picking.picker.len(), 1);
    drop((first, second, picking));
    threads.finish();
}

#[test]
fn a34_a_closed_one_is_never_picked() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let healthy = picking.added(30);
    let mut dead = picking.added(0);
    picking.assert_picks(&dead);
    dead.lose(); // and has the fewest sessions now
    (0..PICKS).for_each(|_| picking.assert_picks(&healthy));
    healthy.worker.close();
    picking.assert_picks_none();
    drop((healthy, dead, picking));
    threads.finish();
}

/// A40: between the drain and the bridge's next carrier there is only the
/// drained one.
#[test]
fn a40_a_draining_one_is_picked_while_there_is_no_other() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let [busy, idle] = [2, 1].map(|sessions| picking.added(sessions));
    idle.worker.client().drain();
    picking.assert_picks(&busy);
    busy.worker.client().drain();
    picking.assert_picks(&idle);
    assert!(picking.pick().open(tcp()).is_ok());
    let successor = picking.added(50);
    picking.assert_picks(&successor);
    drop((busy, idle, successor, picking));
    threads.finish();
}

/// A35: one of two bridges is frozen. The reference goes on giving it visitors
/// for as long as the system keeps its connection.
#[test]
fn a35_a_silent_one_is_not_picked_while_another_answers() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let mut members = [9, 0].map(|sessions| {
        let member = picking.member_with(sessions, CarrierOptions::default());
        assert!(picking.picker.add(member.worker.clone()));
        member
    });
    // Long enough for a probe to be under way.
    picking.time.pass(PROBE_AFTER);
    picking.time.pass(PROBE_AFTER);
    members.iter_mut().for_each(Member::answer_probe);
    let [mut answers, silent] = members;
    picking.assert_picks(&silent);

    let healthy = answers.worker.client().clone();
    let mut passed = Duration::ZERO;
    let mut pass_until = |limit: Duration, reached: &dyn Fn() -> bool| {
        while !reached() {
            assert!(passed < limit, "not within {limit:?}");
            picking.time.pass(STEP);
            passed += STEP;
            answers.answer_probe();
        }
    };
    pass_until(DEAD_AFTER, &|| Arc::ptr_eq(&picking.pick(), &healthy));
    assert!(!silent.worker.is_closed(), "it is only suspect");
    pass_until(2 * DEAD_AFTER, &|| silent.worker.is_closed());
    picking.assert_picks(&answers);
    drop((answers, silent, healthy, picking));
    threads.finish();
}

/// A new carrier has the fewest sessions. In the moment until its bridge has
/// said HELLO, visitors who go there come from nowhere.
#[test]
fn a_bridge_that_was_never_heard_waits_for_its_visitors() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let [mut old, mut new] = [5, 0].map(|sessions| {
        let member = picking.member_with(sessions, CarrierOptions::default());
        assert!(picking.picker.add(member.worker.clone()));
        member
    });
    picking.assert_picks(&new); // none is known
    old.answer_probe();
    picking.assert_picks(&old);
    new.answer_probe();
    picking.assert_picks(&new);
    drop((old, new, picking));
    threads.finish();
}

/// A42: after 9999 picks the reference had no worker any more.
#[test]
fn a42_picks_are_not_counted() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let only = picking.added(0);
    (0..PICKS).for_each(|_| picking.assert_picks(&only));
    drop((only, picking));
    threads.finish();
}

/// Nobody removes the closed one here but the clean-up.
#[test]
fn closed_ones_are_forgotten_at_the_clean_up() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let healthy = picking.added(0);
    for _ in 0..2 {
        let mut dead = picking.added(0);
        dead.lose();
        let gone = Arc::downgrade(&dead.worker);
        drop(dead);
        let tick = Duration::from_millis(1);
        picking.time.pass(PICKER_CLEANUP - tick);
        assert_eq!(picking.picker.len(), 2);
        picking.time.pass(tick);
        assert_eq!(picking.picker.len(), 1);
        wait_until("the closed worker is dropped", || gone.upgrade().is_none());
        picking.assert_picks(&healthy);
    }
    drop((healthy, picking));
    threads.finish();
}

#[test]
fn a45_closing_ends_all_and_nobody_joins_afterwards() {
    let threads = ThreadCheck::begin();
    let picking = Picking::new();
    let members = [0, 1].map(|sessions| picking.added(sessions));
    picking.picker.close();
    assert!(members.iter().all(|m| m.worker.is_closed()));
    assert!(picking.picker.is_empty());
    picking.assert_picks_none();

    let late = picking.member(0);
    assert!(!picking.picker.add(late.worker.clone()));
    assert!(picking.picker.is_empty());
    drop((members, late, picking));
    threads.finish();
}
