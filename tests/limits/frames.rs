//! Bounds on frames that make work and bring nothing.

use muxcool::limits::{IDLE_FRAMES, IDLE_FRAMES_TIME, UNKNOWN_ANSWERS};
use muxcool::mux::{CarrierOptions, ClientOptions};
use muxcool::sync::{ManualClock, Timer};

use crate::mux_support::frames::{Frame, KEEP, KEEP_ALIVE, PROBE, Script};
use crate::mux_support::rig::{Client, Server};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, signals};
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::{logs, tcp};

/// One frame, so often, in writes of some size.
fn flood(script: &mut Script, frame: &Frame, count: usize) -> bool {
    let bytes = frame.bytes();
    let many = 32 * 1024 / bytes.len();
    for sent in (0..count).step_by(many) {
        let piece = bytes.repeat(many.min(count - sent));
        if script.carrier.try_write(&piece).is_err() {
            return false; // the carrier has ended
        }
    }
    true
}

/// Frames that bring nothing, for a server with session 1 open.
fn useless() -> Vec<(&'static str, Frame)> {
    let mut bare_keep = Frame::keep(1, b"");
    (bare_keep.option, bare_keep.data) = (0, None);
    let mut wrong = Frame::open(2, &tcp(), None);
    wrong.extra[3] = 9; // no type of address
    vec![
        ("empty", Frame::keep(1, b"")),
        ("without data", bare_keep),
        ("unknown id", Frame::keep(77, b"")),
        ("unknown id, with data", Frame::keep(77, b"x")),
        ("End for an unknown id", Frame::end(77, false)),
        ("KeepAlive", Frame::new(0, KEEP_ALIVE)),
        ("KeepAlive of a session", Frame::new(1, KEEP_ALIVE)),
        ("questions", signals(&Signal::Ping(1).bytes())),
        ("padding", signals(&[0, 0, 1, 0])),
        (
            "credit for nothing",
            signals(&Signal::Credit(vec![]).bytes()),
        ),
        ("New without a target", wrong),
    ]
}

/// A carrier for which no time passes, however slow this machine is.
fn timeless() -> CarrierOptions {
    CarrierOptions {
        timer: Some(Timer::new(ManualClock::new().clock()).unwrap()),
        liveness: None,
        ..CarrierOptions::default()
    }
}

#[test]
fn a_flood_of_frames_that_bring_nothing_ends_its_carrier_alone() {
    let _scene = scene();
    let mut other = Server::new();
    let mut witness = other.open(1, &tcp(), None);
    // Some of each kind; refused sessions have a test of their own.
    for (what, frame) in useless().into_iter().step_by(3) {
        logs::start();
        let mut server = Server::with(&timeless());
        let target = server.open(1, &tcp(), None);
        flood(&mut server.script, &frame, IDLE_FRAMES + 1);
        assert!(server.worker.wait_closed(Some(PATIENCE)), "{what}");
        let told = |line: &String| line.contains("nothing but empty frames");
        wait_until("the log says why", || logs::lines().iter().any(told));
        drop(target);
        server.worker.close();
    }
    other.script.send(Frame::keep(1, b"still here"));
    assert_eq!(witness.read(10), b"still here");
    drop(witness);
    other.worker.close();
}

/// Just within the bound nothing is refused: afterwards the carrier and its
/// session are as they were.
#[test]
fn as_many_as_may_be_harm_nothing() {
    let _scene = scene();
    let time = ManualClock::new();
    let mut server = Server::with(&CarrierOptions {
        timer: Some(Timer::new(time.clock()).unwrap()),
        ..timeless()
    });
    let mut target = server.open(1, &tcp(), None);
    let kinds = useless();
    let each = (IDLE_FRAMES - 1000) / kinds.len();
    for (what, frame) in &kinds {
        assert!(flood(&mut server.script, frame, each), "{what}");
    }
    server.script.sync();
    // The next as many are in the time after.
    time.advance(IDLE_FRAMES_TIME);
    assert!(flood(&mut server.script, &kinds[0].1, IDLE_FRAMES / 2));
    server.script.send(Frame::keep(1, b"still here"));
    assert_eq!(target.read(10), b"still here");
    target.write(b"so am I");
    // Behind thousands of answers to what was useless.
    while server.script.frame() != Frame::keep(1, b"so am I") {}
    assert!(!server.worker.is_closed());
    drop(target);
    server.worker.close();
}

/// What a session is for does not count, in pieces however small.
#[test]
fn small_pieces_of_a_stream_are_no_flood() {
    let _scene = scene();
    let mut server = Server::with(&timeless());
    let mut target = server.open(1, &tcp(), None);
    let reader = std::thread::spawn(move || {
        let read = target.read(IDLE_FRAMES + 1000).len();
        (read, target)
    });
    let byte = Frame::keep(1, b"x");
    assert!(flood(&mut server.script, &byte, IDLE_FRAMES + 1000));
    let (read, target) = reader.join().unwrap();
    assert_eq!(read, IDLE_FRAMES + 1000);
    assert!(!server.worker.is_closed());
    drop(target);
    server.worker.close();
}

/// The client's end, which a portal is, is no softer.
#[test]
fn a_clients_peer_cannot_flood_it_either() {
    let _scene = scene();
    let mut client = Client::with(ClientOptions {
        carrier: timeless(),
        ..ClientOptions::default()
    });
    let new = Frame::open(9, &tcp(), None);
    flood(&mut client.script, &new, IDLE_FRAMES + 1);
    assert!(client.worker.wait_closed(Some(PATIENCE)));
    client.worker.close();
}

/// Data for every id there is, from a peer that reads no answer: not all are
/// kept, a probe is answered all the same, and the carrier works on.
#[test]
fn a2_answers_to_unknown_ids_are_bounded() {
    let _scene = scene();
    let (link, mut script) = Script::with(crate::mux_support::wire::Spec {
        capacity: 4096, // a peer that does not read
        ..Default::default()
    });
    let (dispatcher, targets) =
        crate::mux_support::targets::Targets::start(crate::mux_support::targets::Taking::ByHand);
    let origin = muxcool::link::Request::new(tcp());
    let worker = muxcool::mux::ServerWorker::start(link, dispatcher, origin).unwrap();
    let ids: Vec<u8> = (1..PROBE)
        .flat_map(|id| Frame::keep(id, b"x").bytes())
        .collect();
    for piece in ids.chunks(1024) {
        script.carrier.write(piece);
    }
    script.send(Frame::open(1, &tcp(), Some(b"hello")));
    let mut target = crate::mux_support::targets::next(&targets);
    assert_eq!(target.read(5), b"hello"); // so all was read
    script.sync();
    let answers = script.seen.iter().filter(|f| f.status != KEEP).count();
    let in_the_pipe = 4096 / 6 + 64;
    assert!(answers >= UNKNOWN_ANSWERS / 2, "{answers} answers");
    assert!(
        answers <= 2 * (UNKNOWN_ANSWERS + in_the_pipe),
        "{answers} answers"
    );
    drop(target);
    worker.close();
}
