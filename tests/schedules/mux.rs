//! Two peers on one carrier. Whatever happens to it, a stream is read whole or
//! with an error, and everything ends.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::END_QUIET;
use muxcool::link::pair;
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientStrategy, ClientWorker, MuxServer, MuxStream,
};
use muxcool::net::Destination;
use muxcool::sync::{Done, ManualClock, Time, Timer, explore};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle};

/// Bytes of a direction, in so many pieces.
const PIECES: u8 = 3;

struct Peers {
    client: Arc<ClientWorker>,
    server: Arc<MuxServer>,
    over: Arc<Done>,
}

impl Peers {
    /// Both muxcool, or to each other plain members of the family, by chance;
    /// the carrier holds one frame or many.
    fn new() -> Self {
        let (near, far) = pair(if chance() { 0 } else { 64 * 1024 });
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        let options = CarrierOptions {
            extensions: chance(),
            end_quiet: if chance() { Duration::ZERO } else { END_QUIET },
            liveness: None,
            all_sessions: None,
            timer: Some(timer),
            ..CarrierOptions::default()
        };
        let over = Arc::new(Done::new());
        if !options.end_quiet.is_zero() {
            tick(clock, over.clone());
        }
        let server = MuxServer::with_options(far, &options).unwrap();
        let options = ClientOptions {
            strategy: ClientStrategy::default(),
            keep_idle: true,
            carrier: options,
            ..ClientOptions::default()
        };
        Self {
            client: Arc::new(ClientWorker::new(near, options).unwrap()),
            server: Arc::new(server),
            over,
        }
    }

    fn close(&self) {
        self.client.close();
        self.server.worker().close();
        self.over.signal();
    }
}

/// Ends that wait for quiet (section 13) need a clock that goes on.
fn tick(clock: Arc<ManualClock>, over: Arc<Done>) {
    thread::spawn(move || {
        while !over.is_done() {
            clock.advance(END_QUIET);
            thread::yield_now();
        }
    });
}

fn chance() -> bool {
    thread_rng().r#gen()
}

fn target() -> Destination {
    Destination::tcp("echo.example.com", 7).unwrap()
}

fn whole(from: u8) -> Vec<u8> {
    (from..from + PIECES).collect()
}

/// Sends all, and says that it was all.
fn send(stream: &MuxStream, from: u8) -> io::Result<()> {
    for piece in whole(from) {
        (&*stream).write_all(&[piece])?;
    }
    stream.shutdown(Shutdown::Write)
}

/// What comes until the end. An error may cut it short.
fn receive(mut stream: &MuxStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => received,
        Err(_) => Vec::new(),
    }
}

/// Sends, and reads at the same time what has to be one of `whole`, if it has
/// an orderly end. Returns whether both went well.
fn talk(stream: MuxStream, from: u8, whole: [Vec<u8>; 2]) -> JoinHandle<bool> {
    let sending = stream.try_clone().unwrap();
    thread::spawn(move || {
        let sent = thread::spawn(move || send(&sending, from).is_ok());
        let received = receive(&stream);
        assert!(
            received.is_empty() || whole.contains(&received),
            "cut short without an error: {received:?}"
        );
        sent.join().unwrap() && !received.is_empty()
    })
}

fn serve(server: Arc<MuxServer>, sessions: usize) -> JoinHandle<Vec<JoinHandle<bool>>> {
    thread::spawn(move || {
        let accepted = (0..sessions).map_while(|_| server.accept().ok());
        accepted
            .map(|(_, stream)| talk(stream, 100, [whole(0), whole(10)]))
            .collect()
    })
}

#[test]
fn streams_arrive_whole_and_leave_nothing_behind() {
    explore(Time::StandsStill, || {
        let peers = Peers::new();
        let server = serve(peers.server.clone(), 2);
        let opened = [0, 10].map(|from| {
            let client = peers.client.clone();
            thread::spawn(move || {
                let stream = client.open(target()).unwrap();
                talk(stream, from, [whole(100), whole(100)]).join().unwrap()
            })
        });
        for talk in opened {
            assert!(talk.join().unwrap());
        }
        for talk in server.join().unwrap() {
            assert!(talk.join().unwrap());
        }
        let in_use = || peers.client.active_connections();
        while in_use() + peers.server.worker().active_connections() > 0 {
            thread::yield_now();
        }
        peers.close();
    });
}

#[test]
fn a_carrier_that_is_closed_at_any_time_cuts_nothing_short_unnoticed() {
    explore(Time::StandsStill, || {
        let peers = Peers::new();
        let server = serve(peers.server.clone(), 1);
        let client = peers.client.clone();
        let opened = thread::spawn(move || match client.open(target()) {
            Ok(stream) => talk(stream, 0, [whole(100), whole(100)]).join().unwrap(),
            Err(_) => false,
        });
        let by_client = chance();
        match by_client {
            true => peers.client.close(),
            false => peers.server.worker().close(),
        }
        opened.join().unwrap();
        for talk in server.join().unwrap() {
            talk.join().unwrap();
        }
        peers.close();
    });
}

/// Whichever of the carrier's threads is first to find out.
#[test]
fn who_sends_hears_that_the_carrier_was_lost() {
    explore(Time::StandsStill, || {
        let peers = Peers::new();
        let stream = peers.client.open(target()).unwrap();
        let (_, unread) = peers.server.accept().unwrap();
        let sending =
            thread::spawn(move || whole(0).iter().try_for_each(|n| (&stream).write_all(&[*n])));
        peers.server.worker().close();
        if let Err(e) = sending.join().unwrap() {
            assert_eq!(e.kind(), io::ErrorKind::ConnectionAborted);
        }
        drop(unread);
        peers.close();
    });
}

#[test]
fn a_stream_that_is_dropped_at_any_time_ends_for_both() {
    explore(Time::StandsStill, || {
        let peers = Peers::new();
        let server = peers.server.clone();
        let leaving = thread::spawn(move || {
            let (_, stream) = server.accept().unwrap();
            let _ = (&stream).write_all(&[100]);
            if chance() {
                let _ = (&stream).read(&mut [0]);
            }
        });
        let stream = peers.client.open(target()).unwrap();
        talk(stream, 0, [vec![100], vec![]]).join().unwrap();
        leaving.join().unwrap();
        peers.close();
    });
}
