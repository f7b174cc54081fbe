//! Whether the peer is still there (section 14), on clocks that the tests
//! drive: probes, suspicion, death, and what is measured.

#[allow(dead_code)]
mod mux_support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use muxcool::limits::{
    ABSENCE, DEAD_AFTER, HEARTBEAT, PARKED_PER_SESSION, PROBE_AFTER, SESSION_PIPE, SUSPECT_AFTER,
};
use muxcool::link::{Link, Request};
use muxcool::mux::{
    CarrierOptions, ClientManager, ClientOptions, ClientWorker, IncrementalWorkerPicker, MuxError,
    MuxServer, MuxStream, ServerWorker, WorkerPicker,
};
use muxcool::reverse::{PortalWorker, StaticMuxPicker};
use parking_lot::Mutex;

use mux_support::frames::{Frame, NEW, PROBE, Script};
use mux_support::recorder::{Writes, recorded};
use mux_support::scene::scene;
use mux_support::speaker::{Signal, Speaker, raw_frame, signals_in};
use mux_support::targets::{Taking, Target, Targets, next};
use mux_support::tasks::{PATIENCE, names, wait_until, wait_until_asleep};
use mux_support::time::Time;
use mux_support::wire::{Lane, Spec, wire};
use mux_support::{keyed, tcp, udp};

const HELLO: Signal = Signal::Hello { window: 1 << 20 };

const AT_ONCE: Duration = Duration::from_millis(1);

fn is_ping(signal: &Signal) -> Option<u64> {
    match signal {
        Signal::Ping(nonce) => Some(*nonce),
        _ => None,
    }
}

/// Lets time pass in steps that are not longer than any wait of the watch.
fn pass(time: &Time, whole: Duration) {
    let mut left = whole;
    while left > Duration::ZERO {
        let step = left.min(Duration::from_millis(500));
        time.pass(step);
        left -= step;
    }
}

/// Lets as much time pass as it takes a carrier to find that it is quiet.
fn until_probed(time: &Time) {
    pass(time, 2 * PROBE_AFTER);
}

// --- The client's watch -----------------------------------------------------------

/// A client on a clock, a stream of it, and its peer.
fn client(time: &Time) -> (ClientWorker, MuxStream, Speaker) {
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, time.client_options()).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    (worker, stream, speaker)
}

/// The same with a peer that says HELLO and has answered the first PING.
fn muxcool_client(time: &Time) -> (ClientWorker, MuxStream, Speaker) {
    let (worker, stream, mut speaker) = client(time);
    speaker.say(&[HELLO]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    speaker.sync();
    (worker, stream, speaker)
}

#[test]
fn a_quiet_muxcool_peer_is_pinged() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = muxcool_client(&time);
    for _ in 0..3 {
        until_probed(&time);
        let nonce = speaker.pinged();
        assert!(!worker.is_doubtful());
        speaker.say(&[Signal::Pong(nonce)]);
        speaker.sync();
        assert!(speaker.frames().is_empty(), "{:?}", speaker.frames());
    }
    worker.close();
}

#[test]
fn a_quiet_plain_peer_is_asked_for_an_end() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = client(&time);
    for _ in 0..3 {
        until_probed(&time);
        speaker.expect(Frame::keep(PROBE, b""));
        speaker.send(Frame::end(PROBE, false));
        speaker.script().sync();
    }
    assert!(!worker.is_closed() && !worker.is_doubtful());
    assert!(worker.stats().round_trip.is_some());
    worker.close();
}

#[test]
fn a_peer_that_is_heard_is_not_probed() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = muxcool_client(&time);
    for _ in 0..20 {
        speaker.send(Frame::keep(stream.id(), b"x"));
        assert_eq!(stream.recv().unwrap().unwrap().as_slice(), b"x");
        time.pass(PROBE_AFTER);
    }
    speaker.script().sync();
    assert!(
        !speaker
            .signals()
            .iter()
            .any(|signal| is_ping(signal).is_some())
    );
    worker.close();
}

#[test]
fn a_peer_that_falls_silent_is_suspected_and_what_it_says_clears_it() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = muxcool_client(&time);
    for _ in 0..2 {
        until_probed(&time);
        let _unanswered = speaker.pinged();
        assert!(!worker.is_doubtful());
        pass(&time, SUSPECT_AFTER);
        assert!(worker.is_doubtful() && worker.is_full() && !worker.is_closed());
        // Anything will do, not the answer alone.
        speaker.send(Frame::end(77, false));
        speaker.sync();
        assert!(!worker.is_doubtful() && !worker.is_full());
    }
    worker.close();
}

#[test]
fn a_peer_that_stays_silent_is_given_up_with_all_its_sessions() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, speaker) = muxcool_client(&time);
    pass(&time, DEAD_AFTER - Duration::from_secs(1));
    assert!(!worker.is_closed(), "before its time");
    pass(&time, PROBE_AFTER + Duration::from_secs(1));
    assert!(worker.is_closed());
    let error = stream.recv().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(worker.open(tcp()).is_err());
    speaker.reset();
    worker.close();
}

#[test]
fn a_plain_peer_that_answered_before_is_given_up_as_well() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = client(&time);
    until_probed(&time);
    speaker.expect(Frame::keep(PROBE, b""));
    speaker.send(Frame::end(PROBE, false));
    speaker.script().sync();
    pass(&time, PROBE_AFTER + SUSPECT_AFTER);
    assert!(worker.is_doubtful());
    pass(&time, DEAD_AFTER);
    assert!(worker.is_closed());
    assert!(stream.recv().is_err());
    worker.close();
}

/// Not even one that speaks now and then, but never answers.
#[test]
fn a_peer_that_never_answers_is_left_alone() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = client(&time);
    for round in 0..4 {
        pass(&time, 2 * DEAD_AFTER);
        assert!(!worker.is_doubtful() && !worker.is_closed(), "{round}");
        let said = keyed(1, round, 1);
        speaker.send(Frame::keep(stream.id(), &said));
        assert_eq!(stream.recv().unwrap().unwrap().as_slice(), said);
    }
    worker.close();
}

#[test]
fn liveness_can_be_off() {
    let _scene = scene();
    let time = Time::new();
    let (link, mut speaker) = Speaker::new();
    let mut options = time.client_options();
    options.carrier.liveness = None;
    let worker = ClientWorker::new(link, options).unwrap();
    let _stream = worker.open(tcp()).unwrap();
    speaker.say(&[HELLO]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    speaker.sync();
    pass(&time, 4 * DEAD_AFTER);
    speaker.sync();
    assert!(speaker.signals().is_empty() && !worker.is_doubtful());
    worker.close();
}

#[test]
fn our_own_absence_is_not_the_peers_silence() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = muxcool_client(&time);
    // Whether it comes early or when the peer is suspected already.
    for before in [0, 2, 4, 7, 9] {
        pass(&time, Duration::from_secs(before));
        time.pass(Duration::from_secs(1000));
        assert!(!worker.is_closed(), "after {before} s");
        speaker.sync();
        assert!(!worker.is_doubtful());
        let asked = speaker.until(is_ping);
        speaker.say(&[Signal::Pong(asked)]);
        speaker.sync();
    }
    worker.close();
}
