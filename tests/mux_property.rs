//! Two workers under arbitrary schedules of open, write, half-close and reset,
//! on a carrier that splits its bytes at arbitrary points: what a stream
//! delivers is a beginning of what was sent on it, and all of it if the stream
//! ended in an orderly way. Every stream's bytes tell whose they are.

#[allow(dead_code)]
mod mux_support;

use std::collections::HashMap;

use crossbeam_channel::Receiver;
use muxcool::link::Request;
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, ServerWorker};
use muxcool::net::Destination;
use proptest::prelude::*;

use mux_support::party::Party;
use mux_support::scene::scene;
use mux_support::targets::{Taking, Target, Targets, next};
use mux_support::tasks::wait_until;
use mux_support::wire::{Pieces, Spec, wire};
use mux_support::{keyed, tcp};

/// What happens to one of the streams, on one of its sides.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write(usize),
    Close,
    Reset,
}

#[derive(Debug, Clone, Copy)]
struct Op {
    stream: usize,
    side: usize,
    act: Act,
}

const STREAMS: usize = 5;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let act = prop_oneof![
        8 => (0usize..9000).prop_map(Act::Write),
        3 => Just(Act::Close),
        1 => Just(Act::Reset),
    ];
    let op = (0..STREAMS, 0usize..2, act).prop_map(|(stream, side, act)| Op { stream, side, act });
    prop::collection::vec(op, 0..80)
}

fn specs() -> impl Strategy<Value = Spec> {
    let pieces = (1u64.., 1usize..3000).prop_map(|(seed, max)| Pieces::Random { seed, max });
    (1usize..70_000, pieces).prop_map(|(capacity, pieces)| Spec { capacity, pieces })
}

/// One side of a stream, and what it has sent.
struct Side<P> {
    party: P,
    key: u64,
    sent: usize,
    closed: bool,
}

struct Stream {
    near: Side<Party>,
    far: Side<Target>,
    /// By either side: then all bets are off but one, that nothing is made up.
    reset: bool,
}

impl<P: AsMut<Party>> Side<P> {
    fn new(party: P, key: u64) -> Self {
        Self {
            party,
            key,
            sent: 0,
            closed: false,
        }
    }

    /// Returns whether it went well.
    fn act(&mut self, act: Act) -> bool {
        match act {
            Act::Write(_) if self.closed => true,
            Act::Write(len) => {
                let data = keyed(self.key, self.sent, len);
                let written = self.party.as_mut().try_write(&data).is_ok();
                self.sent += len;
                written
            }
            Act::Close => {
                self.closed = true;
                self.party.as_mut().writer.close().is_ok()
            }
            Act::Reset => {
                self.party.as_mut().abort();
                true
            }
        }
    }
}

impl Stream {
    fn open(client: &ClientWorker, targets: &Receiver<Target>, index: usize) -> StreamBox {
        let target = Destination::tcp("192.0.2.1", index as u16).unwrap();
        let near = Party::from(client.connect(target.clone()).unwrap());
        let far = next(targets);
        assert_eq!(far.destination(), &target);
        Box::new(Stream {
            near: Side::new(near, 2 * index as u64),
            far: Side::new(far, 2 * index as u64 + 1),
            reset: false,
        })
    }

    fn act(&mut self, side: usize, act: Act) {
        let fine = match side {
            0 => self.near.act(act),
            _ => self.far.act(act),
        };
        self.reset |= matches!(act, Act::Reset);
        assert!(
            fine || self.reset,
            "{act:?} failed on a stream that nobody reset"
        );
    }

    /// Ends what is open, and compares what came with what was sent.
    fn settle(&mut self) {
        self.act(0, Act::Close);
        self.act(1, Act::Close);
        let to_far = self.far.party.drain();
        let to_near = self.near.party.drain();
        let directions = [
            (self.near.key, self.near.sent, to_far),
            (self.far.key, self.far.sent, to_near),
        ];
        for (key, sent, (came, end)) in directions {
            let all = keyed(key, 0, sent);
            assert!(all.starts_with(&came), "stream {key}: foreign bytes");
            assert!(self.reset || end.is_ok(), "stream {key}: {end:?}");
            if end.is_ok() {
                assert_eq!(came.len(), sent, "stream {key}: cut short");
            }
        }
    }
}

type StreamBox = Box<Stream>;

fn run(ops: &[Op], spec: Spec, extensions: bool) {
    let wire = wire(spec);
    let carrier = CarrierOptions {
        extensions,
        end_quiet: std::time::Duration::ZERO,
        ..CarrierOptions::default()
    };
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let origin = Request::new(tcp());
    let server = ServerWorker::start_with(wire.far, dispatcher, origin, &carrier, || {}).unwrap();
    let options = ClientOptions {
        carrier,
        ..ClientOptions::default()
    };
    let client = ClientWorker::new(wire.near, options).unwrap();
    let mut streams: HashMap<usize, StreamBox> = HashMap::new();
    for op in ops {
        let open = || Stream::open(&client, &targets, op.stream);
        streams
            .entry(op.stream)
            .or_insert_with(open)
            .act(op.side, op.act);
    }
    streams.values_mut().for_each(|stream| stream.settle());
    drop(streams);
    wait_until("both sides have forgotten all", || {
        client.active_connections() + server.active_connections() == 0
    });
    assert!(!client.is_closed() && !server.is_closed());
    client.close();
    server.close();
}

#[test]
fn streams_deliver_what_was_sent_on_them() {
    let _scene = scene();
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(ops in ops(), spec in specs(), extensions: bool)| {
        run(&ops, spec, extensions);
    });
}
