//! One program is restarted again and again, and nothing of it stays in the
//! other.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{
    REVERSE,
    lanes::{Lane, Lanes},
    load::Side,
    orders::Orders,
    support::{
        PATIENCE, eventually,
        program::Program,
        streams::{Ending, Manner},
    },
};

/// Streams at once before each.
const STREAMS: usize = 8;

/// Threads of a program that wait a few seconds for another task.
const SPARE: &str = "spare";

/// A bridge waits longer for its portal after each restart.
pub fn leave_nothing_in_the_other_program(side: Side, restarts: usize) {
    let orders = Orders::of(10_000, 10_000);
    let mut lanes = Lanes::start(REVERSE, 1, orders.service.address());
    let mut first = None;
    for _ in 0..restarts {
        serve(&lanes.lanes[0], &orders);
        match side {
            Side::Near => lanes.near.restart(),
            Side::Far => lanes.far.restart(),
        }
        serve(&lanes.lanes[0], &orders);
        let stays = match side {
            Side::Near => &lanes.far,
            Side::Far => &lanes.near,
        };
        let bound = *first.get_or_insert_with(|| settled(stays));
        expect_at_most(stays, bound);
    }
    orders.assert_none_forbidden(REVERSE.judged());
    lanes.finish();
}

fn serve(lane: &Lane, orders: &Orders) {
    let opened = eventually(Instant::now() + PATIENCE, || {
        match orders.place(&lane.entry(), Manner::HalfClose) {
            Ending::Whole => Ok(()),
            other => Err(other),
        }
    });
    opened.expect("a stream");
    let endings = orders.place_many(STREAMS, &lane.entry(), Manner::HalfClose);
    assert_eq!(endings, vec![Ending::Whole; STREAMS]);
}

/// Threads that have a task, and descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    threads: usize,
    descriptors: usize,
}

impl Use {
    fn of(program: &Program) -> Self {
        let pid = program.pid().expect("a program");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("procfs");
        let names = tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        Self {
            threads: names.filter(|name| name.trim_end() != SPARE).count(),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("procfs")
                .count(),
        }
    }
}

/// What it uses at rest.
fn settled(program: &Program) -> Use {
    const STILL: Duration = Duration::from_millis(500);
    let mut seen = (Instant::now(), Use::of(program));
    let still = eventually(Instant::now() + PATIENCE, || {
        let now = Use::of(program);
        if now != seen.1 {
            seen = (Instant::now(), now);
        }
        if seen.0.elapsed() >= STILL {
            Ok(now)
        } else {
            Err(now)
        }
    });
    still.expect("a program at rest")
}

fn expect_at_most(program: &Program, bound: Use) {
    let within = eventually(Instant::now() + PATIENCE, || match Use::of(program) {
        now if now.threads <= bound.threads && now.descriptors <= bound.descriptors => Ok(()),
        now => Err(now),
    });
    within.unwrap_or_else(|now| panic!("{now:?}, at first {bound:?}"));
}
