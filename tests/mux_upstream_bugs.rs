//! The defects of the reference that concern the mux core, each as a test
//! that carries its number: what triggered it there has no effect here.

#[allow(dead_code)]
mod mux_support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use muxcool::limits::{DIALLING_PER_CARRIER, IDLE_CHECK, MAX_SESSION_ID, SERVER_SESSIONS};
use muxcool::link::{DispatchError, Link, Request};
use muxcool::mux::{
    CarrierOptions, ClientManager, ClientOptions, ClientStrategy, ClientWorker,
    IncrementalWorkerPicker, MuxError, ServerWorker,
};
use muxcool::net::Destination;
use muxcool::sync::{ManualClock, Timer};
use proptest::prelude::*;

use mux_support::frames::{END, Frame, KEEP, NEW, Script};
use mux_support::logs;
use mux_support::rig::{Client, Server};
use mux_support::scene::scene;
use mux_support::targets::{By, Taking, Targets, next};
use mux_support::tasks::{names, wait_until, wait_until_asleep};
use mux_support::wire::{End, Spec, wire};
use mux_support::{keyed, tcp, udp};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

// --- The carrier's reader, flow, memory ---------------------------------------

#[test]
fn a1_a_consumer_that_stops_holds_up_no_other() {
    let _scene = scene();
    let mut server = Server::new();
    let mut stuck = server.open(1, &tcp(), None);
    let mut going = server.open(2, &tcp(), None);
    let sent = keyed(1, 0, 512 * 1024);
    for piece in sent.chunks(8192) {
        server.script.send(Frame::keep(1, piece));
    }
    server.script.send(Frame::keep(2, b"past it"));
    server.script.send(Frame::end(2, false));
    assert_eq!(going.read_to_end(), b"past it");
    assert_eq!(stuck.read(sent.len()), sent);
    drop((stuck, going));
    server.worker.close();
}

#[test]
fn a2_a_peer_that_does_not_read_its_answers_is_read_on() {
    let _scene = scene();
    let spec = Spec {
        capacity: 1024,
        ..Spec::default()
    };
    let (link, mut script) = Script::with(spec);
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let worker = ServerWorker::start(link, dispatcher, Request::new(tcp())).unwrap();
    // Many times as many answers as there is room for on the way back.
    for id in 100..40_000 {
        script.send(Frame::keep(id, b"x"));
    }
    script.send(Frame::open(1, &tcp(), Some(b"still there")));
    assert_eq!(next(&targets).read(11), b"still there");
    worker.close();
}

#[test]
fn a3_frames_of_one_byte_cost_what_they_carry() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), None);
    let before = resident();
    let sent = keyed(3, 0, 200_000);
    let frames: Vec<u8> = sent
        .iter()
        .flat_map(|b| Frame::keep(1, &[*b]).bytes())
        .collect();
    server.script.carrier.write(&frames);
    server.script.sync();
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes for 200 000");
    assert_eq!(target.read(sent.len()), sent);
    drop(target);
    server.worker.close();
}

#[test]
fn a4_sessions_beyond_the_limit_are_refused_and_the_carrier_lives() {
    let _scene = scene();
    let mut server = Server::with(&CarrierOptions {
        dialling: SERVER_SESSIONS, // the test holds them like targets that do not answer
        ..CarrierOptions::default()
    });
    let limit = SERVER_SESSIONS as u16;
    for id in 0..limit + 3 {
        server.script.send(Frame::open(id, &tcp(), None));
    }
    for id in limit..limit + 3 {
        server.script.expect(Frame::end(id, true));
    }
    assert_eq!(server.worker.active_connections(), u32::from(limit));
    let mut held: Vec<_> = (0..limit).map(|_| next(&server.targets)).collect();
    // One that ends makes room for one; the limit itself is no offence.
    held.pop().unwrap().abort();
    assert_eq!(server.script.frame().status, END);
    wait_until("one has left", || {
        server.worker.active_connections() < limit.into()
    });
    // Its thread may take a moment longer than its place in the table.
    let admitted = (limit + 9..u16::MAX).find(|id| {
        server.script.send(Frame::open(*id, &tcp(), None));
        server.script.sync();
        let refused = Frame::end(*id, true);
        let was_refused = server.script.seen.contains(&refused);
        server.script.seen.retain(|frame| *frame != refused);
        !was_refused
    });
    assert!(admitted.is_some());
    let last = next(&server.targets);
    drop((held, last));
    server.worker.close();
}

#[test]
fn a5_sessions_that_end_at_once_count_as_long_as_they_cost() {
    let _scene = scene();
    let dispatched = Arc::new(AtomicUsize::new(0));
    let counter = dispatched.clone();
    let (release, released) = bounded::<()>(0);
    let dispatcher = By(move |_: &Request, _: Link| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = released.recv(); // such as a dial that takes its time
        Ok(())
    });
    let mut server = Server::dispatching(Arc::new(dispatcher));
    const PAIRS: u16 = 20_000;
    for id in 1..=PAIRS {
        server.script.send(Frame::open(id, &tcp(), None));
        server.script.send(Frame::end(id, true));
    }
    server.script.sync();
    let live = dispatched.load(Ordering::SeqCst);
    assert!(live <= DIALLING_PER_CARRIER, "{live} dispatches at once");
    // What waits for its turn ends with its session; what dials goes on.
    wait_until("nobody waits for a turn", || {
        names("mux-in-").len() <= DIALLING_PER_CARRIER
    });
    drop(release);
    // And the carrier takes sessions again.
    wait_until("the dispatches return", || names("mux-in-").is_empty());
    let live = dispatched.load(Ordering::SeqCst);
    assert!(live <= DIALLING_PER_CARRIER, "{live} dispatches");
    server.script.seen.clear();
    server.script.send(Frame::open(PAIRS + 1, &tcp(), None));
    server.script.expect(Frame::end(PAIRS + 1, true)); // the dispatch ended at once
    assert_eq!(dispatched.load(Ordering::SeqCst), live + 1);
    server.worker.close();
}

#[test]
fn a8_new_waits_for_no_payload_unless_told_to() {
    let _scene = scene();
    let patient = ClientOptions {
        first_payload_wait: Duration::from_secs(3600),
        ..ClientOptions::default()
    };
    let mut client = Client::with(patient.clone());
    let mut silent = client.app(tcp(), b"");
    wait_until("it has its place", || {
        client.worker.active_connections() == 1
    });
    let speaking = client.app(udp(), b"first");
    // The silent one came first and is still waiting, as it was told to.
    client.script.expect(Frame::open(2, &udp(), Some(b"first")));
    let stream = client.worker.open(tcp()).unwrap();
    client.script.expect(Frame::open(3, &tcp(), None));
    silent.party.write(b"at last");
    client
        .script
        .expect(Frame::open(1, &tcp(), Some(b"at last")));
    drop(stream);
    client.worker.close();
    assert!(silent.outcome().is_err() && speaking.outcome().is_err());

    for wait in [Duration::ZERO, ClientOptions::default().first_payload_wait] {
        let mut client = Client::with(ClientOptions {
            first_payload_wait: wait,
            ..patient.clone()
        });
        let app = client.app(tcp(), b"");
        client.script.expect(Frame::open(1, &tcp(), None));
        client.worker.close();
        assert!(app.outcome().is_err());
    }
}

// --- A session's life -----------------------------------------------------------

#[test]
fn a9_a_half_closed_request_gets_its_answer() {
    let _scene = scene();
    let mut client = Client::new();
    let (mut app, id) = client.opened();
    app.party.write(b"request");
    app.party.close();
    client.script.expect(Frame::keep(id, b"request"));
    client.script.expect(Frame::end(id, false));
    let answer = keyed(9, 0, 300_000);
    for piece in answer.chunks(8192) {
        client.script.send(Frame::keep(id, piece));
    }
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), answer);
    app.outcome().unwrap();
    client.worker.close();

    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), Some(b"request"));
    server.script.send(Frame::end(1, false));
    assert_eq!(target.read_to_end(), b"request");
    target.write(b"answer");
    target.close();
    server.script.expect(Frame::keep(1, b"answer"));
    server.script.expect(Frame::end(1, false));
    wait_until("it is over", || server.worker.active_connections() == 0);
    drop(target);
    server.worker.close();
}

#[test]
fn a10_a_download_that_nobody_wants_stops() {
    let _scene = scene();
    // A V2Ray client answers each late frame with End: the second one stops it.
    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), None);
    server.script.send(Frame::end(1, false));
    target.write(b"late");
    server.script.expect(Frame::keep(1, b"late"));
    server.script.send(Frame::end(1, false));
    server.script.sync();
    assert!(target.try_write(b"later still").is_err());
    drop(target);
    wait_until("it is over", || server.worker.active_connections() == 0);
    server.worker.close();

    // And our client says so at once when its application is gone.
    let mut client = Client::new();
    let (mut app, id) = client.opened();
    app.party.close();
    client.script.expect(Frame::end(id, false));
    drop(app.party);
    client.script.send(Frame::keep(id, b"too late"));
    client.script.expect(Frame::end(id, true));
    assert!(app.outcome.join().unwrap().is_err());
    client.worker.close();
}

#[test]
fn a11_an_upload_that_nobody_wants_stops() {
    let _scene = scene();
    let mut client = Client::new();
    let (mut app, id) = client.opened();
    client.script.send(Frame::end(id, false));
    app.party.write(b"still going");
    client.script.expect(Frame::keep(id, b"still going"));
    client.script.send(Frame::end(id, false));
    wait_until("the application is told", || {
        app.party.try_write(b"x").is_err()
    });
    let _ = app.outcome();
    assert_eq!(client.worker.active_connections(), 0);
    client.worker.close();
}

#[test]
fn a12_an_application_that_connects_and_ends_is_announced_first() {
    let _scene = scene();
    let mut client = Client::with(ClientOptions {
        first_payload_wait: Duration::from_secs(3600),
        ..ClientOptions::default()
    });
    let mut app = client.app(tcp(), b"");
    app.party.close();
    client.script.expect(Frame::open(1, &tcp(), None));
    client.script.expect(Frame::end(1, false));
    client.script.send(Frame::end(1, false));
    assert_eq!(app.party.read_to_end(), b"");
    app.outcome().unwrap();

    // One that breaks before it was announced is not announced at all: an End
    // for an id that the peer never saw tells it nothing.
    let mut app = client.app(tcp(), b"");
    wait_until("it has its place", || {
        client.worker.active_connections() == 1
    });
    app.party.abort();
    assert!(app.outcome().is_err());
    client.script.sync();
    assert!(client.script.seen.is_empty(), "{:?}", client.script.seen);
    client.worker.close();
}

#[test]
fn a13_a_lost_carrier_is_no_clean_end() {
    let _scene = scene();
    for end in [End::Orderly, End::Broken] {
        let wire = wire(Spec::default());
        let to_near = wire.to_near.clone();
        let worker = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
        let mut client = Client {
            worker: Arc::new(worker),
            script: Script::on(wire.far),
        };
        let (mut app, id) = client.opened();
        let frame = Frame::keep(id, b"0123456789").bytes();
        to_near.cut_after(frame.len() - 4, end); // inside the payload
        let _ = client.script.carrier.try_write(&frame);
        app.party.read_to_error();
        assert!(matches!(app.outcome(), Err(MuxError::CarrierLost)));
        assert!(client.worker.wait_closed(None));
        client.worker.close();
    }
}

#[test]
fn a14_an_abort_after_an_end_is_an_error() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), None);
    // More than its consumer takes at once, so that the end has to wait.
    for _ in 0..40 {
        server.script.send(Frame::keep(1, &[7; 8192]));
    }
    server.script.send(Frame::end(1, false));
    server.script.send(Frame::end(1, true));
    server.script.sync();
    target.read_to_error();
    drop(target);
    server.worker.close();
}

#[test]
fn a15_an_id_in_use_cannot_be_opened_again() {
    let _scene = scene();
    let mut server = Server::new();
    let mut first = server.open(1, &tcp(), Some(b"mine"));
    assert_eq!(first.read(4), b"mine");
    let mut other = server.open(2, &tcp(), None);
    server.script.send(Frame::open(1, &udp(), Some(b"theirs")));
    server.script.expect(Frame::end(1, true));
    assert_eq!(first.read_to_error(), b"");
    // Nothing of either is left under that id.
    server.script.send(Frame::keep(1, b"whose?"));
    server.script.expect(Frame::end(1, false));
    server.script.send(Frame::keep(2, b"fine"));
    assert_eq!(other.read(4), b"fine");
    assert!(server.targets.is_empty());
    drop((first, other));
    server.worker.close();
}

#[test]
fn a15_an_unusable_new_for_an_id_in_use_ends_it_too() {
    let _scene = scene();
    let mut server = Server::new();
    let mut first = server.open(1, &tcp(), None);
    let mut bad = Frame::open(1, &tcp(), None);
    bad.extra[3] = 9; // the address type
    server.script.send(bad);
    server.script.expect(Frame::end(1, true));
    assert_eq!(first.read_to_error(), b"");
    drop(first);
    server.worker.close();
}

#[test]
fn a16_ids_are_never_used_twice() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let peer = std::thread::spawn(move || {
        let mut ids = HashSet::new();
        while ids.len() < usize::from(MAX_SESSION_ID) {
            let frame = script.frame();
            if frame.status == NEW {
                assert!(ids.insert(frame.id), "{} again", frame.id);
                script.send(Frame::end(frame.id, false));
            }
        }
        (ids, script)
    });
    for total in 0..MAX_SESSION_ID {
        assert_eq!(worker.total_connections(), u32::from(total));
        let mut link = worker.connect(tcp()).unwrap();
        link.writer.close().unwrap(); // New goes out, and End
    }
    assert!(matches!(worker.connect(tcp()), Err(MuxError::IdsExhausted)));
    assert!(worker.is_closing() && worker.is_full() && !worker.is_closed());
    let (ids, script) = peer.join().unwrap();
    assert!(!ids.contains(&0) && !ids.contains(&u16::MAX));
    assert_eq!(worker.total_connections(), u32::from(MAX_SESSION_ID));
    drop(script);
    worker.close();
}

#[test]
fn a17_one_end_is_sent_whatever_fails_and_how_often() {
    let _scene = scene();
    let mut server = Server::new();
    for id in 0..50 {
        let mut target = server.open(id, &tcp(), None);
        let (reader, writer) = (target.reader.handle(), target.writer.handle());
        let ways = [reader, writer].map(|h| std::thread::spawn(move || h.interrupt()));
        target.abort();
        target.abort();
        ways.into_iter().for_each(|way| way.join().unwrap());
    }
    server.script.sync();
    wait_until("they are over", || server.worker.active_connections() == 0);
    let frames = server.script.finish();
    let ends: Vec<Frame> = (0..50).map(|id| Frame::end(id, true)).collect();
    assert_eq!(frames, ends);
    server.worker.close();
}

#[test]
fn a17_what_is_left_of_a_session_does_not_touch_the_next_of_its_id() {
    let _scene = scene();
    let mut server = Server::new();
    let mut old = server.open(1, &tcp(), None);
    server.script.send(Frame::end(1, true));
    server.script.sync();
    let mut new = server.open(1, &tcp(), Some(b"new"));
    // The old one notices late, and ends in every way it can.
    assert_eq!(old.read_to_error(), b"");
    old.abort();
    drop(old);
    server.script.send(Frame::keep(1, b" bytes"));
    assert_eq!(new.read(9), b"new bytes");
    assert_eq!(server.worker.active_connections(), 1);
    // It is still the carrier's: it ends with it.
    drop(server.script);
    assert_eq!(new.read_to_error(), b"");
    drop(new);
    server.worker.close();
}

#[test]
fn a18_a_closed_worker_takes_no_session() {
    let _scene = scene();
    let client = Client::new();
    client.worker.close();
    assert!(matches!(client.worker.open(tcp()), Err(MuxError::Closed)));
    assert!(matches!(
        client.worker.connect(tcp()),
        Err(MuxError::Closed)
    ));
    let (_app, link) = muxcool::link::pair(0);
    let refused = client.worker.dispatch(&tcp(), link);
    assert!(matches!(refused, Err((MuxError::Closed, _))));
    assert_eq!(client.worker.active_connections(), 0);
}

#[test]
fn a19_racing_openers_never_exceed_the_limit() {
    let _scene = scene();
    const LIMIT: u32 = 8;
    for _ in 0..50 {
        let client = Client::with(ClientOptions {
            strategy: ClientStrategy {
                max_concurrency: LIMIT,
                max_connection: 0,
            },
            ..ClientOptions::default()
        });
        let opened = AtomicUsize::new(0);
        let (open, held) = bounded(64);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    if let Ok(stream) = client.worker.open(tcp()) {
                        opened.fetch_add(1, Ordering::SeqCst);
                        open.send(stream).unwrap();
                    }
                    assert!(client.worker.active_connections() <= LIMIT);
                });
            }
        });
        assert_eq!(opened.load(Ordering::SeqCst), LIMIT as usize);
        drop(held);
        client.worker.close();
    }
}

#[test]
fn a20_data_for_an_id_that_is_just_being_opened_harms_nothing() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let (stop, stopped) = bounded::<()>(0);
    let peer = std::thread::spawn(move || {
        while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
            for id in 0..300 {
                if script
                    .carrier
                    .try_write(&Frame::keep(id, b"x").bytes())
                    .is_err()
                {
                    return;
                }
            }
        }
    });
    for _ in 0..300 {
        let (app, link) = muxcool::link::pair(0);
        drop(app);
        let _ = worker.dispatch(&tcp(), link).expect("a place");
    }
    assert!(!worker.is_closed());
    drop(stop);
    peer.join().unwrap();
    worker.close();
}

#[test]
fn a21_carriers_with_silent_targets_leave_nothing() {
    let _scene = scene(); // looks for threads at its end
    for how in 0..3 {
        for _ in 0..50 {
            let mut server = Server::taking(Taking::Relayed(Spec::default()));
            let target = server.open(1, &tcp(), Some(b"x"));
            match how {
                0 => server.worker.close(),
                1 => drop(server.script.finish()),
                _ => drop(server.script),
            }
            assert!(server.worker.wait_closed(None));
            drop(target);
        }
    }
}

#[test]
fn a21_dropping_workers_is_closing_them() {
    let _scene = scene();
    for _ in 0..50 {
        let mut client = Client::new();
        let (app, _) = client.opened();
        let stream = client.worker.open(tcp()).unwrap();
        drop(client.script);
        drop(client.worker);
        assert!(app.outcome().is_err());
        drop(stream);
        let mut server = Server::new();
        drop(server.open(1, &tcp(), None));
        drop(server.worker);
        // The peer sees the end, not silence.
        let _ = server.script.carrier.drain();
    }
}

#[test]
fn a22_the_peers_end_closes_both_halves_of_the_link() {
    let _scene = scene();
    let mut server = Server::new();
    let target = server.open(1, &tcp(), None);
    server.script.carrier.close();
    assert_eq!(server.script.carrier.read_to_end(), b"");
    assert!(server.worker.wait_closed(None));
    drop(target);
}

#[test]
fn a23_sessions_share_nothing_of_their_context() {
    let _scene = scene();
    let mut server = Server::new();
    let first = server.open(1, &tcp(), None);
    let second = server.open(2, &udp(), None);
    assert_ne!(first.request.id, second.request.id);
    assert_eq!(first.destination(), &tcp());
    assert_eq!(second.destination(), &udp());
    drop((first, second));
    server.worker.close();
}

#[test]
fn a24_only_a_whole_idle_period_closes_a_worker() {
    let _scene = scene();
    let manual = ManualClock::new();
    let mut client = Client::with(ClientOptions {
        carrier: CarrierOptions {
            timer: Some(Timer::new(manual.clock()).unwrap()),
            liveness: None,
            ..CarrierOptions::default()
        },
        ..ClientOptions::default()
    });
    let tick = |open: bool, client: &Client| {
        wait_until("the monitor waits", || manual.waiters() == 1);
        manual.advance(IDLE_CHECK);
        if open {
            wait_until("the monitor has looked", || manual.waiters() == 1);
            assert!(!client.worker.is_closed());
        }
    };
    tick(true, &client);
    // One that begins and ends between two checks counts, too.
    for _ in 0..3 {
        let (mut app, id) = client.opened();
        client.script.send(Frame::end(id, false));
        client.script.sync();
        app.party.close();
        app.outcome().unwrap();
        client.script.expect(Frame::end(id, false));
        tick(true, &client);
    }
    let (app, id) = client.opened();
    for _ in 0..3 {
        tick(true, &client);
    }
    client.script.send(Frame::end(id, true));
    assert!(app.outcome().is_err());
    tick(false, &client);
    assert!(client.worker.wait_closed(None));
    client.worker.close();
}

#[test]
fn a25_a_failed_dial_hands_out_no_worker_and_is_shared() {
    let _scene = scene();
    const CALLERS: usize = 12;
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let (release, released) = bounded::<()>(0);
    let factory = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = released.recv();
        Err(MuxError::Dial(DispatchError::Refused("nobody there")))
    };
    let picker = Arc::new(IncrementalWorkerPicker::new(
        factory,
        Timer::global().unwrap(),
    ));
    let manager = ClientManager::new(picker.clone());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let body = || manager.open(tcp());
                let builder = std::thread::Builder::new().name("caller".into());
                builder.spawn_scoped(scope, body).unwrap()
            })
            .collect();
        wait_until_asleep("caller", CALLERS);
        drop(release);
        for caller in callers {
            caller.join().unwrap().expect_err("no worker");
        }
    });
    assert_eq!(
        dials.load(Ordering::SeqCst),
        1,
        "one dial for all who waited"
    );
    assert_eq!(picker.workers(), 0);
    manager.close();
}

#[test]
fn a25_concurrent_callers_share_one_dial() {
    let _scene = scene();
    let (links, peers) = crossbeam_channel::unbounded();
    let factory = move || {
        let (link, script) = Script::new();
        links.send(script).unwrap();
        ClientWorker::new(link, ClientOptions::default())
    };
    let picker = Arc::new(IncrementalWorkerPicker::new(
        factory,
        Timer::global().unwrap(),
    ));
    let manager = ClientManager::new(picker.clone());
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| manager.open(tcp())))
            .collect();
        let streams: Vec<_> = callers
            .into_iter()
            .map(|c| c.join().unwrap().unwrap())
            .collect();
        let ids: HashSet<u16> = streams.iter().map(|s| s.id()).collect();
        assert_eq!(ids.len(), 16);
    });
    assert_eq!((picker.workers(), peers.len()), (1, 1));
    manager.close();
}

#[test]
fn a25_a_dial_that_panics_holds_up_nobody() {
    let _scene = scene();
    let first = std::sync::atomic::AtomicBool::new(true);
    let factory = move || {
        assert!(!first.swap(false, Ordering::SeqCst), "on purpose");
        Err(MuxError::Dial(DispatchError::Refused("nobody there")))
    };
    let picker = Arc::new(IncrementalWorkerPicker::new(
        factory,
        Timer::global().unwrap(),
    ));
    let manager = Arc::new(ClientManager::new(picker));
    let inner = manager.clone();
    let panicked = std::thread::spawn(move || inner.open(tcp())).join();
    assert!(panicked.is_err());
    assert!(matches!(manager.open(tcp()), Err(MuxError::Dial(_))));
}

// --- Parsing ----------------------------------------------------------------------

#[test]
fn a26_payload_is_never_read_as_frames() {
    let _scene = scene();
    let mut server = Server::new();
    // A datagram of 3000 bytes, of which any part would be a New frame.
    let smuggled = Frame::open(9, &Destination::tcp("127.0.0.1", 22).unwrap(), None).bytes();
    let datagram: Vec<u8> = smuggled.iter().copied().cycle().take(3000).collect();
    for shift in 0..smuggled.len() {
        let id = 20 + shift as u16;
        let mut first = server.open(id, &udp(), Some(&datagram[shift..]));
        assert_eq!(first.destination(), &udp());
        server.script.send(Frame::keep(id, &datagram[shift..]));
        assert_eq!(first.datagram(), &datagram[shift..]);
        assert_eq!(first.datagram(), &datagram[shift..]);
    }
    server.script.sync();
    assert!(server.targets.is_empty());
    server.worker.close();
}

#[test]
fn a27_a_large_datagram_ends_nothing() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &udp(), Some(b"small"));
    let mut sibling = server.open(2, &tcp(), None);
    for size in [2048, 2049, 8192, 65_535] {
        server.script.send(Frame::keep(1, &keyed(1, 0, size)));
        server.script.send(Frame::keep(2, b"on"));
        assert_eq!(sibling.read(2), b"on");
    }
    assert_eq!(target.datagram(), b"small");
    // One that our peer would not survive is not sent.
    target.write(&[1; 2049]);
    target.write(&[2; 2048]);
    server.script.expect(Frame::keep(1, &[2; 2048]));
    drop((target, sibling));
    server.worker.close();
}

/// New frames with these domains and address types ended the reference's carrier.
fn poisoned() -> Vec<Frame> {
    let domains = [
        "a$b.com",
        "",
        "*",
        "a b",
        "ex\u{e4}mple",
        "fe80::1%eth0",
        "[",
        "[]",
    ];
    let of_domain = |domain: &&str| {
        let mut extra = vec![1, 0, 80, 2, domain.len() as u8];
        extra.extend(domain.as_bytes());
        extra
    };
    let of_type = |kind: u8| vec![1, 0, 80, kind, 1, 2, 3, 4];
    let mut extras: Vec<Vec<u8>> = domains.iter().map(of_domain).collect();
    extras.extend([0, 4, 5, 15, 16, 255].map(of_type));
    extras.push(vec![3, 0, 80, 1, 1, 2, 3, 4]); // the network
    extras.push(vec![1, 0, 80, 1, 1, 2]); // cut short
    extras.push(vec![]);
    let frame = |(n, extra)| Frame {
        extra,
        ..Frame::new(100 + n as u16, NEW)
    };
    extras.into_iter().enumerate().map(frame).collect()
}

#[test]
fn a28_one_bad_address_refuses_one_session() {
    let _scene = scene();
    let mut server = Server::new();
    let mut living = server.open(1, &tcp(), None);
    for bad in poisoned() {
        let id = bad.id;
        let with_data = Frame {
            option: 1,
            data: Some(b"payload".to_vec()),
            ..bad.clone()
        };
        for frame in [bad, with_data] {
            server.script.send(frame);
            server.script.expect(Frame::end(id, true));
        }
        server.script.send(Frame::keep(1, b"on"));
        assert_eq!(living.read(2), b"on");
    }
    assert!(server.targets.is_empty());
    drop(living);
    server.worker.close();
}

#[test]
fn a28_a_client_reads_past_whatever_its_peer_opens() {
    let _scene = scene();
    let mut client = Client::new();
    let (mut app, id) = client.opened();
    let mut frames = poisoned();
    frames.push(Frame::open(id, &tcp(), Some(b"no")));
    for frame in frames {
        // Also under the id of its own session, which this must not end.
        client.script.send(Frame {
            id,
            ..frame.clone()
        });
        client.script.send(frame);
    }
    client.script.send(Frame::keep(id, b"mine"));
    assert_eq!(app.party.read(4), b"mine");
    client.script.sync();
    assert!(client.script.seen.is_empty(), "{:?}", client.script.seen);
    client.worker.close();
    assert!(app.outcome().is_err());
}

#[test]
fn a29_a_failing_dispatch_ends_its_session_only() {
    let mut scene = scene();
    scene.panics_are_wanted();
    let dispatcher = By(|request: &Request, link: Link| match request.target.port {
        80 => muxcool::link::relay(link, echo()).map_err(DispatchError::from),
        81 => Err(DispatchError::Refused("on purpose")),
        _ => panic!("on purpose"),
    });
    let mut server = Server::dispatching(Arc::new(dispatcher));
    server.script.send(Frame::open(1, &tcp(), Some(b"echo")));
    server.script.expect(Frame::keep(1, b"echo"));
    for port in [81, 82] {
        let target = Destination::tcp("192.0.2.1", port).unwrap();
        server.script.send(Frame::open(port, &target, Some(b"x")));
        server.script.expect(Frame::end(port, true));
    }
    server.script.send(Frame::keep(1, b"again"));
    server.script.expect(Frame::keep(1, b"again"));
    server.script.send(Frame::end(1, false));
    server.script.expect(Frame::end(1, false));
    server.worker.close();
}

/// A link that sends back what it gets.
fn echo() -> Link {
    let (reader, writer) = muxcool::pipe::pipe(64 * 1024);
    Link::new(
        muxcool::link::PipeLinkReader::new(reader),
        muxcool::link::PipeLinkWriter::new(writer),
    )
}

#[test]
fn a30_empty_datagrams_arrive() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &udp(), Some(b""));
    server.script.send(Frame::keep(1, b""));
    server.script.send(Frame::keep(1, b"x"));
    for expected in [&b""[..], b"", b"x"] {
        assert_eq!(target.datagram(), expected);
    }
    for datagram in [&b""[..], b"", b"x"] {
        target.write(datagram);
        server.script.expect(Frame::keep(1, datagram));
    }
    drop(target);
    server.worker.close();

    let mut client = Client::new();
    let stream = client.worker.open(udp()).unwrap();
    client.script.expect(Frame::open(1, &udp(), None));
    stream.send(b"").unwrap();
    client.script.expect(Frame::keep(1, b""));
    client.script.send(Frame::keep(1, b""));
    assert!(stream.recv().unwrap().expect("a datagram").is_empty());
    drop(stream);
    client.worker.close();
}

#[test]
fn a31_no_bytes_of_a_peer_make_a_worker_panic() {
    let _scene = scene();
    let frame = (
        0u16..4,
        0u8..6,
        any::<u8>(),
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_flat_map(|(id, status, option, extra)| {
            let frame = Frame {
                id,
                status,
                option,
                extra,
                data: None,
            };
            (Just(frame), prop::collection::vec(any::<u8>(), 0..40))
        })
        .prop_map(|(mut frame, data)| {
            frame.data = (frame.option & 1 != 0).then_some(data);
            frame.bytes()
        });
    let opening = (0u16..4, any::<bool>()).prop_map(|(id, stream)| {
        let target = if stream { tcp() } else { udp() };
        Frame::open(id, &target, Some(b"payload")).bytes()
    });
    let noise = prop::collection::vec(any::<u8>(), 0..30);
    let piece = prop_oneof![4 => frame, 3 => opening, 1 => noise];
    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(pieces in prop::collection::vec(piece, 0..30))| {
        let bytes = pieces.concat();
        let mut server = Server::dispatching(Arc::new(By(|_: &Request, link: Link| {
            muxcool::link::relay(link, echo()).map_err(DispatchError::from)
        })));
        let mut client = Client::new();
        let stream = client.worker.open(tcp()).unwrap();
        for script in [&mut server.script, &mut client.script] {
            let _ = script.carrier.try_write(&bytes);
            let _ = script.carrier.writer.close();
            script.carrier.drain().0.clear();
        }
        drop(stream);
        client.worker.close();
        server.worker.close();
    });
}

#[test]
fn a32_what_a_peer_names_stays_on_its_line() {
    let _scene = scene();
    let mut server = Server::new();
    let forged = "a\n2026/01/01 [Warning] forged \u{1b}[31m";
    for status in [NEW, KEEP] {
        let mut extra = vec![1, 0, 80, 2, forged.len() as u8];
        extra.extend(forged.as_bytes());
        server.script.send(Frame {
            extra,
            ..Frame::new(1, status)
        });
    }
    server.script.expect(Frame::end(1, true));
    server.script.sync();
    for line in logs::lines() {
        let clean = line.chars().all(|c| !c.is_control());
        assert!(clean && !line.contains("forged"), "{line:?}");
    }
    assert!(logs::lines().iter().any(|line| line.contains("refused")));
    server.worker.close();
}

#[test]
fn a42_a_worker_without_bounds_has_none_at_9999() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let peer = std::thread::spawn(move || {
        let last = (1..=10_001).map(|_| script.frame().id).last();
        (last, script)
    });
    let held: Vec<Link> = (0..10_001)
        .map(|_| worker.connect(tcp()).unwrap())
        .collect();
    assert_eq!(worker.active_connections(), 10_001);
    let (last, script) = peer.join().unwrap();
    assert_eq!(last, Some(10_001));
    worker.close();
    drop((held, script));
}
