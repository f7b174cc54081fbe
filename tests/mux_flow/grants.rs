//! Credit against a scripted peer: what is sent within it, what is granted,
//! and what becomes of peers that do not keep to it.

use std::io::{self, ErrorKind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muxcool::limits::{
    FRAME_PAYLOAD, GRANTS_PER_WINDOW, INITIAL_WINDOW, MAX_FRAME_PAYLOAD, MAX_WINDOW, SESSION_PIPE,
};
use muxcool::link::{Request, pair};
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, MuxServer, MuxStream, ServerWorker,
};
use muxcool::net::Destination;

use crate::mux_support::frames::{END, Frame, KEEP, NEW};
use crate::mux_support::party::Party;
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::targets::{Taking, Targets, next};
use crate::mux_support::tasks::wait_until_asleep;
use crate::mux_support::wire::Spec;
use crate::mux_support::{keyed, tcp};

const WINDOW: usize = INITIAL_WINDOW as usize;

/// A client worker, one stream of it that has been announced, and a peer that
/// takes `window` bytes of each.
fn client(window: u32) -> (ClientWorker, Speaker, MuxStream) {
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    speaker.say(&[Signal::Hello { window }]);
    speaker.sync();
    (worker, speaker, stream)
}

/// A thread that sends, and is known by its name.
fn sending(stream: &MuxStream, len: usize) -> JoinHandle<io::Result<()>> {
    let stream = stream.try_clone().unwrap();
    std::thread::Builder::new()
        .name("sending".into())
        .spawn(move || stream.send(&keyed(7, 0, len)))
        .unwrap()
}

/// `len` bytes of a stream, whatever frames they come in.
fn read_stream(speaker: &mut Speaker, id: u16, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let frame = speaker.frame();
        assert_eq!((frame.id, frame.status), (id, KEEP));
        bytes.extend(frame.payload());
    }
    assert_eq!(bytes.len(), len, "more than was granted");
    bytes
}

// --- Sending --------------------------------------------------------------------

#[test]
fn nothing_is_sent_past_the_grant_whatever_its_steps() {
    let _scene = scene();
    let (worker, mut speaker, stream) = client(1);
    let sent = keyed(7, 0, 300_000);
    let writing = sending(&stream, sent.len());
    let mut granted = 1;
    let mut got: Vec<u8> = Vec::new();
    for step in [1, 2, 3, 100, 32_767, 32_768, 32_769, 65_535, 100_000] {
        got.extend(read_stream(&mut speaker, stream.id(), granted - got.len()));
        speaker.sync();
        assert!(speaker.frames().is_empty(), "past {granted}");
        granted += step;
        speaker.say(&[Signal::Credit(vec![(stream.id(), granted as u64)])]);
    }
    speaker.say(&[Signal::Credit(vec![(stream.id(), u64::MAX)])]);
    while got.len() < sent.len() {
        got.extend(speaker.frame().payload());
    }
    assert_eq!(got, sent);
    writing.join().unwrap().unwrap();
    worker.close();
}

#[test]
fn the_payload_of_new_counts() {
    let _scene = scene();
    let (worker, mut speaker, _stream) = client(10);
    let worker = std::sync::Arc::new(worker);
    for (first, expected) in [(10, true), (11, false), (3, true)] {
        let (near, far) = pair(SESSION_PIPE);
        let mut app = Party::from(near);
        app.write(&keyed(1, 0, first));
        let inner = worker.clone();
        let running = std::thread::spawn(move || inner.dispatch(&tcp(), far).is_ok());
        let new = speaker.frame();
        let carried = if expected { first } else { 0 };
        assert_eq!((new.status, new.payload().len()), (NEW, carried));
        app.write(&keyed(1, first, 20));
        let rest = read_stream(&mut speaker, new.id, 10 - carried);
        assert_eq!(rest, keyed(1, carried, 10 - carried));
        speaker.sync();
        assert!(speaker.frames().is_empty());
        speaker.send(Frame::end(new.id, true));
        app.read_to_error();
        assert!(running.join().unwrap());
    }
    worker.close();
}

#[test]
fn who_is_past_the_window_when_hello_comes_waits_until_credit_catches_up() {
    let _scene = scene();
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    stream.send(&keyed(7, 0, 5000)).unwrap();
    assert_eq!(read_stream(&mut speaker, 1, 5000), keyed(7, 0, 5000));
    speaker.say(&[Signal::Hello { window: 1000 }]);
    speaker.sync();
    let writing = sending(&stream, 100);
    for offset in [2000, 4999, 5000] {
        speaker.say(&[Signal::Credit(vec![(1, offset)])]);
        speaker.sync();
        assert!(speaker.frames().is_empty(), "at {offset}");
    }
    speaker.say(&[Signal::Credit(vec![(1, 5100)])]);
    assert_eq!(read_stream(&mut speaker, 1, 100), keyed(7, 0, 100));
    writing.join().unwrap().unwrap();
    worker.close();
}

/// Waits until the thread that sends waits for credit.
fn wait_until_held(speaker: &mut Speaker) {
    speaker.sync();
    wait_until_asleep("sending", 1);
}

#[test]
fn a_sender_without_credit_is_woken_by_whatever_ends_its_session() {
    type Act = fn(&ClientWorker, &mut Speaker, &MuxStream);
    let acts: [(&str, Act, ErrorKind); 5] = [
        (
            "reset",
            |_, speaker, stream| speaker.send(Frame::end(stream.id(), true)),
            ErrorKind::ConnectionReset,
        ),
        (
            "two Ends",
            |_, speaker, stream| {
                speaker.send(Frame::end(stream.id(), false));
                speaker.send(Frame::end(stream.id(), false));
            },
            ErrorKind::BrokenPipe,
        ),
        (
            "the carrier is lost",
            |_, speaker, _| speaker.script().carrier.abort(),
            ErrorKind::ConnectionAborted,
        ),
        (
            "the worker is closed",
            |worker, _, _| worker.close(),
            ErrorKind::ConnectionAborted,
        ),
        (
            "the other handle shuts down writing",
            |_, _, stream| stream.shutdown(std::net::Shutdown::Write).unwrap(),
            ErrorKind::BrokenPipe,
        ),
    ];
    for (what, act, kind) in acts {
        let _scene = scene();
        let (worker, mut speaker, stream) = client(1000);
        let writing = sending(&stream, 2000);
        read_stream(&mut speaker, stream.id(), 1000);
        wait_until_held(&mut speaker);
        act(&worker, &mut speaker, &stream);
        let outcome = writing.join().unwrap();
        assert_eq!(outcome.unwrap_err().kind(), kind, "{what}");
        worker.close();
    }
}

#[test]
fn an_end_from_the_peer_does_not_wake_who_still_sends() {
    let _scene = scene();
    let (worker, mut speaker, stream) = client(1000);
    let writing = sending(&stream, 2000);
    read_stream(&mut speaker, stream.id(), 1000);
    speaker.send(Frame::end(stream.id(), false));
    wait_until_held(&mut speaker);
    assert_eq!(stream.recv().unwrap().map(|buf| buf.len()), None);
    speaker.say(&[Signal::Credit(vec![(stream.id(), 2000)])]);
    read_stream(&mut speaker, stream.id(), 1000);
    writing.join().unwrap().unwrap();
    worker.close();
}

#[test]
fn a_write_that_times_out_without_credit_loses_and_doubles_nothing() {
    let _scene = scene();
    let (worker, mut speaker, mut stream) = client(1000);
    let timeout = Duration::from_millis(20);
    stream.set_write_timeout(Some(timeout)).unwrap();
    let sent = keyed(7, 0, 200_000);
    let mut written = 0;
    let mut got: Vec<u8> = Vec::new();
    let mut granted = 1000;
    let mut timeouts = 0;
    while written < sent.len() {
        match io::Write::write(&mut stream, &sent[written..]) {
            Ok(len) => written += len,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TimedOut);
                timeouts += 1;
                // Odd steps, so that most writes are taken in part.
                granted += 7001 * timeouts;
                speaker.say(&[Signal::Credit(vec![(stream.id(), granted)])]);
                speaker.sync();
            }
        }
    }
    assert!(timeouts > 1);
    while got.len() < sent.len() {
        got.extend(speaker.frame().payload());
    }
    assert!(got == sent, "the stream is not whole");
    speaker.sync();
    assert!(speaker.frames().is_empty(), "more came than was written");
    worker.close();
}

#[test]
fn a_write_that_times_out_at_the_carrier_loses_and_doubles_nothing() {
    let _scene = scene();
    let (near, far) = pair(1024);
    let mut speaker = Speaker::on(far);
    let worker = ClientWorker::new(near, ClientOptions::default()).unwrap();
    let mut stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    let sent = keyed(7, 0, 3_000_000);
    // Enough, if what could not be sent gives its credit back.
    let window = sent.len() as u32;
    speaker.say(&[Signal::Hello { window }]);
    speaker.sync();
    let timeout = Duration::from_millis(20);
    stream.set_write_timeout(Some(timeout)).unwrap();
    let (mut written, mut timeouts) = (0, 0);
    let mut got: Vec<u8> = Vec::new();
    while written < sent.len() {
        match io::Write::write(&mut stream, &sent[written..]) {
            Ok(len) => written += len,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TimedOut);
                timeouts += 1;
                for _ in 0..2 {
                    got.extend(speaker.frame().payload());
                }
            }
        }
    }
    assert!(timeouts > 1);
    drop(stream);
    loop {
        match speaker.frame() {
            frame if frame.status == END => break,
            frame => got.extend(frame.payload()),
        }
    }
    assert!(got == sent, "the stream is not whole");
    worker.close();
}

// --- Granting -------------------------------------------------------------------

/// A server for applications, and a peer that has been greeted.
fn server() -> (MuxServer, Speaker) {
    server_with(&CarrierOptions::default())
}

fn server_with(options: &CarrierOptions) -> (MuxServer, Speaker) {
    let (link, mut speaker) = Speaker::new();
    let server = MuxServer::with_options(link, options).unwrap();
    speaker.say(&[Signal::Hello { window: 1 << 30 }]);
    assert_eq!(speaker.greeted(), INITIAL_WINDOW);
    (server, speaker)
}

#[test]
fn a_peer_may_send_its_window_and_one_frame_and_no_more() {
    let _scene = scene();
    let (link, mut speaker) = Speaker::new();
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let worker = ServerWorker::start(link, dispatcher, Request::new(tcp())).unwrap();
    speaker.say(&[Signal::Hello { window: 1 << 30 }]);
    speaker.sync(); // and shows that it has heard ours
    let allowed = WINDOW + MAX_FRAME_PAYLOAD;
    for id in [1, 2] {
        // The payload of New counts; nobody consumes.
        let target = Destination::tcp("192.0.2.1", id).unwrap();
        speaker.send(Frame::open(id, &target, Some(&keyed(1, 0, 60_000))));
        speaker.stream(id, &keyed(1, 60_000, allowed - 60_000), 40_000);
    }
    // Sessions start side by side, so in any order.
    let mut both = [next(&targets), next(&targets)];
    both.sort_by_key(|target| target.destination().port);
    let [mut keeps, mut breaks] = both;
    speaker.sync();
    assert!(speaker.frames().is_empty());
    speaker.send(Frame::keep(2, b"x"));
    speaker.expect(Frame::end(2, true));
    breaks.read_to_error();
    // The carrier lives, and so does who kept to it.
    let got = keeps.read(allowed);
    assert!(got == keyed(1, 0, allowed));
    let credit = speaker.credit(1) as usize;
    assert!(
        credit > WINDOW && credit <= allowed + 2 * WINDOW,
        "{credit}"
    );
    speaker.stream(1, b"goes on", 7);
    assert_eq!(keeps.read(7), b"goes on");
    drop((keeps, breaks));
    worker.close();
}

#[test]
fn what_is_consumed_is_granted_again_in_steps_of_a_window() {
    let _scene = scene();
    let (server, mut speaker) = server();
    speaker.send(Frame::open(1, &tcp(), None));
    let (_, stream) = server.accept().unwrap();
    let (mut sent, mut granted) = (0, WINDOW);
    while sent < 4 * WINDOW {
        let len = FRAME_PAYLOAD.min(granted - sent);
        speaker.send(Frame::keep(1, &keyed(1, sent, len)));
        let mut got: Vec<u8> = Vec::new();
        while got.len() < len {
            got.extend(stream.recv().unwrap().unwrap().as_slice());
        }
        assert_eq!(got, keyed(1, sent, len));
        sent += len;
        if sent == granted {
            let offset = speaker.credit(1) as usize;
            assert!(
                offset >= granted + WINDOW / GRANTS_PER_WINDOW as usize,
                "{offset} after {granted}"
            );
            granted = offset;
        }
    }
    drop(stream);
    server.worker().close();
}

/// Feeds a stream that is read at once, and says what the largest window was:
/// what was granted beyond what had been sent by then.
fn largest_window(answer_after: Option<Duration>, total: usize) -> usize {
    let patient = CarrierOptions {
        liveness: None, // or it would ask again, and forget what it has asked
        ..CarrierOptions::default()
    };
    let (server, mut speaker) = server_with(&patient);
    let nonce = speaker.pinged();
    if let Some(round_trip) = answer_after {
        std::thread::sleep(round_trip); // what a long path does
        speaker.say(&[Signal::Pong(nonce)]);
    }
    speaker.send(Frame::open(1, &tcp(), None));
    let (_, stream) = server.accept().unwrap();
    let reading = std::thread::spawn(move || {
        let mut left = total;
        while left > 0 {
            left -= stream.recv().unwrap().unwrap().len();
        }
        stream
    });
    let (mut sent, mut granted, mut largest) = (0, WINDOW, WINDOW);
    let piece = vec![7; FRAME_PAYLOAD];
    while sent < total {
        let len = FRAME_PAYLOAD.min(granted - sent).min(total - sent);
        if len == 0 {
            granted = speaker.credit_past(1, granted as u64) as usize;
            largest = largest.max(granted - sent);
            continue;
        }
        speaker.send(Frame::keep(1, &piece[..len]));
        sent += len;
    }
    let _stream = reading.join().unwrap();
    server.worker().close();
    largest
}

#[test]
fn windows_grow_where_the_path_is_long_and_stop_at_their_bound() {
    let _scene = scene();
    let bound = MAX_WINDOW as usize;
    // A round trip in which even a slow machine sends and consumes that much.
    let start = Instant::now();
    largest_window(None, bound);
    let round_trip = start.elapsed().max(Duration::from_secs(1));
    let largest = largest_window(Some(round_trip), 6 * bound);
    assert!(largest > bound / 2 && largest <= bound, "{largest}");
}

#[test]
fn a_consumer_that_takes_its_time_does_not_get_a_larger_window() {
    const TAKEN: usize = 64 * 1024;
    let _scene = scene();
    let (link, mut speaker) = Speaker::new();
    let (dispatcher, targets) = Targets::start(Taking::Relayed(Spec {
        capacity: TAKEN,
        ..Spec::default()
    }));
    let worker = ServerWorker::start(link, dispatcher, Request::new(tcp())).unwrap();
    let start = Instant::now();
    speaker.say(&[Signal::Hello { window: 1 << 30 }]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    speaker.send(Frame::open(1, &tcp(), None));
    let mut target = next(&targets);
    // No less than the round trip that was measured, so that a window takes many.
    let pause = start.elapsed().max(Duration::from_millis(5));
    let (mut sent, mut taken, mut granted) = (0, 0, WINDOW);
    for _ in 0..6 {
        speaker.stream(1, &vec![7; granted - sent], FRAME_PAYLOAD);
        sent = granted;
        while taken + TAKEN <= sent {
            std::thread::sleep(pause);
            target.read(TAKEN);
            taken += TAKEN;
        }
        granted = speaker.credit_past(1, granted as u64) as usize;
        assert!(granted - sent <= WINDOW, "{granted} after {sent}");
    }
    drop(target);
    worker.close();
}
