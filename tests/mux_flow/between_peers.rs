//! Flow control between two of our own peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use muxcool::limits::{INITIAL_WINDOW, SESSION_PIPE};
use muxcool::link::{Link, Request};
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, MuxServer, MuxStream, ServerWorker,
};
use muxcool::transport::tcp::split;

use crate::mux_support::delay::delayed;
use crate::mux_support::scene::scene;
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{keyed, tcp};

const WINDOW: usize = INITIAL_WINDOW as usize;

/// What a target takes at once: less than what is granted in one step.
const TARGET: usize = 16 * 1024;

/// A client, a server, and the targets of its sessions.
struct Peers {
    client: Arc<ClientWorker>,
    server: ServerWorker,
    targets: Receiver<Target>,
}

fn in_memory() -> (Link, Link) {
    let wire = wire(Spec::default());
    (wire.near, wire.far)
}

fn over_tcp() -> (Link, Link) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let link = |stream| {
        let (reader, writer) = split(Arc::new(stream), None);
        Link::new(reader, writer)
    };
    (link(dialled), link(accepted))
}

impl Peers {
    fn on((near, far): (Link, Link)) -> Self {
        let (dispatcher, targets) = Targets::start(Taking::Relayed(Spec {
            capacity: TARGET,
            ..Spec::default()
        }));
        let server = ServerWorker::start(far, dispatcher, Request::new(tcp())).unwrap();
        let client = ClientWorker::new(near, ClientOptions::default()).unwrap();
        let peers = Self {
            client: Arc::new(client),
            server,
            targets,
        };
        peers.greet();
        peers
    }

    /// Both know of each other once a first session has come and gone.
    fn greet(&self) {
        let (mut stream, mut target) = self.open();
        stream.shutdown(Shutdown::Write).unwrap();
        target.read_to_end();
        target.close();
        stream.read_to_end(&mut Vec::new()).unwrap();
        wait_until("HELLO has come", || self.client.has_muxcool_peer());
    }

    fn open(&self) -> (MuxStream, Target) {
        let stream = self.client.open(tcp()).unwrap();
        (stream, next(&self.targets))
    }

    fn close(self) {
        drop(self.targets);
        self.client.close();
        self.server.close();
    }
}

/// Sends until there is nothing more to be sent for a while, but `least` in any
/// case; what was taken.
fn send_while_possible(mut stream: &MuxStream, least: usize) -> usize {
    let (a_while, deadline) = (Duration::from_millis(200), Instant::now() + PATIENCE);
    stream.set_write_timeout(Some(a_while)).unwrap();
    let mut sent = 0;
    loop {
        match stream.write(&keyed(1, sent, 20_000)) {
            Ok(len) => sent += len,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::TimedOut);
                if sent >= least || Instant::now() > deadline {
                    stream.set_write_timeout(None).unwrap();
                    return sent;
                }
            }
        }
    }
}

/// Sends `len` bytes there and back at once, through a target that echoes.
fn echo(peers: &Peers, key: u64, len: usize) {
    let (stream, target) = peers.open();
    let echoing = echoes(target);
    let sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        sender.send(&keyed(key, 0, len)).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    (&stream).read_to_end(&mut got).unwrap();
    assert!(got == keyed(key, 0, len), "{} bytes came back", got.len());
    sending.join().unwrap();
    echoing.join().unwrap();
}

fn echoes(mut target: Target) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while let Some(buf) = target.reader.read().unwrap() {
            target.write(buf.as_slice());
        }
        target.close();
    })
}

/// Neither reader has waited for a session's consumer.
fn nobody_was_held_up(peers: &Peers) {
    for stats in [peers.client.stats(), peers.server.stats()] {
        assert_eq!((stats.hold_ups, stats.stalled), (0, 0), "{stats:?}");
    }
}

#[test]
fn a_target_that_does_not_read_costs_a_window_and_holds_up_nobody() {
    let _scene = scene();
    for link in [in_memory, over_tcp] {
        let peers = Peers::on(link());
        let (mut stuck, mut target) = peers.open();
        let sent = send_while_possible(&stuck, WINDOW);
        // Exactly: what the target takes at once does not make a grant.
        assert_eq!(sent, WINDOW);
        echo(&peers, 2, 8 * WINDOW);
        nobody_was_held_up(&peers);
        let parked = peers.server.stats().parked;
        assert!(parked <= WINDOW + WINDOW / 8, "{parked} bytes are parked");
        // It goes on where it was, once it is read.
        let writing = std::thread::spawn(move || {
            stuck.write_all(&keyed(1, sent, 3 * WINDOW)).unwrap();
            stuck.shutdown(Shutdown::Write).unwrap();
            stuck
        });
        assert!(target.read_to_end() == keyed(1, 0, sent + 3 * WINDOW));
        drop((writing.join().unwrap(), target));
        peers.close();
    }
}

#[test]
fn an_application_that_does_not_read_costs_a_window_and_holds_up_nobody() {
    let _scene = scene();
    for link in [in_memory, over_tcp] {
        let peers = Peers::on(link());
        let (mut stuck, mut target) = peers.open();
        let total = 8 * WINDOW;
        let writing = std::thread::spawn(move || {
            target.write(&keyed(1, 0, total));
            target.close();
            target
        });
        // The stream's pipe takes some, and the window may have doubled then.
        let most = SESSION_PIPE + 2 * WINDOW;
        echo(&peers, 2, 8 * WINDOW);
        nobody_was_held_up(&peers);
        let parked = peers.client.stats().parked;
        assert!(parked <= most, "{parked} bytes are parked");
        assert!(!writing.is_finished(), "nobody has read, and all is sent");
        let mut got = Vec::new();
        stuck.read_to_end(&mut got).unwrap();
        assert!(got == keyed(1, 0, total));
        drop((writing.join().unwrap(), stuck));
        peers.close();
    }
}

#[test]
fn many_that_do_not_read_hold_up_nobody() {
    let _scene = scene();
    let peers = Peers::on(over_tcp());
    let stuck: Vec<_> = (0..8).map(|_| peers.open()).collect();
    for (stream, _) in &stuck {
        assert_eq!(send_while_possible(stream, WINDOW), WINDOW);
    }
    echo(&peers, 2, 8 * WINDOW);
    nobody_was_held_up(&peers);
    drop(stuck);
    peers.close();
}

/// The client sends without bounds until it has heard of the server's HELLO,
/// and the server must not take that for a breach.
#[test]
fn a_hello_that_comes_late_costs_nothing() {
    let _scene = scene();
    for total in [WINDOW / 2, 2 * WINDOW, 16 * WINDOW] {
        let wire = wire(Spec::default());
        wire.to_near.stall();
        let server = MuxServer::new(wire.far).unwrap();
        let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
        let mut busy = client.open(tcp()).unwrap();
        let (_, mut taken) = server.accept().unwrap();
        let sending = std::thread::spawn(move || {
            busy.write_all(&keyed(1, 0, total)).unwrap();
            busy
        });
        let mut got = vec![0; total];
        taken.read_exact(&mut got).unwrap();
        assert!(got == keyed(1, 0, total));
        assert!(!client.has_muxcool_peer());
        let mut busy = sending.join().unwrap();
        wire.to_near.resume();
        wait_until("HELLO has come", || client.has_muxcool_peer());
        // From now on the session is held by credit, as others are.
        let sending = std::thread::spawn(move || {
            busy.write_all(&keyed(1, total, total)).unwrap();
            busy.shutdown(Shutdown::Write).unwrap();
            busy
        });
        got.clear();
        taken.read_to_end(&mut got).unwrap();
        assert!(got == keyed(1, total, total));
        drop((sending.join().unwrap(), taken));
        client.close();
        server.worker().close();
    }
}

/// As above, with a consumer that reads nothing until HELLO is there.
#[test]
fn a_hello_that_comes_late_to_a_session_past_its_window_costs_nothing() {
    let _scene = scene();
    let wire = wire(Spec::default());
    wire.to_near.stall();
    let server = MuxServer::new(wire.far).unwrap();
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let busy = client.open(tcp()).unwrap();
    let (_, mut taken) = server.accept().unwrap();
    let sent = send_while_possible(&busy, 2 * WINDOW + 1);
    assert!(sent > 2 * WINDOW, "{sent} bytes without credit");
    wire.to_near.resume();
    wait_until("HELLO has come", || client.has_muxcool_peer());
    let more = send_while_possible(&busy, 0);
    let rest = 4 * WINDOW - more;
    let sending = std::thread::spawn(move || {
        (&busy).write_all(&keyed(1, more, rest)).unwrap();
        busy.shutdown(Shutdown::Write).unwrap();
        busy
    });
    let mut got = Vec::new();
    taken.read_to_end(&mut got).unwrap();
    let expected = [keyed(1, 0, sent), keyed(1, 0, more + rest)].concat();
    assert!(got == expected, "{} of {}", got.len(), expected.len());
    drop((sending.join().unwrap(), taken));
    client.close();
    server.worker().close();
}

/// From both ends of a path with a long round trip, at once.
#[test]
fn a_long_path_is_filled_by_a_window_that_grows() {
    let _scene = scene();
    let (near, far) = delayed(Duration::from_millis(25));
    let server = MuxServer::new(far).unwrap();
    let client = ClientWorker::new(near, ClientOptions::default()).unwrap();
    let total = 64 * WINDOW;
    let up = client.open(tcp()).unwrap();
    let (_, down) = server.accept().unwrap();
    let ends = [up, down].map(|stream| {
        let sender = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            sender.send(&keyed(5, 0, total)).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        std::thread::spawn(move || {
            let mut got = Vec::new();
            (&stream).read_to_end(&mut got).unwrap();
            assert!(got == keyed(5, 0, total));
        })
    });
    for end in ends {
        end.join().unwrap();
    }
    client.close();
    server.worker().close();
}

#[test]
fn sessions_end_when_their_carrier_does_whatever_they_wait_for() {
    let _scene = scene();
    let peers = Peers::on(in_memory());
    let stuck: Vec<_> = (0..4).map(|_| peers.open()).collect();
    let writing: Vec<_> = stuck
        .iter()
        .map(|(stream, _)| {
            let stream = stream.try_clone().unwrap();
            std::thread::spawn(move || stream.send(&keyed(1, 0, 4 * WINDOW)))
        })
        .collect();
    wait_until("all are out of credit", || {
        peers.server.stats().parked >= 4 * (WINDOW - 2 * TARGET)
    });
    peers.server.close();
    for writing in writing {
        let kind = writing.join().unwrap().unwrap_err().kind();
        assert_eq!(kind, ErrorKind::ConnectionAborted);
    }
    assert!(peers.client.wait_closed(Some(PATIENCE)));
    drop(stuck);
    peers.close();
}

#[test]
fn options_of_both_ends_need_not_agree() {
    let _scene = scene();
    let wire = wire(Spec::default());
    let small = CarrierOptions {
        window: 40_000,
        ..CarrierOptions::default()
    };
    let server = MuxServer::with_options(wire.far, &small).unwrap();
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let first = client.open(tcp()).unwrap();
    let (_, taken) = server.accept().unwrap();
    wait_until("HELLO has come", || client.has_muxcool_peer());
    for (from, to) in [(&first, &taken), (&taken, &first)] {
        let sender = from.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            sender.send(&keyed(1, 0, 8 * WINDOW)).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        let mut reader = to;
        reader.read_to_end(&mut got).unwrap();
        assert!(got == keyed(1, 0, 8 * WINDOW));
        sending.join().unwrap();
    }
    drop((first, taken));
    client.close();
    server.worker().close();
}
