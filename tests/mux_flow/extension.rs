//! The messages themselves: when they are sent, answered, skipped, and when
//! they end a carrier.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use muxcool::limits::{FRAME_PAYLOAD, INITIAL_WINDOW, PONGS, PROBE_AFTER};
use muxcool::link::Request;
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, MuxServer, ServerWorker};

use crate::mux_support::frames::{Frame, KEEP_ALIVE, NEW, PROBE};
use crate::mux_support::recorder::recorded;
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker, hello, message, raw_frame, signals_in};
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::time::Time;
use crate::mux_support::wire::{Pieces, Spec, Wire, wire};
use crate::mux_support::{keyed, tcp, udp};

const OUR_HELLO: Signal = Signal::Hello {
    window: INITIAL_WINDOW,
};

const HELLO: Signal = Signal::Hello { window: 1 << 20 };

fn without_extensions() -> CarrierOptions {
    CarrierOptions {
        extensions: false,
        ..CarrierOptions::default()
    }
}

fn client(options: ClientOptions) -> (ClientWorker, Speaker) {
    let (link, speaker) = Speaker::new();
    (ClientWorker::new(link, options).unwrap(), speaker)
}

fn server(options: &CarrierOptions) -> (ServerWorker, Speaker, Receiver<Target>) {
    let (link, speaker) = Speaker::new();
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let origin = Request::new(tcp());
    let worker = ServerWorker::start_with(link, dispatcher, origin, options, || {}).unwrap();
    (worker, speaker, targets)
}

// --- HELLO ----------------------------------------------------------------------

/// A wire that is full after 1024 bytes.
fn narrow_wire() -> Wire {
    wire(Spec {
        capacity: 1024,
        ..Spec::default()
    })
}

#[test]
fn a_client_says_hello_in_one_write_with_its_first_new() {
    let _scene = scene();
    let (link, mut speaker) = Speaker::new();
    let (link, writes) = recorded(link);
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let _stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.signal(), OUR_HELLO);
    assert_eq!(speaker.frame().status, NEW);
    let first = writes.all().remove(0);
    assert_eq!(signals_in(&first[0]), Some(vec![OUR_HELLO]));
    assert_eq!(first[1].status, NEW);
    let _second = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    assert!(speaker.signals().is_empty(), "once is enough");
    worker.close();
}

#[test]
fn hello_is_first_also_when_a_probe_is_earlier_than_a_session() {
    let _scene = scene();
    let time = Time::new();
    let (link, mut speaker) = Speaker::new();
    let (link, writes) = recorded(link);
    let worker = ClientWorker::new(link, time.client_options()).unwrap();
    time.pass(PROBE_AFTER); // the first look finds a new carrier
    time.pass(PROBE_AFTER);
    speaker.expect(Frame::keep(PROBE, b""));
    let _stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    let first = writes.all().remove(0);
    assert_eq!(signals_in(&first[0]), Some(vec![OUR_HELLO]));
    assert!(first.len() > 1, "HELLO does not go alone");
    worker.close();
}

#[test]
fn a_server_says_hello_once_to_those_who_do() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&CarrierOptions::default());
    speaker.send(Frame::open(1, &tcp(), None));
    let target = next(&targets);
    speaker.script().sync();
    speaker.sync();
    assert!(speaker.signals().is_empty(), "{:?}", speaker.signals());
    speaker.say(&[HELLO]);
    assert_eq!(speaker.signal(), OUR_HELLO);
    speaker.say(&[HELLO, HELLO]);
    speaker.say(&[HELLO]);
    speaker.sync();
    assert!(!speaker.signals().contains(&OUR_HELLO));
    drop(target);
    worker.close();
}

#[test]
fn a_second_hello_changes_nothing() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let first = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    speaker.say(&[Signal::Hello { window: 10 }]);
    speaker.say(&[Signal::Hello { window: 1000 }]);
    speaker.sync();
    let second = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    for stream in [&first, &second] {
        let held = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || held.send(&[7; 100]));
        speaker.expect(Frame::keep(stream.id(), &[7; 10]));
        speaker.say(&[Signal::Credit(vec![(stream.id(), 100)])]);
        speaker.expect(Frame::keep(stream.id(), &[7; 90]));
        writing.join().unwrap().unwrap();
    }
    worker.close();
}

/// Sessions that the peer opens before the first, between the two, and after.
#[test]
fn a_second_hello_changes_no_session_of_the_peers() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&CarrierOptions::default());
    let mut opened = Vec::new();
    for (id, window) in [(1, 10), (2, 1000)] {
        speaker.send(Frame::open(id, &tcp(), None));
        opened.push(next(&targets));
        speaker.say(&[Signal::Hello { window }]);
        speaker.sync();
    }
    speaker.send(Frame::open(3, &tcp(), None));
    opened.push(next(&targets));
    for (id, mut target) in (1..).zip(opened) {
        let writing = std::thread::spawn(move || {
            target.write(&[7; 100]);
            target
        });
        speaker.expect(Frame::keep(id, &[7; 10]));
        speaker.say(&[Signal::Credit(vec![(id, 100)])]);
        speaker.expect(Frame::keep(id, &[7; 90]));
        drop(writing.join().unwrap());
        speaker.expect(Frame::end(id, true));
    }
    worker.close();
}

#[test]
fn other_messages_make_nobody_a_muxcool_peer() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&CarrierOptions::default());
    speaker.send(Frame::open(1, &tcp(), None));
    let mut target = next(&targets);
    let credit = Signal::Credit(vec![(1, 1)]);
    speaker.say(&[credit, Signal::Pong(1), Signal::Drain, Signal::Ping(2)]);
    assert_eq!(speaker.signal(), Signal::Pong(2));
    target.write(b"past the offset");
    speaker.expect(Frame::keep(1, b"past the offset"));
    // It is granted nothing, and so nobody expects it to keep to that.
    let sent = 4 * INITIAL_WINDOW as usize;
    let reading = std::thread::spawn(move || (target.read(sent), target));
    speaker.stream(1, &keyed(1, 0, sent), FRAME_PAYLOAD);
    let (read, target) = reading.join().unwrap();
    assert!(read == keyed(1, 0, sent), "it came otherwise");
    speaker.sync();
    assert!(speaker.signals().is_empty(), "{:?}", speaker.signals());
    drop(target);
    worker.close();
}

#[test]
fn a_hello_of_another_magic_or_version_is_no_hello() {
    let _scene = scene();
    let (worker, mut speaker, _targets) = server(&CarrierOptions::default());
    speaker.say_bytes(&hello(b"MUXCOLD", 1, 1000));
    speaker.say_bytes(&hello(b"MUXCOOL", 2, 1000));
    speaker.say_bytes(&hello(b"MUXCOOL", 0, 1000));
    speaker.sync();
    assert!(speaker.signals().is_empty(), "{:?}", speaker.signals());
    // A later one that is right counts, with what a later version may append.
    let mut longer = hello(b"MUXCOOL", 1, 1000);
    longer[2] += 4;
    longer.extend(b"more");
    speaker.say_bytes(&longer);
    assert_eq!(speaker.signal(), OUR_HELLO);
    worker.close();
}

#[test]
fn extensions_off_say_answer_and_heed_nothing() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions {
        carrier: without_extensions(),
        ..ClientOptions::default()
    });
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(raw_frame(speaker.script()).status, NEW);
    speaker.say(&[Signal::Hello { window: 1 }, Signal::Ping(1), Signal::Drain]);
    speaker.say_bytes(b"\x03\xff\xff no message at all");
    stream.send(b"past any window").unwrap();
    let keep = raw_frame(speaker.script());
    assert_eq!(keep, Frame::keep(stream.id(), b"past any window"));
    speaker.script().sync();
    assert!(!worker.has_muxcool_peer() && !worker.is_draining());
    worker.close();

    let (worker, mut speaker, _targets) = server(&without_extensions());
    speaker.say(&[HELLO, Signal::Ping(1)]);
    speaker.say_bytes(b"\x03\xff\xff no message at all");
    speaker.send(Frame::keep(PROBE, b"x"));
    assert_eq!(raw_frame(speaker.script()), Frame::end(PROBE, false));
    worker.close();
}

// --- Messages -------------------------------------------------------------------

#[test]
fn what_is_unknown_is_skipped_and_many_messages_share_a_frame() {
    let _scene = scene();
    let (worker, mut speaker, _targets) = server(&CarrierOptions::default());
    let mut data = message(0, &[0; 300]);
    data.extend(message(77, b"from the future"));
    data.extend(HELLO.bytes());
    data.extend(message(255, b""));
    data.extend(Signal::Ping(1).bytes());
    data.extend(Signal::Credit(vec![]).bytes());
    data.extend(Signal::Pong(99).bytes());
    data.extend(Signal::Ping(2).bytes());
    speaker.say_bytes(&data);
    assert_eq!(speaker.signal(), OUR_HELLO);
    let pong = |nonce| move |signal: &Signal| (*signal == Signal::Pong(nonce)).then_some(());
    speaker.until(pong(1));
    speaker.until(pong(2));
    speaker.say_bytes(&[]);
    speaker.sync();
    worker.close();
}

#[test]
fn messages_arrive_in_pieces_of_any_size() {
    let _scene = scene();
    for size in [1, 2, 3, 5, 7, 11, 30] {
        let pieces = Pieces::Of(size);
        let wire = wire(Spec {
            pieces,
            ..Spec::default()
        });
        let mut speaker = Speaker::on(wire.far);
        let server = MuxServer::new(wire.near).unwrap();
        speaker.say(&[HELLO, Signal::Ping(5)]);
        assert_eq!(speaker.signal(), OUR_HELLO);
        let pong = |signal: &Signal| (*signal == Signal::Pong(5)).then_some(());
        speaker.until(pong);
        server.worker().close();
    }
}

#[test]
fn messages_that_are_wrong_end_the_carrier() {
    let _scene = scene();
    let wrong: [(&str, Vec<u8>); 11] = [
        ("half a head", vec![3]),
        ("a head without its length", vec![3, 0]),
        ("a body that is missing", vec![3, 0, 8]),
        ("a body that is cut", message(3, &[0; 8])[..10].to_vec()),
        ("an unknown one that is cut", vec![99, 0, 2, 0]),
        ("a short ping", message(3, &[0; 7])),
        ("a long ping", message(3, &[0; 9])),
        ("a long pong", message(4, &[0; 16])),
        ("credit and a half", message(2, &[0; 15])),
        ("a drain with a body", message(5, b"x")),
        ("a short hello", message(1, b"MUXCOOL\x01\x00")),
    ];
    for (what, bytes) in wrong {
        let (worker, mut speaker, targets) = server(&CarrierOptions::default());
        speaker.send(Frame::open(1, &tcp(), None));
        let mut target = next(&targets);
        // What stands before it in the frame is heeded or not, as may be.
        speaker.say_bytes(&[HELLO.bytes(), bytes.clone()].concat());
        assert!(worker.wait_closed(Some(PATIENCE)), "{what}");
        target.read_to_error();
        speaker.reset();
        drop(target);
        worker.close();

        let (worker, mut speaker) = client(ClientOptions::default());
        let stream = worker.open(tcp()).unwrap();
        speaker.say_bytes(&bytes);
        assert!(worker.wait_closed(Some(PATIENCE)), "{what}");
        assert!(stream.recv().is_err(), "{what}");
        speaker.reset();
        worker.close();
    }
}

#[test]
fn keep_alive_for_a_session_is_read_past() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&CarrierOptions::default());
    speaker.send(Frame::open(1, &tcp(), None));
    let mut target = next(&targets);
    for id in [1, 7, PROBE] {
        let mut frame = Frame::keep(id, b"\x03\xff\xff no message at all");
        frame.status = KEEP_ALIVE;
        speaker.send(frame);
    }
    speaker.send(Frame::new(0, KEEP_ALIVE)); // and one without data
    speaker.send(Frame::keep(1, b"goes on"));
    assert_eq!(target.read(7), b"goes on");
    speaker.sync();
    assert!(speaker.frames().is_empty());
    drop(target);
    worker.close();
}

#[test]
fn pings_are_answered_ahead_of_queued_data() {
    let _scene = scene();
    let wire = narrow_wire();
    let mut speaker = Speaker::on(wire.far);
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let worker = ServerWorker::start(wire.near, dispatcher, Request::new(tcp())).unwrap();
    speaker.say(&[HELLO]);
    speaker.send(Frame::open(1, &tcp(), None));
    let mut target = next(&targets);
    wire.to_far.stall();
    let sent = keyed(1, 0, 300_000);
    let data = sent.clone();
    let writing = std::thread::spawn(move || {
        target.write(&data);
        target
    });
    // The writer is stuck in its first batch, and the pipe behind it fills.
    wait_until("the wire is full", || wire.to_far.waiting() == 1024);
    speaker.say(&[Signal::Ping(42)]);
    speaker.send(Frame::open(2, &tcp(), None));
    let other = next(&targets);
    wire.to_far.resume();
    let mut before = 0;
    loop {
        let frame = raw_frame(speaker.script());
        match signals_in(&frame) {
            Some(signals) if signals.contains(&Signal::Pong(42)) => break,
            Some(_) => {}
            None => before += frame.payload().len(),
        }
    }
    // At the most one batch, which is what the pipe holds and one write.
    assert!(before < 128 * 1024, "the answer came after {before} bytes");
    let mut rest = sent.len() - before;
    while rest > 0 {
        rest -= raw_frame(speaker.script()).payload().len();
    }
    drop((writing.join(), other));
    worker.close();
}

#[test]
fn a_flood_of_pings_costs_a_bounded_number_of_answers_and_no_reading() {
    let _scene = scene();
    let wire = narrow_wire();
    let mut speaker = Speaker::on(wire.far);
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let worker = ServerWorker::start(wire.near, dispatcher, Request::new(tcp())).unwrap();
    let flood: Vec<Signal> = (0..5000).map(Signal::Ping).collect();
    for _ in 0..20 {
        speaker.say(&flood);
    }
    speaker.send(Frame::open(1, &tcp(), Some(b"read all the same")));
    let mut target = next(&targets);
    assert_eq!(target.read(17), b"read all the same");
    // Nothing has been read on this side until now.
    target.write(b"end");
    speaker.expect(Frame::keep(1, b"end"));
    let pong = Signal::Pong(1).bytes().len();
    let held = 1024 / pong + 2 * PONGS; // the wire, the writer's batch, the lane
    let answers = speaker.signals().len();
    assert!((PONGS..=held).contains(&answers), "{answers} answers");
    speaker.sync();
    drop(target);
    worker.close();
}

#[test]
fn answers_to_pings_that_were_never_sent_are_ignored() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let _stream = worker.open(tcp()).unwrap();
    speaker.say(&[HELLO]);
    let nonce = speaker.pinged();
    for wrong in [nonce + 1, nonce.wrapping_sub(1), 0, u64::MAX] {
        speaker.say(&[Signal::Pong(wrong)]);
    }
    speaker.say(&[Signal::Pong(nonce), Signal::Pong(nonce)]);
    speaker.sync();
    assert!(!worker.is_closed());
    worker.close();
}

// --- CREDIT ---------------------------------------------------------------------

#[test]
fn credit_for_ids_that_are_not_open_is_ignored() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let stream = worker.open(tcp()).unwrap();
    let datagrams = worker.open(udp()).unwrap();
    speaker.say(&[Signal::Hello { window: 4 }]);
    let others = [0, 77, PROBE, datagrams.id()].map(|id| (id, u64::MAX));
    speaker.say(&[Signal::Credit(others.to_vec())]);
    speaker.sync();
    assert_eq!(speaker.frame().status, NEW);
    assert_eq!(speaker.frame().status, NEW);
    let writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.send(b"four and more"));
    speaker.expect(Frame::keep(stream.id(), b"four"));
    datagrams.send(b"not held by credit").unwrap();
    speaker.expect(Frame::keep(datagrams.id(), b"not held by credit"));
    speaker.say(&[Signal::Credit(vec![(stream.id(), u64::MAX)])]);
    speaker.expect(Frame::keep(stream.id(), b" and more"));
    writing.join().unwrap().unwrap();
    worker.close();
}

#[test]
fn offsets_that_go_back_are_ignored() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    let id = stream.id();
    speaker.say(&[Signal::Hello { window: 10 }]);
    speaker.sync();
    let writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.send(&[1; 32]));
    speaker.expect(Frame::keep(id, &[1; 10]));
    speaker.say(&[Signal::Credit(vec![(id, 30), (id, 20), (id, 0)])]);
    speaker.expect(Frame::keep(id, &[1; 20]));
    speaker.say(&[Signal::Credit(vec![(id, 29)])]);
    speaker.sync();
    assert!(speaker.frames().is_empty());
    speaker.say(&[Signal::Credit(vec![(id, 31)])]);
    speaker.expect(Frame::keep(id, &[1]));
    speaker.say(&[Signal::Credit(vec![(id, 1000)])]);
    speaker.expect(Frame::keep(id, &[1]));
    writing.join().unwrap().unwrap();
    worker.close();
}

#[test]
fn credit_that_comes_before_hello_counts() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    let id = stream.id();
    speaker.say(&[Signal::Credit(vec![(id, 20)])]);
    speaker.say(&[Signal::Hello { window: 10 }]);
    speaker.sync();
    let writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.send(&[1; 32]));
    speaker.expect(Frame::keep(id, &[1; 20]));
    speaker.sync();
    assert!(speaker.frames().is_empty());
    speaker.say(&[Signal::Credit(vec![(id, u64::MAX)])]);
    speaker.expect(Frame::keep(id, &[1; 12]));
    writing.join().unwrap().unwrap();
    worker.close();
}

// --- DRAIN ----------------------------------------------------------------------

#[test]
fn a_server_that_drains_says_so_to_muxcool_peers_only() {
    let _scene = scene();
    let (worker, mut speaker, _targets) = server(&CarrierOptions::default());
    worker.drain();
    speaker.sync();
    assert!(speaker.signals().is_empty());
    speaker.say(&[HELLO]);
    assert_eq!(speaker.signal(), OUR_HELLO);
    worker.drain();
    speaker.until(|signal| (*signal == Signal::Drain).then_some(()));
    worker.close();
}

#[test]
fn a_client_that_is_told_to_drain_is_preferred_by_nobody_and_finishes() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let worker = Arc::new(worker);
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    speaker.say(&[HELLO, Signal::Drain]);
    speaker.sync();
    assert!(worker.is_draining() && worker.is_closing() && worker.is_full());
    assert!(!worker.is_closed());
    stream.send(b"finishes").unwrap();
    speaker.expect(Frame::keep(stream.id(), b"finishes"));
    speaker.send(Frame::keep(stream.id(), b"so does this"));
    assert_eq!(stream.recv().unwrap().unwrap().as_slice(), b"so does this");
    worker.close();
}

/// A40, from the bridge's side: no New may be on its way when a carrier ends,
/// so it is the client that ends it.
#[test]
fn a_client_leaves_a_carrier_that_drains_once_nothing_needs_it() {
    let _scene = scene();
    let (worker, mut speaker) = client(ClientOptions::default());
    let control = worker.open_control(udp()).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    speaker.say(&[HELLO, Signal::Drain]);
    speaker.sync();
    assert!(!worker.is_closed(), "a stream is open");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    speaker.expect(Frame::end(stream.id(), false));
    assert!(!worker.is_closed(), "its answer has not ended");
    speaker.send(Frame::end(stream.id(), false));
    assert!(stream.recv().unwrap().is_none());
    assert!(worker.wait_closed(Some(PATIENCE)), "control keeps nothing");
    speaker.script().carrier.read_to_end(); // in an orderly way
    drop(control);

    let (unused, mut speaker) = client(ClientOptions::default());
    speaker.say(&[HELLO, Signal::Drain]);
    assert!(unused.wait_closed(Some(PATIENCE)));
}

#[test]
fn a_server_that_drains_tells_a_peer_that_says_hello_later() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&CarrierOptions::default());
    speaker.send(Frame::open(1, &tcp(), None));
    let target = next(&targets);
    let left = worker.drain();
    assert_eq!((left.connections, left.carriers), (1, 0));
    speaker.say(&[HELLO]);
    speaker.until(|signal| (*signal == Signal::Drain).then_some(()));
    for _ in 0..3 {
        let left = worker.drain();
        assert_eq!((left.connections, left.carriers), (1, 1));
    }
    speaker.sync();
    assert!(
        !speaker.signals().contains(&Signal::Drain),
        "once is enough"
    );
    drop(target);
    worker.close();
}

/// It does not understand that it is to open no more, so what it still opens
/// is served.
#[test]
fn a_plain_client_is_served_until_it_opens_nothing_between_two_looks() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&without_extensions());
    speaker.send(Frame::open(1, &tcp(), None));
    let mut first = next(&targets);
    assert_eq!(worker.drain().connections, 1);
    speaker.send(Frame::end(1, false));
    first.writer.close().unwrap();
    speaker.expect(Frame::end(1, false));
    drop(first);
    wait_until("the session is gone", || worker.active_connections() == 0);
    assert!(worker.drain().is_none());
    speaker.send(Frame::open(2, &tcp(), None));
    let second = next(&targets);
    assert_eq!(worker.drain().connections, 1);
    assert!(!worker.is_closed(), "another came between the looks");
    drop(second);
    wait_until("the session is gone", || worker.active_connections() == 0);
    assert!(worker.drain().is_none() && !worker.is_closed());
    assert!(worker.drain().is_none() && worker.is_closed());
}
