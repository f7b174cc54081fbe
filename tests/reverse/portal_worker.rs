//! A portal's carrier: heartbeats, the drain, and the names of the control
//! session.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::{CONTROL_DOMAINS, DRAIN_AFTER, HEARTBEAT, HEARTBEAT_PADDING, IDLE_CHECK};
use muxcool::link::Link;
use muxcool::mux::MuxStream;
use muxcool::reverse::{PortalWorker, State};

use crate::mux_support::frames::{Frame, KEEP, NEW, Script};
use crate::mux_support::tasks::{PATIENCE, wait_until_quiet};
use crate::mux_support::tcp;
use crate::mux_support::wire::{Lane, Pieces, Spec, wire};
use crate::reverse_support::time::Time;
use crate::reverse_support::{assert_opens_control, heartbeat};
use crate::support::threads::ThreadCheck;

const TICK: Duration = Duration::from_millis(1);

/// A worker and its bridge, after the first heartbeat.
struct Rig {
    worker: Arc<PortalWorker>,
    script: Script,
    control: u16,
}

impl Rig {
    fn new(time: &Time) -> Self {
        Self::named(time, CONTROL_DOMAINS[0])
    }

    fn named(time: &Time, name: &str) -> Self {
        let (link, script) = Script::new();
        Self::on(time, name, link, script)
    }

    /// One whose carrier takes a few bytes until its bridge reads them. And
    /// the lane to the bridge.
    fn narrow(time: &Time) -> (Self, Arc<Lane>) {
        let wire = wire(Spec {
            capacity: 16,
            pieces: Pieces::Of(1), // so that nothing is read in advance
        });
        let script = Script::on(wire.far);
        let rig = Self::on(time, CONTROL_DOMAINS[0], wire.near, script);
        (rig, wire.to_far)
    }

    fn on(time: &Time, name: &str, link: Link, mut script: Script) -> Self {
        let worker = time.portal_worker(link, name);
        let first = script.frame();
        assert_opens_control(&first, name);
        Self {
            worker,
            script,
            control: first.id,
        }
    }

    fn open(&mut self) -> MuxStream {
        let stream = self.worker.client().open(tcp()).unwrap();
        self.script.expect(Frame::open(stream.id(), &tcp(), None));
        stream
    }

    fn open_until(&mut self, total: u32) -> Vec<MuxStream> {
        let missing = total - self.worker.client().total_connections();
        (0..missing).map(|_| self.open()).collect()
    }

    /// The bridge ends these sessions.
    fn end(&mut self, streams: Vec<MuxStream>) {
        for stream in &streams {
            self.script.send(Frame::end(stream.id(), true));
        }
        self.assert_quiet();
    }

    /// The next frame is a heartbeat.
    fn beat(&mut self) -> State {
        let frame = self.script.frame();
        let bare = Frame::keep(self.control, frame.payload());
        assert_eq!(frame, bare);
        heartbeat(&frame).state()
    }

    /// The bridge does not want this control session.
    fn refuse_control(&mut self, error: bool) {
        self.script.send(Frame::end(self.control, error));
        if !error {
            self.script.expect(Frame::end(self.control, false));
        }
        self.assert_quiet();
    }

    /// The worker has sent nothing else so far.
    fn assert_quiet(&mut self) {
        self.script.sync();
        assert!(self.script.seen.is_empty(), "{:?}", self.script.seen);
    }

    /// The carrier ends at the idle check, once it was idle for a whole period.
    fn assert_ends_when_idle(&mut self, time: &Time) {
        time.pass(IDLE_CHECK);
        time.pass(IDLE_CHECK);
        assert_eq!(self.script.carrier.read_to_end(), b"");
        assert!(self.worker.is_closed());
    }

    /// Drains it with 256 sessions open, and sees it told.
    fn drain(&mut self, time: &Time) -> Vec<MuxStream> {
        let streams = self.open_until(DRAIN_AFTER + 1);
        time.pass(HEARTBEAT);
        assert_eq!(self.beat(), State::Drain);
        self.script.expect(Frame::end(self.control, false));
        streams
    }
}

#[test]
fn the_first_heartbeat_is_in_new_and_comes_at_once() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    rig.assert_quiet();
    assert_eq!(rig.worker.active_connections(), 1);
    assert!(!rig.worker.is_draining() && !rig.worker.is_closed());
    drop(rig);
    threads.finish();
}

#[test]
fn heartbeats_come_every_2_seconds() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    for _ in 0..20 {
        time.pass(HEARTBEAT - TICK);
        rig.assert_quiet();
        time.pass(TICK);
        assert_eq!(rig.beat(), State::Active);
        rig.assert_quiet();
    }
    drop(rig);
    threads.finish();
}

/// A43: the reference sends no heartbeat whose random part is empty, one in
/// 63. Each one that comes is looked at by `heartbeat`.
#[test]
fn a43_no_heartbeat_is_empty() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let mut lengths = HashSet::new();
    for beat in 0..400 {
        time.pass(HEARTBEAT);
        let frame = rig.script.frame();
        assert_eq!((frame.id, frame.status), (rig.control, KEEP), "beat {beat}");
        assert_eq!(heartbeat(&frame).state(), State::Active);
        lengths.insert(frame.payload().len());
    }
    assert!(lengths.len() > HEARTBEAT_PADDING / 2, "{lengths:?}");
    drop(rig);
    threads.finish();
}

#[test]
fn it_drains_after_more_than_256_sessions_were_opened() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    // The control session counts; that they have ended makes no difference.
    let streams = rig.open_until(DRAIN_AFTER);
    rig.end(streams);
    time.pass(HEARTBEAT);
    assert_eq!(rig.beat(), State::Active);
    assert!(!rig.worker.is_draining());

    let _last = rig.open();
    assert!(!rig.worker.is_draining(), "not before the heartbeat");
    time.pass(HEARTBEAT);
    assert_eq!(rig.beat(), State::Drain);
    rig.script.expect(Frame::end(rig.control, false));
    assert!(rig.worker.is_draining());
    drop((rig, _last));
    threads.finish();
}

#[test]
fn a_draining_carrier_lives_as_long_as_its_sessions() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let mut streams = rig.drain(&time);
    let mut last = streams.pop().unwrap();
    rig.end(streams);
    for _ in 0..5 {
        time.pass(IDLE_CHECK);
    }
    assert!(!rig.worker.is_closed());
    rig.assert_quiet();

    let id = last.id();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.write_all(b"still").unwrap();
    rig.script.expect(Frame::keep(id, b"still"));
    rig.script.send(Frame::keep(id, b"here"));
    let mut answer = [0; 4];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"here");

    rig.script.send(Frame::end(id, true));
    assert!(last.read(&mut answer).is_err());
    rig.assert_ends_when_idle(&time);
    drop((rig, last));
    threads.finish();
}

/// The reference's bridge never answers the End of the control session.
#[test]
fn a21_a_drained_carrier_ends_although_the_bridge_does_not_end_the_control_session() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let streams = rig.drain(&time);
    rig.end(streams);
    assert_eq!(rig.worker.active_connections(), 0);
    rig.assert_ends_when_idle(&time);
    drop(rig);
    threads.finish();
}

/// A40: there may be no other carrier yet.
#[test]
fn a40_a_draining_carrier_takes_sessions() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let streams = rig.drain(&time);
    assert!(rig.worker.takes_sessions());
    let late = rig.open();
    drop((rig, streams, late));
    threads.finish();
}

#[test]
fn a41_draining_is_final() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let streams = rig.drain(&time);
    for _ in 0..5 {
        time.pass(HEARTBEAT);
        assert!(rig.worker.is_draining());
    }
    rig.assert_quiet();
    drop((rig, streams));
    threads.finish();
}

#[test]
fn an_idle_carrier_is_kept() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    for _ in 0..5 {
        time.pass(IDLE_CHECK);
        assert_eq!(rig.beat(), State::Active);
    }
    assert!(!rig.worker.is_closed());
    drop(rig);
    threads.finish();
}

/// A39: a bridge of another version ends the session, for it does not know
/// the name. The reference's portal then ends the carrier.
#[test]
fn a39_a_bridge_that_refuses_the_name_is_offered_the_next() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    for error in [false, true] {
        for first in CONTROL_DOMAINS {
            let mut rig = Rig::named(&time, first);
            let others = CONTROL_DOMAINS.iter().filter(|name| **name != first);
            for name in others {
                rig.refuse_control(error);
                time.pass(HEARTBEAT);
                let frame = rig.script.frame();
                assert_opens_control(&frame, name);
                assert!(frame.id > rig.control);
                rig.control = frame.id;
            }
            time.pass(HEARTBEAT);
            assert_eq!(rig.beat(), State::Active);
            drop(rig);
        }
    }
    threads.finish();
}

#[test]
fn a39_a_bridge_that_knows_none_of_the_names_is_of_use_all_the_same() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    for left in (0..CONTROL_DOMAINS.len()).rev() {
        rig.refuse_control(true);
        time.pass(HEARTBEAT);
        if left > 0 {
            rig.control = rig.script.frame().id;
        }
    }
    for _ in 0..5 {
        time.pass(IDLE_CHECK);
    }
    rig.assert_quiet();
    assert!(!rig.worker.is_closed() && rig.worker.takes_sessions());
    let stream = rig.open();

    // It cannot be told of the drain, but it is drained all the same.
    let streams = rig.open_until(DRAIN_AFTER + 1);
    time.pass(HEARTBEAT);
    assert!(rig.worker.is_draining());
    rig.assert_quiet();
    drop((rig, stream, streams));
    threads.finish();
}

/// A7, A47: the reference's heartbeat waits in its pipe for ever once the
/// carrier takes nothing, and with it everything else on that timer.
#[test]
fn a7_a47_heartbeats_of_a_congested_carrier_are_skipped_and_hold_up_nobody() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let (mut congested, lane) = Rig::narrow(&time);
    let mut other = Rig::new(&time);
    let beats = 300;
    for _ in 0..beats {
        time.pass(HEARTBEAT);
        assert_eq!(other.beat(), State::Active);
    }
    assert!(!congested.worker.is_closed());

    // What had found room comes now, and then it goes on as if nothing was.
    let mut came = 0;
    while lane.waiting() > 0 {
        assert_eq!(congested.beat(), State::Active);
        came += 1;
        wait_until_quiet();
    }
    assert!((1..beats / 2).contains(&came), "{came} of {beats} came");
    for _ in 0..3 {
        time.pass(HEARTBEAT);
        assert_eq!(congested.beat(), State::Active);
    }
    drop((congested, other));
    threads.finish();
}

/// A bridge that is not told goes on counting on the carrier.
#[test]
fn a47_a_drain_that_finds_no_room_is_told_later() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let (mut rig, _lane) = Rig::narrow(&time);
    let early = rig.open_until(DRAIN_AFTER - 30);
    for _ in 0..100 {
        time.pass(HEARTBEAT); // fills the control lane
    }
    let late: Vec<MuxStream> = (0..40)
        .map(|_| rig.worker.client().open(tcp()).unwrap())
        .collect();
    for _ in 0..3 {
        time.pass(HEARTBEAT);
    }
    let mut opened = 0;
    while opened < late.len() {
        let frame = rig.script.frame();
        match frame.status {
            NEW => opened += 1,
            _ => assert_eq!(heartbeat(&frame).state(), State::Active),
        }
    }
    wait_until_quiet();
    time.pass(HEARTBEAT);
    loop {
        match rig.beat() {
            State::Active => {}
            state => break assert_eq!(state, State::Drain),
        }
    }
    rig.script.expect(Frame::end(rig.control, false));
    assert!(rig.worker.is_draining());
    drop((rig, early, late));
    threads.finish();
}

#[test]
fn a21_dropping_it_ends_the_carrier_and_its_sessions() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let mut rig = Rig::new(&time);
    let mut stream = rig.open();
    drop(rig.worker);
    rig.script.carrier.read_to_end();
    let lost = stream.read(&mut [0]).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::ConnectionAborted);
    time.pass(HEARTBEAT);
    drop((stream, rig.script));
    threads.finish();
}
