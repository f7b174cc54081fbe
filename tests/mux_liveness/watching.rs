//! The client's watch over its server.

use std::io::ErrorKind;
use std::time::Duration;

use muxcool::limits::{DEAD_AFTER, PARKED_PER_SESSION, PROBE_AFTER, SESSION_PIPE, SUSPECT_AFTER};
use muxcool::mux::{ClientOptions, ClientWorker, LivenessTimes, MuxStream};

use crate::mux_support::frames::{Frame, NEW, PROBE};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::stuck::wait_until_held_up;
use crate::mux_support::tasks::wait_until;
use crate::mux_support::time::Time;
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{keyed, tcp};
use crate::{HELLO, client, is_ping, muxcool_client, pass, pass_until, until_probed};

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
    assert_eq!(speaker.signals().iter().filter_map(is_ping).count(), 0);
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
    pass_until(&time, || worker.is_closed());
    assert!(stream.recv().is_err());
    worker.close();
}

/// A path may fail between the HELLO and the first answer.
#[test]
fn a_peer_that_has_said_hello_and_nothing_since_is_given_up() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = client(&time);
    speaker.say(&[HELLO]);
    let _unanswered = speaker.pinged();
    let passed = pass_until(&time, || worker.is_closed());
    assert!(passed >= DEAD_AFTER - PROBE_AFTER, "{passed:?}");
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
    let pings = speaker.signals().iter().filter_map(is_ping).count();
    assert!(pings == 0 && !worker.is_doubtful());
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

/// A client whose peer is plain, answers a probe, and takes no more than this
/// many bytes until the test reads them.
fn narrow_client(time: &Time, capacity: usize) -> (ClientWorker, MuxStream, Speaker) {
    narrow_client_with(time.client_options(), capacity)
}

fn narrow_client_with(
    options: ClientOptions,
    capacity: usize,
) -> (ClientWorker, MuxStream, Speaker) {
    let wire = wire(Spec {
        capacity,
        ..Spec::default()
    });
    let mut speaker = Speaker::on(wire.far);
    let worker = ClientWorker::new(wire.near, options).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    (worker, stream, speaker)
}

/// Sends until the carrier takes no more; says how many frames.
fn clog(stream: &MuxStream) -> usize {
    let timeout = Some(Duration::from_millis(50));
    stream.set_write_timeout(timeout).unwrap();
    let sent = (0..).take_while(|_| stream.send(&[7; 1000]).is_ok());
    let count = sent.count();
    stream.set_write_timeout(None).unwrap();
    count
}

/// As in V2Ray, where one session that is not read holds up its carrier.
#[test]
fn a_plain_peer_that_does_not_read_is_suspected_but_not_given_up() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = narrow_client(&time, 1024);
    until_probed(&time);
    speaker.expect(Frame::keep(PROBE, b""));
    speaker.send(Frame::end(PROBE, false));
    wait_until("it answered", || worker.stats().round_trip.is_some());
    clog(&stream);
    pass(&time, 2 * DEAD_AFTER);
    assert!(worker.is_doubtful() && !worker.is_closed());
    // It reads again, and the probe is among what it reads.
    while speaker.frame() != Frame::keep(PROBE, b"") {}
    speaker.send(Frame::end(PROBE, false));
    wait_until("it is in doubt no more", || !worker.is_doubtful());
    drop(stream);
    worker.close();
}

/// Settings under which nobody may leave unread for longer than this.
fn impatient(time: &Time, unread: Duration) -> ClientOptions {
    let mut options = time.client_options();
    options.carrier.liveness = Some(LivenessTimes {
        unread,
        ..LivenessTimes::default()
    });
    options
}

/// But not for ever, though it speaks: its streams end with an error.
#[test]
fn a7_a_plain_peer_that_reads_nothing_for_long_is_given_up() {
    let _scene = scene();
    let time = Time::new();
    let unread = Duration::from_secs(24);
    let (worker, stream, mut speaker) = narrow_client_with(impatient(&time, unread), 1024);
    clog(&stream);
    for _ in 0..3 {
        pass(&time, unread / 4);
        assert!(!worker.is_closed());
        speaker.send(Frame::keep(stream.id(), b"still here"));
        assert_eq!(stream.recv().unwrap().unwrap().as_slice(), b"still here");
    }
    pass(&time, unread / 4 + 2 * PROBE_AFTER);
    assert!(worker.is_closed());
    assert!(stream.recv().is_err() && stream.send(b"x").is_err());
    drop(stream);
    worker.close();
}

/// Its twin: now and then it takes what waits.
#[test]
fn a7_a_plain_peer_that_reads_now_and_then_is_kept() {
    let _scene = scene();
    let time = Time::new();
    let unread = Duration::from_secs(24);
    let (worker, stream, mut speaker) = narrow_client_with(impatient(&time, unread), 1024);
    for _ in 0..3 {
        let mut waiting = clog(&stream);
        pass(&time, unread / 4 * 3);
        assert!(!worker.is_closed());
        while waiting > 0 {
            waiting -= usize::from(speaker.frame().id == stream.id());
        }
        pass(&time, unread / 2);
        assert!(!worker.is_closed());
    }
    drop(stream);
    worker.close();
}

#[test]
fn a_muxcool_peer_that_does_not_read_is_given_up() {
    let _scene = scene();
    let time = Time::new();
    let (worker, stream, mut speaker) = narrow_client(&time, 1024);
    speaker.say(&[Signal::Hello { window: 1 << 30 }]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    speaker.sync();
    clog(&stream);
    pass(&time, PROBE_AFTER + DEAD_AFTER);
    assert!(worker.is_closed());
    drop(stream);
    worker.close();
}

/// Whoever does not read cannot hear either.
#[test]
fn a_reader_that_is_held_up_does_not_blame_the_peer() {
    let _scene = scene();
    let time = Time::new();
    let (link, mut speaker) = Speaker::new();
    let mut options = time.client_options();
    options.carrier.stalled_session = Duration::from_secs(3600);
    let worker = ClientWorker::new(link, options).unwrap();
    let stream = worker.open(tcp()).unwrap();
    until_probed(&time);
    assert_eq!(speaker.frame().status, NEW);
    speaker.expect(Frame::keep(PROBE, b""));
    speaker.send(Frame::end(PROBE, false));
    speaker.script().sync();
    // Nobody reads the stream, and its peer knows of no credit.
    let total = 2 * (SESSION_PIPE + PARKED_PER_SESSION);
    speaker.stream(stream.id(), &vec![7; total], 32_768);
    wait_until_held_up(|| worker.stats());
    assert!(worker.is_doubtful() && worker.is_full());
    pass(&time, 3 * DEAD_AFTER);
    assert!(!worker.is_closed());
    let mut left = total;
    while left > 0 {
        left -= stream.recv().unwrap().unwrap().len();
    }
    speaker.script().sync();
    assert!(!worker.is_doubtful());
    worker.close();
}
