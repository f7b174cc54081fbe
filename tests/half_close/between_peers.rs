//! Both ends are ours.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use muxcool::limits::SESSION_PIPE;
use muxcool::link::{Request, pair};
use muxcool::mux::{ClientOptions, ClientWorker, MuxError, MuxServer, ServerWorker};
use proptest::prelude::*;

use crate::mux_support::party::Party;
use crate::mux_support::scene::scene;
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::tasks::wait_until;
use crate::mux_support::wire::{Pieces, Spec, wire};
use crate::mux_support::{keyed, tcp};

const LARGE: usize = 1_500_000;

/// A client and a server, and the targets of its sessions.
struct Peers {
    client: Arc<ClientWorker>,
    server: ServerWorker,
    targets: Receiver<Target>,
}

/// A visitor whose link is dispatched, and the target at the other end.
struct Pair {
    visitor: Party,
    target: Target,
    outcome: JoinHandle<Result<(), MuxError>>,
}

impl Peers {
    fn new(taking: Taking, pieces: Pieces) -> Self {
        let wire = wire(Spec {
            pieces,
            ..Spec::default()
        });
        let (dispatcher, targets) = Targets::start(taking);
        let server = ServerWorker::start(wire.far, dispatcher, Request::new(tcp())).unwrap();
        let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
        Self {
            client: Arc::new(client),
            server,
            targets,
        }
    }

    /// With targets that are held by hand, and such that are relayed.
    fn both(test: impl Fn(&Self)) {
        for taking in [Taking::ByHand, Taking::Relayed(Spec::default())] {
            let peers = Self::new(taking, Pieces::Whole);
            test(&peers);
            peers.close();
        }
    }

    fn open(&self) -> Pair {
        let (near, far) = pair(SESSION_PIPE);
        let client = self.client.clone();
        let outcome = std::thread::spawn(move || client.dispatch(&tcp(), far).expect("a place"));
        Pair {
            visitor: near.into(),
            target: next(&self.targets),
            outcome,
        }
    }

    fn are_idle(&self) {
        wait_until("no session is left", || {
            self.client.active_connections() + self.server.active_connections() == 0
        });
    }

    fn close(&self) {
        self.are_idle();
        assert!(!self.client.is_closed() && !self.server.is_closed());
        self.client.close();
        self.server.close();
    }
}

impl Pair {
    fn ends_well(self) {
        drop((self.visitor, self.target));
        self.outcome.join().unwrap().unwrap();
    }

    fn ends_badly(self) {
        drop((self.visitor, self.target));
        self.outcome.join().unwrap().unwrap_err();
    }
}

/// Writes on a thread, and ends the direction.
fn write_and_close(mut party: Party, data: Vec<u8>) -> JoinHandle<Party> {
    std::thread::spawn(move || {
        party.write(&data);
        party.close();
        party
    })
}

#[test]
fn the_visitor_ends_first_and_has_the_whole_answer() {
    let _scene = scene();
    Peers::both(|peers| {
        for len in [0, 1, 64 * 1024, LARGE] {
            let Pair {
                visitor,
                mut target,
                outcome,
            } = peers.open();
            let asking = write_and_close(visitor, keyed(1, 0, len));
            assert!(target.read_to_end() == keyed(1, 0, len));
            let mut visitor = asking.join().unwrap();
            assert!(visitor.is_quiet(), "no end before the target's");
            let answering = std::thread::spawn(move || {
                target.write(&keyed(2, 0, len));
                target.close();
                target
            });
            assert!(visitor.read_to_end() == keyed(2, 0, len));
            let pair = Pair {
                visitor,
                target: answering.join().unwrap(),
                outcome,
            };
            pair.ends_well();
        }
    });
}

#[test]
fn the_target_ends_first_and_has_the_whole_upload() {
    let _scene = scene();
    Peers::both(|peers| {
        for len in [0, 1, 64 * 1024, LARGE] {
            let Pair {
                mut visitor,
                mut target,
                outcome,
            } = peers.open();
            let greeting = keyed(2, 0, len / 8);
            target.write(&greeting);
            target.close();
            assert!(visitor.read_to_end() == greeting);
            let sending = write_and_close(visitor, keyed(1, 0, len));
            assert!(target.read_to_end() == keyed(1, 0, len));
            let pair = Pair {
                visitor: sending.join().unwrap(),
                target,
                outcome,
            };
            pair.ends_well();
        }
    });
}

#[test]
fn both_end_at_once() {
    let _scene = scene();
    Peers::both(|peers| {
        for round in 0..60 {
            let len = [0, 1, 5000, 400_000][round % 4];
            let mut pair = peers.open();
            let party = std::mem::replace(&mut pair.visitor, Party::from(self::pair(1).0));
            std::thread::scope(|scope| {
                let target = &mut pair.target;
                scope.spawn(move || {
                    // Small enough to be taken before anything is read.
                    target.write(&keyed(2, 0, len / 4));
                    target.close();
                    assert!(target.read_to_end() == keyed(1, 0, len));
                });
                let mut visitor = write_and_close(party, keyed(1, 0, len)).join().unwrap();
                assert!(visitor.read_to_end() == keyed(2, 0, len / 4));
            });
            pair.ends_well();
        }
    });
}

#[test]
fn a_reset_after_a_half_close_is_a_reset() {
    let _scene = scene();
    Peers::both(|peers| {
        // The target gives up after the visitor has ended.
        let mut pair = peers.open();
        pair.visitor.write(b"question");
        pair.visitor.close();
        assert_eq!(pair.target.read_to_end(), b"question");
        pair.target.write(b"half an ans");
        assert_eq!(pair.visitor.read(11), b"half an ans");
        pair.target.abort();
        pair.visitor.read_to_error();
        pair.ends_badly();

        // The visitor gives up after the target has ended.
        let mut pair = peers.open();
        pair.target.close();
        pair.visitor.read_to_end();
        pair.visitor.write(b"half a quest");
        assert_eq!(pair.target.read(12), b"half a quest");
        pair.visitor.abort();
        pair.target.read_to_error();
        pair.ends_badly();

        // The visitor leaves after it has ended, and before the answer.
        let mut pair = peers.open();
        pair.visitor.close();
        pair.target.read_to_end();
        pair.visitor.reader.handle().interrupt();
        while pair.target.try_write(&[7; 1000]).is_ok() {}
        pair.ends_badly();
    });
}

#[test]
fn a_reset_that_races_with_an_end_is_no_end() {
    let _scene = scene();
    Peers::both(|peers| {
        for round in 0..100 {
            let mut pair = peers.open();
            let len = [0, 10, 100_000][round % 3];
            pair.target.write(&keyed(2, 0, len));
            std::thread::scope(|scope| {
                scope.spawn(|| pair.visitor.close());
                scope.spawn(|| pair.target.abort());
            });
            let got = pair.visitor.read_to_error();
            assert!(keyed(2, 0, len).starts_with(&got));
            pair.ends_badly();
        }
    });
}

#[test]
fn streams_half_close_as_sockets_do() {
    let _scene = scene();
    let wire = wire(Spec::default());
    let server = MuxServer::new(wire.far).unwrap();
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    for first in [true, false] {
        let asks = client.open(tcp()).unwrap();
        let (_, answers) = server.accept().unwrap();
        let (mut one, mut other) = if first {
            (asks, answers)
        } else {
            (answers, asks)
        };
        one.send(&keyed(1, 0, LARGE / 10)).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut got = Vec::new();
        other.read_to_end(&mut got).unwrap();
        assert!(got == keyed(1, 0, LARGE / 10));
        let sending = std::thread::spawn(move || {
            other.send(&keyed(2, 0, LARGE)).unwrap();
            other.shutdown(Shutdown::Both).unwrap();
        });
        got.clear();
        one.read_to_end(&mut got).unwrap();
        assert!(got == keyed(2, 0, LARGE));
        sending.join().unwrap();
    }
    wait_until("no session is left", || {
        client.active_connections() + server.worker().active_connections() == 0
    });
    client.close();
    server.worker().close();
}

// --- Any order --------------------------------------------------------------------

#[derive(Debug, Clone, Copy)]
enum Step {
    Write { visitor: bool, len: usize },
    Close { visitor: bool },
    Read { visitor: bool },
}

/// How it all ends, once the steps are done.
#[derive(Debug, Clone, Copy)]
enum Last {
    BothClose,
    VisitorAborts,
    TargetAborts,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0usize..20_000).prop_map(|(visitor, len)| Step::Write { visitor, len }),
        1 => any::<bool>().prop_map(|visitor| Step::Close { visitor }),
        2 => any::<bool>().prop_map(|visitor| Step::Read { visitor }),
    ]
}

/// One side of a session: what it wrote, and what it read.
struct Side<'a> {
    party: &'a mut Party,
    key: u64,
    wrote: usize,
    closed: bool,
    read: Vec<u8>,
}

impl<'a> Side<'a> {
    fn new(party: &'a mut Party, key: u64) -> Self {
        Self {
            party,
            key,
            wrote: 0,
            closed: false,
            read: Vec::new(),
        }
    }

    fn write(&mut self, len: usize) {
        if !self.closed && len > 0 {
            self.party.write(&keyed(self.key, self.wrote, len));
            self.wrote += len;
        }
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.party.close();
        }
    }

    /// What is due: all that the other has written.
    fn read(&mut self, len: usize) {
        let due = len - self.read.len();
        let bytes = self.party.read(due);
        self.read.extend(bytes);
    }

    /// Reads to the end, and says whether it was an orderly one.
    fn finish(&mut self) -> bool {
        let (bytes, end) = self.party.drain();
        self.read.extend(bytes);
        end.is_ok()
    }
}

fn run(steps: &[Step], last: Last, taking: Taking, pieces: Pieces) {
    let peers = Peers::new(taking, pieces);
    let mut pair = peers.open();
    let mut visitor = Side::new(&mut pair.visitor, 1);
    let mut target = Side::new(&mut pair.target, 2);
    for step in steps {
        match *step {
            Step::Write { visitor: true, len } => visitor.write(len),
            Step::Write { len, .. } => target.write(len),
            Step::Close { visitor: true } => visitor.close(),
            Step::Close { .. } => target.close(),
            Step::Read { visitor: true } => visitor.read(target.wrote),
            Step::Read { .. } => target.read(visitor.wrote),
        }
    }
    match last {
        Last::BothClose => {
            visitor.close();
            target.close();
            assert!(visitor.finish() && target.finish());
            assert!(visitor.read == keyed(2, 0, target.wrote));
            assert!(target.read == keyed(1, 0, visitor.wrote));
            pair.ends_well();
        }
        Last::VisitorAborts => {
            let whole = visitor.closed;
            visitor.party.abort();
            visitor.party.reader.handle().interrupt();
            let _ = target.party.writer.close();
            assert!(!target.finish() || whole, "an abort was taken for an end");
            assert!(keyed(1, 0, visitor.wrote).starts_with(&target.read));
            drop((pair.visitor, pair.target, pair.outcome.join()));
        }
        Last::TargetAborts => {
            let whole = target.closed;
            target.party.abort();
            target.party.reader.handle().interrupt();
            let _ = visitor.party.writer.close();
            assert!(!visitor.finish() || whole, "an abort was taken for an end");
            assert!(keyed(2, 0, target.wrote).starts_with(&visitor.read));
            drop((pair.visitor, pair.target, pair.outcome.join()));
        }
    }
    peers.close();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_what_was_written_arrives_and_then_how_it_ended(
        steps in proptest::collection::vec(any_step(), 0..12),
        last in prop_oneof![
            Just(Last::BothClose),
            Just(Last::VisitorAborts),
            Just(Last::TargetAborts),
        ],
        relayed: bool,
        seed in 1u64..,
        max in 1usize..5000,
    ) {
        let _scene = scene();
        let taking = match relayed {
            true => Taking::Relayed(Spec { capacity: 1 << 20, ..Spec::default() }),
            false => Taking::ByHand,
        };
        run(&steps, last, taking, Pieces::Random { seed, max });
    }
}
