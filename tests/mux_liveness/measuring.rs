//! Round trips, as those who ask are told.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use muxcool::limits::{INITIAL_WINDOW, MEASURED_AGAIN, SHORTEST_PROBE};
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, LivenessTimes, MuxError, MuxServer,
};

use crate::mux_support::delay::delayed;
use crate::mux_support::frames::{Frame, PROBE};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::tasks::{PATIENCE, wait_until_asleep};
use crate::mux_support::tcp;
use crate::mux_support::time::Time;
use crate::mux_support::wire::{Spec, wire};
use crate::{HELLO, client, is_ping, muxcool_client};

const AT_ONCE: Duration = Duration::from_millis(1);

#[test]
fn both_ends_measure_a_round_trip_to_either_kind_of_peer() {
    let _scene = scene();
    for (near, far) in [(true, true), (true, false), (false, true), (false, false)] {
        let options = |extensions| CarrierOptions {
            extensions,
            ..CarrierOptions::default()
        };
        let wire = wire(Spec::default());
        let server = MuxServer::with_options(wire.far, &options(far)).unwrap();
        let client = ClientWorker::new(
            wire.near,
            ClientOptions {
                carrier: options(near),
                ..ClientOptions::default()
            },
        )
        .unwrap();
        client.ping(PATIENCE).unwrap();
        let _stream = client.open(tcp()).unwrap();
        server.accept().unwrap();
        for _ in 0..3 {
            client.ping(PATIENCE).unwrap();
            server.worker().ping(PATIENCE).unwrap();
        }
        assert!(client.stats().round_trip.is_some());
        assert!(server.worker().stats().round_trip.is_some());
        client.close();
        server.worker().close();
    }
}

#[test]
fn many_who_ask_at_once_are_all_answered() {
    let _scene = scene();
    for extensions in [true, false] {
        let options = CarrierOptions {
            extensions,
            ..CarrierOptions::default()
        };
        let wire = wire(Spec::default());
        let server = MuxServer::with_options(wire.far, &options).unwrap();
        let client = ClientWorker::new(
            wire.near,
            ClientOptions {
                carrier: options,
                ..ClientOptions::default()
            },
        )
        .unwrap();
        let _stream = client.open(tcp()).unwrap();
        let ping = || {
            for _ in 0..50 {
                client.ping(PATIENCE).unwrap();
                server.worker().ping(PATIENCE).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(ping);
            }
        });
        client.close();
        server.worker().close();
    }
}

/// The answers of a plain peer do not tell to whom they belong, and it may make
/// one of two: still, nobody is given one that was not to a question of its
/// own time. Both ends ask by themselves meanwhile.
#[test]
fn no_answer_of_a_plain_peer_is_taken_for_another() {
    const DELAY: Duration = Duration::from_millis(30);
    let _scene = scene();
    let options = CarrierOptions {
        extensions: false,
        liveness: Some(LivenessTimes {
            probe: SHORTEST_PROBE,
            suspect: 2 * PATIENCE,
            dead: 3 * PATIENCE,
            ..LivenessTimes::default()
        }),
        ..CarrierOptions::default()
    };
    let (near, far) = delayed(DELAY);
    let server = MuxServer::with_options(far, &options).unwrap();
    let client = ClientWorker::new(
        near,
        ClientOptions {
            carrier: options,
            keep_idle: true,
            ..ClientOptions::default()
        },
    )
    .unwrap();
    let asked_at_once = |ping: &(dyn Fn() -> Duration + Sync)| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| assert!(ping() >= 2 * DELAY)));
            }
        });
    };
    asked_at_once(&|| client.ping(PATIENCE).unwrap());
    asked_at_once(&|| server.worker().ping(PATIENCE).unwrap());
    for stats in [client.stats(), server.worker().stats()] {
        assert!(stats.round_trip.unwrap() >= 2 * DELAY);
    }
    client.close();
    server.worker().close();
}

/// A ping on a thread of its own.
struct Asking(JoinHandle<Result<Duration, MuxError>>);

impl Asking {
    /// Returns once it waits.
    fn start(worker: &Arc<ClientWorker>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let name = format!("asking-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let worker = worker.clone();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || worker.ping(PATIENCE))
            .unwrap();
        wait_until_asleep(&name, 1);
        Self(thread)
    }

    fn finish(self) -> Result<Duration, MuxError> {
        self.0.join().unwrap()
    }
}

/// The first measure met a queue.
#[test]
fn while_much_flows_the_round_trip_is_measured_again_and_not_too_often() {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let _scene = scene();
    let time = Time::new();
    let (worker, mut stream, mut speaker) = client(&time);
    let answer = |speaker: &mut Speaker, after: Duration| {
        let nonce = speaker.pinged();
        time.pass(after);
        speaker.say(&[Signal::Pong(nonce)]);
        speaker.sync();
    };
    speaker.say(&[HELLO]);
    answer(&mut speaker, 35 * MILLISECOND);
    let mut flow = |speaker: &mut Speaker| {
        let piece = vec![7; INITIAL_WINDOW as usize / 4];
        speaker.stream(stream.id(), &piece, 16 * 1024);
        stream.read_exact(&mut vec![0; piece.len()]).unwrap();
        let _granted = speaker.credit(stream.id());
        speaker.sync();
    };
    for took in [20, 25] {
        time.pass(MEASURED_AGAIN);
        flow(&mut speaker);
        answer(&mut speaker, took * MILLISECOND);
        flow(&mut speaker);
        assert!(
            !speaker
                .signals()
                .iter()
                .any(|signal| is_ping(signal).is_some())
        );
        assert_eq!(worker.stats().round_trip, Some(20 * MILLISECOND));
    }
    worker.close();
}

#[test]
fn a_ping_without_an_answer_times_out_and_the_next_one_is_answered() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = muxcool_client(&time);
    assert!(matches!(worker.ping(AT_ONCE), Err(MuxError::TimedOut)));
    assert!(matches!(worker.ping(AT_ONCE), Err(MuxError::TimedOut)));
    let nonce = speaker.pinged();
    let asking = Asking::start(&worker);
    speaker.say(&[Signal::Pong(nonce)]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    asking.finish().unwrap();
    worker.close();
}

#[test]
fn a_plain_peers_late_answer_is_not_taken_for_the_next() {
    let _scene = scene();
    let time = Time::new();
    let (worker, _stream, mut speaker) = client(&time);
    let asking = Asking::start(&worker);
    speaker.expect(Frame::keep(PROBE, b""));
    let also = Asking::start(&worker);
    speaker.script().sync();
    assert!(speaker.frames().is_empty(), "one is under way");
    speaker.send(Frame::end(PROBE, false));
    asking.finish().unwrap();
    speaker.expect(Frame::keep(PROBE, b""));
    speaker.send(Frame::end(PROBE, true));
    also.finish().unwrap();
    // Ends that nobody asked for are nothing.
    speaker.send(Frame::end(PROBE, false));
    speaker.script().sync();
    assert!(matches!(worker.ping(AT_ONCE), Err(MuxError::TimedOut)));
    worker.close();
}

#[test]
fn who_waits_for_an_answer_hears_of_the_carriers_end() {
    let _scene = scene();
    type Act = fn(&ClientWorker, Speaker);
    let acts: [Act; 3] = [
        |worker, _speaker| worker.close(),
        |_, mut speaker| speaker.script().carrier.abort(),
        |_, mut speaker| speaker.script().carrier.close(),
    ];
    for act in acts {
        let time = Time::new();
        let (worker, _stream, speaker) = muxcool_client(&time);
        let asking = Asking::start(&worker);
        act(&worker, speaker);
        assert!(matches!(asking.finish(), Err(MuxError::CarrierLost)));
        worker.close();
        assert!(matches!(
            worker.ping(Duration::MAX),
            Err(MuxError::CarrierLost)
        ));
    }
}
