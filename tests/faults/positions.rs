//! The carrier is cut at every byte position of its own life and of a
//! session's, each way, by an orderly end and by a reset.

use std::{
    env, iter,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::{
    lanes::{Lane, Lanes, Pairing, Setting},
    orders::Orders,
    support::{
        PATIENCE, eventually,
        program::{Kind::V2ray, Program, v2ray_or_skip},
        relay::{Fault, Relay, Trip, Way},
        streams::Ending,
    },
};

/// Bytes of a stream each way, which go in one frame.
const STREAM: (u64, u64) = (40, 30);

/// Sessions on a carrier that is cut.
const STREAMS: usize = 2;

/// Tunnels at the same time.
const FORWARD_LANES: usize = 16;

/// How long visitors of V2Ray wait: it forgets some of them.
const WITH_V2RAY: Duration = Duration::from_secs(2);

/// Carriers of one lane that are cut while they are being opened. A bridge
/// waits longer after each, V2Ray's longest.
const OPENINGS: usize = 3;
const OPENINGS_OF_V2RAY: usize = 1;

/// How long a tunnel may take to serve: after those cuts, beside all others of
/// its test, which do the same at the same time.
const OPENED: Duration = PATIENCE.saturating_mul(3);

/// A bridge replaces at once what has lasted so long; else it waits. Not a wait
/// for anything: without it the test only takes longer.
const LASTED: Duration = Duration::from_millis(2_100);

/// All positions, whatever a test takes, if this is set.
const EVERY: &str = "MUXCOOL_EVERY_CUT";

/// Mux carriers that are dialled on demand: each cut is counted from the
/// carrier's first byte on.
pub fn of_a_forward_tunnel(pairing: Pairing, stride: usize) {
    if is_skipped(pairing) {
        return;
    }
    let mut orders = Orders::of(STREAM.0, STREAM.1);
    if pairing.near == V2ray {
        orders = orders.with_patience(WITH_V2RAY);
    }
    let mut lanes = Lanes::start(pairing, FORWARD_LANES, orders.service.address());
    let lengths = lengths(&lanes.lanes[0], || {
        let ending = orders.place(&lanes.lanes[0].entry(), pairing.manner());
        assert_eq!(ending, Ending::Whole);
    });
    lanes.lanes[0].relay.inflict(Fault::Reset);
    let mut trips = trips(lengths, stride);
    trips.extend(others(&trips));
    let count = trips.len();
    let queue = Mutex::new(trips.into_iter());
    let take = || queue.lock().expect("queue").next();
    let server = Mutex::new(&mut lanes.far);
    thread::scope(|threads| {
        for lane in &lanes.lanes {
            threads.spawn(|| {
                for trip in iter::from_fn(take) {
                    server.lock().expect("server").stand_up_if_v2ray_fell();
                    lane.relay.trip_next(trip);
                    orders.place(&lane.entry(), pairing.manner());
                    lane.relay.clear();
                    lane.relay.inflict(Fault::Reset);
                    expect_no_carrier(lane);
                }
            });
        }
    });
    finish(lanes, &orders, count);
}

/// A reverse tunnel's carriers: cut while they are being opened, and cut in the
/// life of sessions on them.
pub fn of_a_reverse_tunnel(pairing: Pairing, stride: usize) {
    if is_skipped(pairing) {
        return;
    }
    let orders = Orders::of(STREAM.0, STREAM.1);
    let (opening, life) = measure_reverse(pairing, &orders);
    let mut openings = trips(opening, stride);
    let lives = trips(life, stride);
    let count = openings.len() + lives.len();
    let each = match pairing.far {
        V2ray => OPENINGS_OF_V2RAY,
        _ => OPENINGS,
    };
    let lanes = openings.len().div_ceil(each);
    let lanes = Lanes::start_with(
        pairing,
        lanes,
        orders.service.address(),
        Setting::default(),
        |target| {
            let relay = Relay::start(target);
            let first = openings.len().saturating_sub(each);
            for trip in openings.drain(first..) {
                relay.trip_next(trip);
            }
            relay
        },
    );
    let queue = Mutex::new(lives.into_iter());
    let take = || queue.lock().expect("queue").next();
    thread::scope(|threads| {
        for lane in &lanes.lanes {
            threads.spawn(|| {
                for trip in iter::from_fn(take) {
                    open(lane, &orders, pairing);
                    thread::sleep(LASTED);
                    lane.relay.trip(trip);
                    orders.place_many(STREAMS, &lane.entry(), pairing.manner());
                    lane.relay.clear();
                    lane.relay.inflict(Fault::Reset);
                }
            });
        }
    });
    finish(lanes, &orders, count);
}

/// Bytes each way until a tunnel serves, and those of the sessions after.
fn measure_reverse(pairing: Pairing, orders: &Orders) -> ([u64; 2], [u64; 2]) {
    let lanes = Lanes::start(pairing, 1, orders.service.address());
    let lane = &lanes.lanes[0];
    let opening = lengths(lane, || open(lane, orders, pairing));
    let life = lengths(lane, || {
        let endings = orders.place_many(STREAMS, &lane.entry(), pairing.manner());
        assert_eq!(endings, vec![Ending::Whole; STREAMS]);
    });
    lanes.finish();
    (opening, life)
}

fn is_skipped(pairing: Pairing) -> bool {
    [pairing.near, pairing.far].contains(&V2ray) && !v2ray_or_skip()
}

/// Bytes that pass while `act` runs.
fn lengths(lane: &Lane, act: impl FnOnce()) -> [u64; 2] {
    let passed = || Way::BOTH.map(|way| lane.relay.passed(way));
    let before = passed();
    act();
    let after = passed();
    [after[0] - before[0], after[1] - before[1]]
}

/// Each position, with orderly ends and resets in turn.
fn trips(lengths: [u64; 2], stride: usize) -> Vec<Trip> {
    let stride = if env::var_os(EVERY).is_some() {
        1
    } else {
        stride
    };
    let positions = Way::BOTH.into_iter().flat_map(|way| {
        let positions = (0..=lengths[way as usize]).step_by(stride);
        positions.map(move |after| (way, after))
    });
    let faults = [Fault::Fin, Fault::Reset].into_iter().cycle();
    positions
        .zip(faults)
        .map(|((way, after), fault)| Trip { way, after, fault })
        .collect()
}

/// The same positions with the other fault each.
fn others(trips: &[Trip]) -> Vec<Trip> {
    let other = |trip: &Trip| match trip.fault {
        Fault::Fin => Trip {
            fault: Fault::Reset,
            ..*trip
        },
        _ => Trip {
            fault: Fault::Fin,
            ..*trip
        },
    };
    trips.iter().map(other).collect()
}

/// Visits until one is served, all of which are judged later.
fn open(lane: &Lane, orders: &Orders, pairing: Pairing) {
    let opened = eventually(Instant::now() + OPENED, || visit(lane, orders, pairing));
    opened.expect("a stream through the tunnel");
}

/// The same by a far program that the last cuts may have felled.
fn open_by(far: &Mutex<&mut Program>, lane: &Lane, orders: &Orders, pairing: Pairing) {
    let opened = eventually(Instant::now() + OPENED, || {
        far.lock().expect("far program").stand_up_if_v2ray_fell();
        visit(lane, orders, pairing)
    });
    opened.expect("a stream through the tunnel");
}

fn visit(lane: &Lane, orders: &Orders, pairing: Pairing) -> Result<(), Ending> {
    match orders.place(&lane.entry(), pairing.manner()) {
        Ending::Whole => Ok(()),
        other => Err(other),
    }
}

/// Both programs let go of a carrier that was cut.
fn expect_no_carrier(lane: &Lane) {
    let gone = eventually(Instant::now() + PATIENCE, || match lane.relay.open() {
        0 => Ok(()),
        open => Err(open),
    });
    assert_eq!(gone, Ok(()), "carriers that were cut are still there");
}

fn finish(mut lanes: Lanes, orders: &Orders, trips: usize) {
    let pairing = lanes.pairing;
    let tripped: usize = lanes.lanes.iter().map(|lane| lane.relay.tripped()).sum();
    // A grant more or less, and the last positions are not reached.
    assert!(tripped * 10 >= trips * 8, "{tripped} of {trips} cuts");
    let server = Mutex::new(&mut lanes.far);
    thread::scope(|threads| {
        for lane in &lanes.lanes {
            threads.spawn(|| open_by(&server, lane, orders, pairing));
        }
    });
    orders.assert_none_forbidden(pairing.judged());
    lanes.finish();
}
