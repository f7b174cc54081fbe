//! Each setting makes the difference that it promises.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use muxcool::limits::{FRAME_PAYLOAD, LEAST_ROOM, LONGEST_WAIT, SHORTEST_PROBE};
use muxcool::link::Link;
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, LivenessTimes, MuxError, MuxServer,
};

use crate::mux_support::frames::{Frame, PROBE, Script};
use crate::mux_support::party::Party;
use crate::mux_support::rig::Client;
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::tasks::wait_until;
use crate::mux_support::time::Time;
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{keyed, tcp};

const SECOND: Duration = Duration::from_secs(1);

fn client_options(carrier: CarrierOptions) -> ClientOptions {
    ClientOptions {
        carrier,
        ..ClientOptions::default()
    }
}

/// An application's link that takes `capacity` bytes and no more, and the
/// application.
fn narrow(capacity: usize) -> (Link, Party) {
    let wire = wire(Spec {
        capacity,
        ..Spec::default()
    });
    (wire.near, wire.far.into())
}

#[test]
fn both_ends_say_the_window_that_they_are_given() {
    let _scene = scene();
    let carrier = CarrierOptions {
        window: 40_000,
        ..CarrierOptions::default()
    };
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, client_options(carrier.clone())).unwrap();
    let _stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.greeted(), 40_000);
    worker.close();

    let (link, mut speaker) = Speaker::new();
    let server = MuxServer::with_options(link, &carrier).unwrap();
    speaker.say(&[Signal::Hello { window: 1 }]);
    assert_eq!(speaker.greeted(), 40_000);
    server.worker().close();
}

/// The consumer takes 10 000 bytes and stops: the sender gets as far as those
/// and the receiver's window, and no further.
#[test]
fn a_window_bounds_what_a_paused_reader_costs() {
    const TAKEN: usize = 10_000;
    const WINDOW: usize = 64 * 1024;
    let _scene = scene();
    let carrier = CarrierOptions {
        window: WINDOW as u32,
        max_window: WINDOW as u64,
        ..CarrierOptions::default()
    };
    let wire = wire(Spec::default());
    let server = MuxServer::new(wire.far).unwrap();
    let worker = Arc::new(ClientWorker::new(wire.near, client_options(carrier)).unwrap());
    let (link, mut app) = narrow(TAKEN);
    let session = worker.clone();
    let dispatched = std::thread::spawn(move || session.dispatch(&tcp(), link));
    let (_, stream) = server.accept().unwrap();
    worker.ping(SECOND * 20).unwrap(); // HELLO has come back by now

    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let data = keyed(1, 0, 8 * WINDOW);
    let all = data.clone();
    let sender = std::thread::spawn(move || {
        for piece in all.chunks(1000) {
            std::io::Write::write_all(&mut &stream, piece).unwrap();
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    // Credit goes out once half of the window is free.
    let least = WINDOW;
    wait_until("the window is full", || {
        sent.load(Ordering::SeqCst) + 1000 > least
    });
    wait_until("it has arrived", || {
        worker.stats().parked > WINDOW - TAKEN - 2000
    });
    worker.ping(SECOND * 20).unwrap();
    assert!(sent.load(Ordering::SeqCst) <= TAKEN + WINDOW);
    assert!(!worker.stats().held_up);

    assert_eq!(app.read(data.len()), data);
    sender.join().unwrap();
    worker.close();
    assert!(dispatched.join().unwrap().is_ok_and(|end| end.is_err()));
    server.worker().close();
}

#[test]
fn a_session_may_park_what_it_is_given_before_its_carrier_waits() {
    let _scene = scene();
    let mut client = Client::with(client_options(CarrierOptions {
        parked: LEAST_ROOM,
        stalled_session: LONGEST_WAIT,
        ..CarrierOptions::default()
    }));
    let (link, mut app) = narrow(1000);
    let worker = client.worker.clone();
    let dispatched = std::thread::spawn(move || worker.dispatch(&tcp(), link));
    client.script.frame();
    // The first is all that it may park; the second finds no room.
    let data = keyed(2, 0, 2 * LEAST_ROOM + 2000);
    client
        .script
        .send(Frame::keep(1, &data[..LEAST_ROOM + 2000]));
    client.script.sync();
    assert!(!client.worker.stats().held_up);
    assert_eq!(client.worker.stats().hold_ups, 0);
    client
        .script
        .send(Frame::keep(1, &data[LEAST_ROOM + 2000..]));
    wait_until("it is held up", || client.worker.stats().held_up);
    let stats = client.worker.stats();
    assert_eq!((stats.hold_ups, stats.stalled), (1, 0));
    assert!(
        (LEAST_ROOM..LEAST_ROOM + FRAME_PAYLOAD).contains(&stats.parked),
        "{stats:?}"
    );
    assert!(client.worker.is_doubtful());

    assert_eq!(app.read(data.len()), data);
    client.script.sync();
    let stats = client.worker.stats();
    assert!(!stats.held_up);
    assert_eq!((stats.hold_ups, stats.stalled), (1, 0));
    client.worker.close();
    assert!(dispatched.join().unwrap().is_ok_and(|end| end.is_err()));
}

#[test]
fn a_session_that_stalls_for_its_time_is_ended_and_counted() {
    let _scene = scene();
    let stalled_session = Duration::from_millis(300);
    let mut client = Client::with(client_options(CarrierOptions {
        parked: LEAST_ROOM,
        stalled_session,
        ..CarrierOptions::default()
    }));
    let (link, _app) = narrow(1000);
    let worker = client.worker.clone();
    let dispatched = std::thread::spawn(move || worker.dispatch(&tcp(), link));
    client.script.frame();
    let mut sibling = client.app(tcp(), b"");
    client.script.frame();
    let start = Instant::now();
    for _ in 0..3 {
        client.script.send(Frame::keep(1, &keyed(3, 0, LEAST_ROOM)));
    }
    client.script.send(Frame::keep(2, b"behind it"));
    client.script.expect(Frame::end(1, true));
    assert!(start.elapsed() >= stalled_session);
    assert_eq!(sibling.party.read(9), b"behind it");
    let outcome = dispatched.join().unwrap();
    assert!(matches!(outcome, Ok(Err(MuxError::Aborted))));
    wait_until("nothing is parked", || client.worker.stats().parked == 0);
    let stats = client.worker.stats();
    assert_eq!((stats.hold_ups, stats.stalled), (1, 1));
    assert!(!stats.held_up);
    client.worker.close();
    assert!(sibling.outcome().is_err());
}

#[test]
fn end_waits_for_the_quiet_time_that_is_set() {
    let _scene = scene();
    let time = Time::new();
    let mut client = Client::with(client_options(CarrierOptions {
        end_quiet: SECOND * 7,
        liveness: None,
        ..time.options()
    }));
    let stream = client.worker.open(tcp()).unwrap();
    client.script.frame();
    stream.shutdown(Shutdown::Write).unwrap();
    time.pass(SECOND * 7 - SHORTEST_PROBE);
    client.script.sync();
    assert!(client.script.seen.is_empty());
    time.pass(SHORTEST_PROBE);
    client.script.expect(Frame::end(stream.id(), false));
    client.worker.close();
}

#[test]
fn without_a_quiet_time_end_leaves_at_once() {
    let _scene = scene();
    let time = Time::new();
    let mut client = Client::with(client_options(CarrierOptions {
        end_quiet: Duration::ZERO,
        liveness: None,
        ..time.options()
    }));
    let (mut app, id) = client.opened();
    app.party.close();
    client.script.expect(Frame::end(id, false));
    client.script.send(Frame::keep(id, b"the answer"));
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), b"the answer");
    app.outcome().unwrap();
    client.worker.close();
}

#[test]
fn a_silent_peer_is_probed_suspected_and_given_up_when_it_is_set() {
    let _scene = scene();
    let time = Time::new();
    let liveness = Some(LivenessTimes {
        probe: SECOND * 20,
        suspect: SECOND * 30,
        dead: SECOND * 40,
        ..LivenessTimes::default()
    });
    let options = CarrierOptions {
        liveness,
        ..time.options()
    };
    let (link, mut script) = Script::new();
    let worker = ClientWorker::new(
        link,
        ClientOptions {
            keep_idle: true,
            ..client_options(options)
        },
    )
    .unwrap();
    time.pass(SECOND * 19);
    assert_eq!(worker.stats().sent, 0);
    time.pass(SECOND);
    wait_until("the first probe leaves", || worker.stats().sent > 0);
    script.send(Frame::end(PROBE, false));
    wait_until("the answer is heard", || {
        worker.stats().round_trip.is_some()
    });

    let mut silence = Duration::ZERO;
    let mut suspected = None;
    while !worker.is_closed() {
        assert!(silence < SECOND * 100, "it is never given up");
        time.pass(SECOND);
        silence += SECOND;
        if worker.is_doubtful() && suspected.is_none() {
            suspected = Some(silence);
        }
    }
    let suspected = suspected.expect("it is suspected first");
    assert_eq!(silence - suspected, SECOND * 10);
    assert!(silence >= SECOND * 40, "{silence:?}");
    worker.close();
}
