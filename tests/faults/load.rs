//! Streams that are busy when something happens.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
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
        streams::{Ending, Manner},
        target::Order,
    },
};

/// Streams at the same time.
const STREAMS: usize = 64;

/// More than any of them comes to send.
const ENDLESS: u64 = 1 << 40;

/// What all of them together send, in bytes per second at each end: enough that
/// all are always under way, and little enough that other tests go on.
const RATE: u64 = 4_000_000;

/// Bytes that have arrived of each, on average, when something happens.
const UNDER_WAY: u64 = 16 * 1024;

/// One of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Near,
    Far,
}

/// It is killed (SIGKILL), and started again later.
pub fn an_end_is_killed(pairing: Pairing, side: Side) {
    endless(
        pairing,
        |scene| {
            scene.program(side).kill();
        },
        |lanes| program(lanes, side).restart(),
    );
}

/// It is stopped (SIGSTOP) until the other one has given it up.
pub fn an_end_is_frozen(pairing: Pairing, side: Side) {
    endless(
        pairing,
        |scene| {
            scene.program(side).freeze();
            match side {
                Side::Near => scene.expect_ends_at_targets(),
                Side::Far => scene.expect_ends_of_visitors(),
            }
            scene.program(side).thaw();
        },
        |_| (),
    );
}

/// The path of the carrier fails.
pub fn a_carrier_suffers(pairing: Pairing, fault: Fault, way: Way) {
    endless(
        pairing,
        |scene| {
            let after = 0;
            scene.busy.0.lanes[0].relay.trip(Trip { way, after, fault });
        },
        |_| (),
    );
}

/// For less long than it takes to be given up: nobody notices.
pub fn a_short_freeze_harms_nobody(pairing: Pairing, side: Side) {
    // They must not end before all have begun, however slowly that goes.
    const EACH: u64 = 512 * 1024;
    const FROZEN: Duration = Duration::from_millis(800);
    let orders = Orders::paced(EACH, EACH, RATE);
    let mut lanes = Lanes::start(pairing, 1, orders.service.address());
    open(&lanes.lanes[0], &orders);
    let entry = lanes.lanes[0].entry();
    thread::scope(|threads| {
        for _ in 0..STREAMS {
            threads.spawn(|| assert_eq!(orders.place(&entry, Manner::HalfClose), Ending::Whole));
        }
        let busy = Busy(&mut lanes);
        wait_until_under_way(&orders);
        program(busy.0, side).freeze();
        thread::sleep(FROZEN); // the fault itself
        program(busy.0, side).thaw();
        orders.hurry();
    });
    orders.assert_none_forbidden(pairing.judged());
    lanes.finish();
}

/// The carriers' bytes come one by one.
pub fn a_carrier_of_single_bytes(pairing: Pairing) {
    const STREAMS: usize = 8;
    if is_skipped(pairing) {
        return;
    }
    let orders = Orders::of(3_000, 3_000);
    let lanes = Lanes::start_with(
        pairing,
        1,
        orders.service.address(),
        Setting::default(),
        |target| Relay::with_chunk(target, 1),
    );
    let lane = &lanes.lanes[0];
    open(lane, &orders);
    let endings = orders.place_many(STREAMS, &lane.entry(), pairing.manner());
    assert_eq!(endings, vec![Ending::Whole; STREAMS]);
    orders.assert_none_forbidden(pairing.judged());
    lanes.finish();
}

/// The programs of streams that may have no end by themselves: they are killed
/// when the test fails, which would wait for those streams.
struct Busy<'a>(&'a mut Lanes);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.near.kill();
            self.0.far.kill();
        }
    }
}

/// A tunnel full of busy streams, to which something happens now.
struct Scene<'a> {
    busy: Busy<'a>,
    orders: &'a Orders,
    /// Visitors whose streams have ended.
    ended: &'a AtomicUsize,
}

/// Lets `happen` end all streams, and checks that each ends as it must. After
/// `mend` the tunnel is of use again.
fn endless(pairing: Pairing, happen: impl FnOnce(&mut Scene), mend: impl FnOnce(&mut Lanes)) {
    if is_skipped(pairing) {
        return;
    }
    let orders = Orders::paced(ENDLESS, ENDLESS, RATE);
    let mut lanes = Lanes::start(pairing, 1, orders.service.address());
    open(&lanes.lanes[0], &orders);
    let entry = lanes.lanes[0].entry();
    let ended = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..STREAMS {
            threads.spawn(|| {
                let ending = orders.place_as(orders.next_mixed(), &entry, Manner::Patient);
                ended.fetch_add(1, Ordering::SeqCst);
                assert_ne!(ending, Ending::Whole, "it was to be endless");
            });
        }
        let mut scene = Scene {
            busy: Busy(&mut lanes),
            orders: &orders,
            ended: &ended,
        };
        wait_until_under_way(&orders);
        happen(&mut scene);
    });
    let settled = orders.service.settle(PATIENCE);
    assert!(settled.is_ok() || !pairing.judged().1, "{settled:?}");
    mend(&mut lanes);
    open(&lanes.lanes[0], &orders);
    orders.assert_none_forbidden(pairing.judged());
    lanes.finish();
}

impl Scene<'_> {
    fn program(&mut self, side: Side) -> &mut Program {
        program(self.busy.0, side)
    }

    fn expect_ends_of_visitors(&self) {
        let ended = || self.ended.load(Ordering::SeqCst);
        let all = eventually(Instant::now() + PATIENCE, || match ended() {
            STREAMS => Ok(()),
            ended => Err(ended),
        });
        assert_eq!(all, Ok(()), "of {STREAMS} visitors");
    }

    fn expect_ends_at_targets(&self) {
        self.orders.service.settle(PATIENCE).expect("ends");
    }
}

fn program(lanes: &mut Lanes, side: Side) -> &mut Program {
    match side {
        Side::Near => &mut lanes.near,
        Side::Far => &mut lanes.far,
    }
}

fn is_skipped(pairing: Pairing) -> bool {
    [pairing.near, pairing.far].contains(&V2ray) && !v2ray_or_skip()
}

/// Waits until a stream of a few bytes works.
fn open(lane: &Lane, orders: &Orders) {
    let attempt = || {
        let order = Order {
            upload: 100,
            download: 100,
            ..orders.next()
        };
        match orders.place_as(order, &lane.entry(), Manner::Patient) {
            Ending::Whole => Ok(()),
            other => Err(other),
        }
    };
    let opened = eventually(Instant::now() + 2 * PATIENCE, attempt);
    opened.expect("a stream through the tunnel");
}

fn wait_until_under_way(orders: &Orders) {
    let wanted = STREAMS as u64 * UNDER_WAY;
    let under_way = eventually(Instant::now() + PATIENCE, || {
        match (orders.service.open(), orders.verified()) {
            (STREAMS, verified) if verified >= wanted => Ok(()),
            other => Err(other),
        }
    });
    under_way.expect("busy streams");
}
