//! Sessions of a plain peer that take nothing, and how long their siblings
//! wait for all of them (section 12).

use std::time::{Duration, Instant};

use muxcool::limits::LEAST_ROOM;
use muxcool::link::Link;
use muxcool::mux::{CarrierOptions, ClientOptions};

use crate::mux_support::frames::Frame;
use crate::mux_support::party::Party;
use crate::mux_support::rig::Client;
use crate::mux_support::scene::scene;
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{keyed, tcp};

/// How long a session may stall: much longer than one that comes next may.
const STALLED: Duration = Duration::from_millis(2500);

/// Sessions that take nothing, whatever their number: more than twice as many
/// as may stall one after the other in that time.
const STUCK: u16 = 3;

/// A carrier with sessions whose visitors never read, and one that does.
struct Carrier {
    client: Client,
    /// Their visitors, which are there and do not read.
    _visitors: Vec<Party>,
    reading: Party,
    start: Instant,
}

/// The session of the one that reads; those before it do not.
const READING: u16 = STUCK + 1;

impl Carrier {
    fn new() -> Self {
        let mut client = Client::with(ClientOptions {
            carrier: CarrierOptions {
                parked: LEAST_ROOM,
                stalled_session: STALLED,
                ..CarrierOptions::default()
            },
            ..ClientOptions::default()
        });
        let mut visitors: Vec<Party> = (0..=STUCK).map(|_| visitor(&mut client)).collect();
        Self {
            client,
            reading: visitors.pop().unwrap(),
            _visitors: visitors,
            start: Instant::now(),
        }
    }

    /// More than the session may park.
    fn fill(&mut self, id: u16) {
        for _ in 0..3 {
            let piece = keyed(id.into(), 0, LEAST_ROOM);
            self.client.script.send(Frame::keep(id, &piece));
        }
    }

    /// The next session that is ended with an error. What of its data comes
    /// later is answered with an End that has none.
    fn failed(&mut self) -> u16 {
        loop {
            let frame = self.client.script.frame();
            if frame == Frame::end(frame.id, true) {
                return frame.id;
            }
            assert_eq!(frame, Frame::end(frame.id, false));
        }
    }

    /// Waits until all of the stuck are ended, and the one that reads has got
    /// what came behind their data. Returns how long it took until the first
    /// was ended, and from then on.
    fn recover(mut self) -> (Duration, Duration) {
        self.client.script.send(Frame::keep(READING, b"at last"));
        let mut ended = vec![self.failed()];
        let first = self.start.elapsed();
        ended.extend((1..STUCK).map(|_| self.failed()));
        ended.sort_unstable();
        assert_eq!(ended, (1..=STUCK).collect::<Vec<_>>());
        assert_eq!(self.reading.read(7), b"at last");
        let others = self.start.elapsed() - first;
        assert_eq!(self.client.worker.stats().stalled, u64::from(STUCK));
        self.client.worker.close();
        (first, others)
    }
}

/// A visitor whose link takes a little and no more.
fn visitor(client: &mut Client) -> Party {
    let wire = wire(Spec {
        capacity: 1000,
        ..Spec::default()
    });
    let (link, worker): (Link, _) = (wire.near, client.worker.clone());
    std::thread::spawn(move || worker.dispatch(&tcp(), link));
    client.script.frame();
    wire.far.into()
}

/// Nothing of the second is read while the first holds the carrier up: it does
/// not stall before the first has been ended.
#[test]
fn those_who_stall_one_after_the_other_cost_little_more_than_one() {
    let _scene = scene();
    let mut carrier = Carrier::new();
    (1..=STUCK).for_each(|id| carrier.fill(id));
    let (first, others) = carrier.recover();
    assert!(first >= STALLED, "{first:?}");
    assert!(others < first, "{first:?}, and {others:?} more");
}

/// Their time runs from when they took nothing any more, not from when the
/// carrier begins to wait for them.
#[test]
fn those_who_stall_together_are_ended_together() {
    let _scene = scene();
    let mut carrier = Carrier::new();
    for id in 1..=STUCK {
        carrier.client.script.send(Frame::keep(id, &[1; 2000]));
    }
    carrier.client.script.sync();
    (1..=STUCK).rev().for_each(|id| carrier.fill(id));
    let (first, others) = carrier.recover();
    assert!(others < first / 5, "{first:?}, and {others:?} more");
}
