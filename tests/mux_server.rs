//! The server's end of a carrier, beyond what the vectors and the numbered
//! defects cover: limits of the framing, odd ids, stalls, cuts, closing.

#[allow(dead_code)]
mod mux_support;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use muxcool::limits::{CARRIER_PIPE, PARKED_PER_SESSION, SESSION_PIPE};
use muxcool::link::{Link, LinkError, Request, relay};
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, MuxError, ServerWorker};

use mux_support::frames::{Frame, KEEP, KEEP_ALIVE, PROBE, Script};
use mux_support::party::Party;
use mux_support::rig::Server;
use mux_support::scene::{no_mux_threads, scene};
use mux_support::targets::{By, Taking, Targets, next};
use mux_support::tasks::{PATIENCE, names, wait_until, wait_until_asleep};
use mux_support::wire::{End, Pieces, Spec, wire};
use mux_support::{keyed, tcp, udp};

// --- Framing ------------------------------------------------------------------

#[test]
fn bytes_that_are_no_frames_end_the_carrier() {
    let _scene = scene();
    let bad: [(&str, Vec<u8>); 6] = [
        ("length 0", vec![0, 0]),
        ("length 3", vec![0, 3, 0, 1, 2]),
        ("length 513", vec![2, 1]),
        ("length 65535", vec![255, 255]),
        ("status 0", Frame::new(1, 0).bytes()),
        ("status 5", Frame::new(1, 5).bytes()),
    ];
    for (what, bytes) in bad {
        let mut server = Server::new();
        let mut target = server.open(1, &tcp(), None);
        server.script.carrier.write(&bytes);
        assert!(server.worker.wait_closed(Some(PATIENCE)), "{what}");
        target.read_to_error();
        server.script.carrier.read_to_error();
        drop(target);
        server.worker.close();
    }
}

#[test]
fn the_largest_metadata_and_the_largest_payload_are_taken() {
    let _scene = scene();
    let mut server = Server::new();
    let payload = keyed(1, 0, 65_535);
    let mut frame = Frame::open(1, &tcp(), Some(&payload));
    frame.extra.resize(512 - 4, 0xee);
    server.script.send(frame);
    let mut target = next(&server.targets);
    assert_eq!(target.read(payload.len()), payload);
    let mut keep = Frame::keep(1, &payload);
    keep.extra.resize(512 - 4, 0xee);
    server.script.send(keep);
    assert_eq!(target.read(payload.len()), payload);
    drop(target);
    server.worker.close();
}

#[test]
fn every_split_of_the_carriers_bytes_means_the_same() {
    let _scene = scene();
    let mut script = Frame::open(1, &tcp(), Some(b"first")).bytes();
    script.extend(Frame::new(0, KEEP_ALIVE).bytes());
    script.extend(Frame::keep(1, b"").bytes());
    script.extend(Frame::keep(1, b"second").bytes());
    script.extend(Frame::open(2, &udp(), Some(b"datagram")).bytes());
    script.extend(Frame::keep(2, b"another").bytes());
    script.extend(Frame::end(1, false).bytes());
    for size in 1..40 {
        let (link, mut peer) = Script::with(Spec {
            pieces: Pieces::Of(size),
            ..Spec::default()
        });
        let (dispatcher, targets) = Targets::start(Taking::ByHand);
        let worker = ServerWorker::start(link, dispatcher, Request::new(tcp())).unwrap();
        peer.carrier.write(&script);
        for mut target in [next(&targets), next(&targets)] {
            match *target.destination() == tcp() {
                true => assert_eq!(target.read_to_end(), b"firstsecond"),
                false => {
                    assert_eq!(target.datagram(), b"datagram");
                    assert_eq!(target.datagram(), b"another");
                }
            }
        }
        worker.close();
    }
}

#[test]
fn keep_alive_is_read_past() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), None);
    for id in [1, 7, PROBE] {
        let mut frame = Frame::keep(id, b"extension");
        frame.status = KEEP_ALIVE;
        server.script.send(frame);
        server.script.send(Frame::new(id, KEEP_ALIVE));
    }
    server.script.send(Frame::keep(1, b"only this"));
    assert_eq!(target.read(9), b"only this");
    assert!(target.is_quiet());
    server.script.sync();
    assert!(server.script.seen.is_empty());
    drop(target);
    server.worker.close();
}

#[test]
fn unknown_ids_are_answered_only_when_they_carry_data() {
    let _scene = scene();
    let mut server = Server::new();
    server.script.send(Frame::end(5, false));
    server.script.send(Frame::end(6, true));
    server.script.send(Frame::new(7, KEEP));
    server.script.send(Frame::keep(8, b""));
    server.script.expect(Frame::end(8, false));
    server.script.sync();
    assert!(server.script.seen.is_empty(), "{:?}", server.script.seen);
    assert_eq!(server.worker.active_connections(), 0);
    server.worker.close();
}

#[test]
fn ids_0_and_65535_are_ids_like_others() {
    let _scene = scene();
    let mut server = Server::new();
    for id in [0, 65_535] {
        let mut target = server.open(id, &tcp(), Some(b"ping"));
        assert_eq!(target.read(4), b"ping");
        target.write(b"pong");
        target.close();
        server.script.expect(Frame::keep(id, b"pong"));
        server.script.expect(Frame::end(id, false));
        server.script.send(Frame::end(id, false));
        target.read_to_end();
    }
    server.worker.close();
}

// --- Sessions side by side ------------------------------------------------------

#[test]
fn a_stalled_session_holds_up_no_sibling_within_its_bound() {
    let _scene = scene();
    for taking in [Taking::ByHand, Taking::Relayed(Spec::default())] {
        let mut server = Server::taking(taking);
        let mut stalled = server.open(1, &tcp(), None);
        let mut sibling = server.open(2, &tcp(), None);
        // Nearly all of it: what is parked counts with its buffers.
        let amount = PARKED_PER_SESSION / 16 * 15;
        let (mut sent, mut echoed) = (0, 0);
        while sent < amount {
            server
                .script
                .send(Frame::keep(1, &keyed(1, sent, 16 * 1024)));
            sent += 16 * 1024;
            server.script.send(Frame::keep(2, &keyed(2, echoed, 1000)));
            assert_eq!(sibling.read(1000), keyed(2, echoed, 1000));
            echoed += 1000;
        }
        server.script.send(Frame::end(1, false));
        server.script.send(Frame::end(2, false));
        assert_eq!(sibling.read_to_end(), b"");
        assert!(stalled.read_to_end() == keyed(1, 0, sent), "all, in order");
        drop((stalled, sibling));
        server.worker.close();
    }
}

#[test]
fn a_session_past_its_bound_is_waited_for_and_goes_on() {
    let _scene = scene();
    let spec = Spec {
        capacity: 16 * 1024,
        ..Spec::default()
    };
    let wire = wire(spec);
    let to_server = wire.to_near.clone();
    let mut script = Script::on(wire.far);
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let worker = ServerWorker::start(wire.near, dispatcher, Request::new(tcp())).unwrap();
    script.send(Frame::open(1, &tcp(), None));
    script.send(Frame::open(2, &tcp(), None));
    let (first, second) = (next(&targets), next(&targets));
    let [mut stalled, mut sibling] = match first.request.id < second.request.id {
        true => [first, second],
        false => [second, first],
    };
    const AMOUNT: usize = 3 * PARKED_PER_SESSION;
    let sender = std::thread::spawn(move || {
        for at in (0..AMOUNT).step_by(8192) {
            script.send(Frame::keep(1, &keyed(1, at, 8192)));
        }
        script.send(Frame::keep(2, b"behind it"));
        script
    });
    // The carrier backs up, with a bounded amount taken.
    let mut passed = 0;
    wait_until("the carrier stands still", || {
        let before = std::mem::replace(&mut passed, to_server.passed());
        std::thread::sleep(Duration::from_millis(20));
        passed == before && to_server.waiting() > 0
    });
    let bound = PARKED_PER_SESSION + SESSION_PIPE + 256 * 1024;
    assert!(passed < bound, "{passed} of {AMOUNT} taken");
    assert!(sibling.is_quiet());
    assert!(stalled.read(AMOUNT) == keyed(1, 0, AMOUNT));
    assert_eq!(sibling.read(9), b"behind it");
    let script = sender.join().unwrap();
    drop((stalled, sibling));
    drop(script);
    worker.close();
}

#[test]
fn datagrams_nobody_takes_hold_up_nothing() {
    let _scene = scene();
    let mut server = Server::new();
    let mut stalled = server.open(1, &udp(), None);
    let mut sibling = server.open(2, &tcp(), None);
    for n in 0..500 {
        server.script.send(Frame::keep(1, &keyed(n, 0, 40_000)));
    }
    server.script.send(Frame::keep(2, b"past them"));
    assert_eq!(sibling.read(9), b"past them");
    // The oldest are there, in order and whole; the newest were dropped.
    server.script.sync();
    let mut came = 0;
    while let Some(datagram) = stalled.datagram_at_hand() {
        assert!(datagram == keyed(came, 0, 40_000), "datagram {came}");
        came += 1;
    }
    assert!((2..500).contains(&came), "{came} datagrams");
    // And once it reads again, new ones arrive.
    server.script.send(Frame::keep(1, b"again"));
    assert_eq!(stalled.datagram(), b"again");
    drop((stalled, sibling));
    server.worker.close();
}

#[test]
fn a_writer_that_waits_for_the_carrier_is_freed_by_its_loss() {
    let _scene = scene();
    for end in [End::Orderly, End::Broken] {
        let wire = wire(Spec::default());
        let (to_far, to_near) = (wire.to_far.clone(), wire.to_near.clone());
        to_far.stall();
        let mut script = Script::on(wire.far);
        let (dispatcher, targets) = Targets::start(Taking::ByHand);
        let worker = ServerWorker::start(wire.near, dispatcher, Request::new(tcp())).unwrap();
        script.send(Frame::open(1, &tcp(), None));
        let mut target = next(&targets);
        let writer = std::thread::Builder::new()
            .name("floods".into())
            .spawn(move || while target.try_write(&[1; 8192]).is_ok() {})
            .unwrap();
        wait_until_asleep("floods", 1);
        to_near.cut_after(0, end);
        writer.join().unwrap();
        assert!(worker.wait_closed(None));
        worker.close();
    }
}

// --- Closing ----------------------------------------------------------------------

#[test]
fn closing_joins_all_threads_whatever_they_wait_for() {
    let _scene = scene();
    let spec = Spec {
        capacity: 4096,
        ..Spec::default()
    };
    let wire = wire(spec);
    wire.to_far.stall(); // the peer does not read
    let mut script = Script::on(wire.far);
    let (dispatcher, targets) = Targets::start(Taking::Relayed(spec));
    let worker = ServerWorker::start(wire.near, dispatcher, Request::new(tcp())).unwrap();
    let mut held = Vec::new();
    for id in 0..4 {
        script.send(Frame::open(id, &tcp(), None));
        let mut target = next(&targets);
        // Its consumer does not read, and its data has nowhere to go.
        script.send(Frame::keep(id, &[1; 60_000]));
        for _ in 0..2 * CARRIER_PIPE / 4096 {
            if matches!(
                target.writer.try_write(&[2; 4096]),
                Err(LinkError::WouldBlock)
            ) {
                break;
            }
        }
        held.push(target);
    }
    wait_until("consumers are stuck", || names("mux-dr-").len() == 4);
    worker.close();
    no_mux_threads();
    held.iter_mut().for_each(|target| {
        target.read_to_error();
    });
    assert!(worker.is_closed());
    worker.close(); // again does nothing
}

#[test]
fn serve_returns_when_the_carrier_and_its_sessions_have_ended() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let (dispatcher, targets) = Targets::start(Taking::Relayed(Spec::default()));
    let (told, tell) = bounded(1);
    let server = std::thread::spawn(move || {
        let served = ServerWorker::serve(
            link,
            dispatcher,
            Request::new(tcp()),
            &CarrierOptions::default(),
        );
        no_mux_threads();
        told.send(()).unwrap();
        served
    });
    script.send(Frame::open(1, &tcp(), Some(b"x")));
    let mut target = next(&targets);
    assert_eq!(target.read(1), b"x");
    script.carrier.close();
    target.read_to_error();
    tell.recv_timeout(PATIENCE).unwrap();
    server.join().unwrap().unwrap();
}

/// An echo: the session is its own consumer, and would be kept for good, with
/// its carrier, by the handle that it holds of it.
#[test]
fn a_session_that_is_its_own_consumer_is_let_go() {
    let _scene = scene();
    let wire = wire(Spec::default());
    let echo = By(|_: &Request, mut link: Link| {
        let handle = link.writer.handle();
        let forwarded = link.reader.forward(link.writer, handle);
        forwarded.ok().expect("sessions forward").wait();
        Ok(())
    });
    let worker = ServerWorker::start(wire.near, Arc::new(echo), Request::new(tcp())).unwrap();
    let mut script = Script::on(wire.far);
    script.send(Frame::open(1, &tcp(), Some(b"x")));
    script.expect(Frame::keep(1, b"x"));
    script.send(Frame::end(1, false));
    script.expect(Frame::end(1, false));
    worker.close();
    drop((worker, script));
    assert_eq!(Arc::strong_count(&wire.to_far), 1, "the carrier is kept");
}

#[test]
fn what_both_sides_had_ended_is_delivered_after_the_carrier() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &tcp(), None);
    target.close();
    server.script.expect(Frame::end(1, false));
    let sent = keyed(1, 0, 500_000);
    for piece in sent.chunks(10_000) {
        server.script.send(Frame::keep(1, piece));
    }
    server.script.send(Frame::end(1, false));
    server.script.carrier.close();
    assert!(server.worker.wait_closed(None));
    assert!(target.read_to_end() == sent);
    drop(target);
    server.worker.close();
}

// --- A carrier cut anywhere ---------------------------------------------------------

/// Runs a request and its answer over a carrier that is cut after `at` bytes
/// of one direction. Returns what the two consumers saw, or `None` if the cut
/// did not come in time.
struct CutRun {
    /// At the target.
    request: (Vec<u8>, Result<(), LinkError>),
    /// At the application.
    answer: (Vec<u8>, Result<(), LinkError>),
    dispatched: Result<(), MuxError>,
}

const REQUEST: &[u8] = b"a request of some bytes";
const ANSWER: &[u8] = b"the answer to it";

fn run_cut(to_server: bool, at: usize, end: End) -> CutRun {
    let wire = wire(Spec::default());
    let lane = if to_server {
        &wire.to_far
    } else {
        &wire.to_near
    };
    lane.cut_after(at, end);
    let (told, tell) = bounded(1);
    let dispatcher = By(move |_: &Request, link: Link| {
        let mut target = Party::from(link);
        let request = target.drain();
        if request.1.is_ok() && target.try_write(ANSWER).is_ok() {
            let _ = target.writer.close();
        } else {
            target.abort();
        }
        told.send(request).unwrap();
        Ok(())
    });
    let server = ServerWorker::start(wire.far, Arc::new(dispatcher), Request::new(tcp())).unwrap();
    // The bytes of these frames, and no others.
    let options = ClientOptions {
        carrier: CarrierOptions {
            extensions: false,
            end_quiet: Duration::ZERO,
            ..CarrierOptions::default()
        },
        ..ClientOptions::default()
    };
    let client = ClientWorker::new(wire.near, options).unwrap();
    let (app, link) = muxcool::link::pair(SESSION_PIPE);
    let mut app = Party::from(app);
    app.write(REQUEST);
    app.close();
    let dispatched = client.dispatch(&tcp(), link).unwrap_or_else(|(e, link)| {
        drop(link);
        Err(e)
    });
    let answer = app.drain();
    client.close();
    server.close();
    let nothing = (Vec::new(), Err(LinkError::Reset)); // it was never dispatched
    CutRun {
        request: tell.try_recv().unwrap_or(nothing),
        answer,
        dispatched,
    }
}

#[test]
fn a_carrier_cut_anywhere_is_an_error_unless_end_was_seen() {
    let _scene = scene();
    let up = [
        Frame::open(1, &tcp(), Some(REQUEST)).bytes(),
        Frame::end(1, false).bytes(),
    ]
    .concat();
    let down = [Frame::keep(1, ANSWER).bytes(), Frame::end(1, false).bytes()].concat();
    for (to_server, whole) in [(true, up.len()), (false, down.len())] {
        for at in 0..=whole + 1 {
            for end in [End::Orderly, End::Broken] {
                let run = run_cut(to_server, at, end);
                let what = format!("to_server {to_server}, after {at} of {whole}, {end:?}");
                let (request, answer) = (&run.request, &run.answer);
                assert!(REQUEST.starts_with(&request.0), "{what}");
                assert!(ANSWER.starts_with(&answer.0), "{what}");
                // An end that was not sent whole is never seen as one.
                if request.1.is_ok() {
                    assert_eq!(request.0, REQUEST, "{what}");
                    assert!(!to_server || at >= whole, "{what}");
                }
                if answer.1.is_ok() {
                    assert_eq!(answer.0, ANSWER, "{what}");
                    assert!(to_server || at >= whole, "{what}");
                }
                assert_eq!(answer.1.is_ok(), run.dispatched.is_ok(), "{what}");
                if at > whole {
                    assert!(
                        request.1.is_ok() && answer.1.is_ok(),
                        "{what}: nothing was cut"
                    );
                }
            }
        }
    }
}

#[test]
fn a_relay_tells_a_cut_from_an_end() {
    let _scene = scene();
    let mut server = Server::taking(Taking::Relayed(Spec::default()));
    let mut ended = server.open(1, &tcp(), Some(b"whole"));
    let mut cut = server.open(2, &tcp(), Some(b"par"));
    server.script.send(Frame::end(1, false));
    assert_eq!(ended.read_to_end(), b"whole");
    drop(server.script);
    cut.read_to_error();
    // The other direction of the one that had ended is cut as well.
    wait_until("it is told", || ended.try_write(b"x").is_err());
    server.worker.close();
}

#[test]
fn relays_of_both_ends_pass_everything_on() {
    let _scene = scene();
    let wire = wire(Spec {
        capacity: 30_000,
        pieces: Pieces::Random {
            seed: 5,
            max: 9_000,
        },
    });
    let (dispatcher, targets) = Targets::start(Taking::Relayed(Spec::default()));
    let server = ServerWorker::start(wire.far, dispatcher, Request::new(tcp())).unwrap();
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let app = mux_support::wire::wire(Spec::default());
    let link = client.connect(tcp()).unwrap();
    let relaying = std::thread::spawn(move || relay(app.near, link));
    let mut app = Party::from(app.far);
    let mut target = next(&targets);
    const AMOUNT: usize = 700_000;
    std::thread::scope(|scope| {
        let mut halves: Vec<_> = Vec::new();
        for (party, key) in [(&mut app, 1), (&mut *target, 2)] {
            let Party { reader, writer, .. } = party;
            halves.push(scope.spawn(move || {
                for at in (0..AMOUNT).step_by(7000) {
                    let mut batch = [muxcool::buf::Buf::copy_of(&keyed(key, at, 7000))].into();
                    writer.write(&mut batch).unwrap();
                }
                writer.close().unwrap();
            }));
            halves.push(scope.spawn(move || {
                let mut bytes: Vec<u8> = Vec::new();
                while let Some(buf) = reader.read().unwrap() {
                    bytes.extend(buf.as_slice());
                }
                assert!(bytes == keyed(3 - key, 0, AMOUNT));
            }));
        }
    });
    relaying.join().unwrap().unwrap();
    wait_until("both have forgotten it", || {
        client.active_connections() + server.active_connections() == 0
    });
    client.close();
    server.close();
}
