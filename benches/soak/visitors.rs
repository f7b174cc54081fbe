//! Visitors who come and go, and what they did and saw.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};

use crate::{
    datagrams,
    support::{
        streams::{Course, Ending, Manner, visit},
        target::Order,
    },
    tunnel::Public,
};

/// How long a visitor waits for anything at all.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two visits of one visitor, in milliseconds.
const REST: (u64, u64) = (5, 150);

/// Bytes of a small stream, and of a large one, at the most, each way.
const SMALL: u64 = 4_000;
const LARGE: u64 = 3_000_000;

/// How long one stops reading, in milliseconds.
const STALL: (u64, u64) = (200, 2_000);

/// What a visitor came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Small,
    Bulk,
    HalfClose,
    Stall,
    Abort,
    Datagrams,
}

impl Purpose {
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Bulk => "bulk",
            Self::HalfClose => "half-close",
            Self::Stall => "stall",
            Self::Abort => "abort",
            Self::Datagrams => "datagrams",
        }
    }

    fn by_chance(chance: &mut StdRng) -> Self {
        match chance.random_range(0..20) {
            0..8 => Self::Small,
            8..11 => Self::Bulk,
            11..14 => Self::HalfClose,
            14 => Self::Stall,
            15..17 => Self::Abort,
            _ => Self::Datagrams,
        }
    }

    fn manner(self, chance: &mut StdRng) -> Manner {
        match self {
            Self::HalfClose => Manner::HalfClose,
            Self::Abort => Manner::Abort,
            Self::Stall => {
                let time = chance.random_range(STALL.0..STALL.1);
                Manner::Stall(Duration::from_millis(time))
            }
            Self::Small | Self::Bulk | Self::Datagrams => Manner::Patient,
        }
    }

    fn size(self, chance: &mut StdRng) -> (u64, u64) {
        let mut upto = |most| chance.random_range(1..most);
        match self {
            Self::Small | Self::Datagrams => (upto(SMALL), upto(SMALL)),
            Self::HalfClose => (upto(LARGE / 10), upto(LARGE / 10)),
            Self::Abort | Self::Stall => (upto(LARGE / 10), upto(LARGE)),
            Self::Bulk => match upto(4) {
                1 => (upto(LARGE), upto(SMALL)),
                2 => (upto(SMALL), upto(LARGE)),
                _ => (upto(LARGE / 2), upto(LARGE / 2)),
            },
        }
    }
}

/// One visit.
pub struct Visit {
    pub order: Order,
    pub purpose: Purpose,
    pub from: Instant,
    pub until: Instant,
    pub ending: Ending,
}

/// Keys, of which no two visits have the same.
#[derive(Default)]
pub struct Keys(AtomicU64);

impl Keys {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Comes again and again until the time has come.
pub fn come(
    public: &Public,
    keys: &Keys,
    course: &Arc<Course>,
    mut chance: StdRng,
    until: Instant,
) -> Vec<Visit> {
    let mut visits = Vec::new();
    while Instant::now() < until {
        visits.push(one(public, keys, course, &mut chance));
        let rest = chance.random_range(REST.0..REST.1);
        thread::sleep(Duration::from_millis(rest));
    }
    visits
}

fn one(public: &Public, keys: &Keys, course: &Arc<Course>, chance: &mut StdRng) -> Visit {
    let from = Instant::now();
    let mut purpose = Purpose::by_chance(chance);
    if purpose == Purpose::HalfClose && public.chronicle.are_ours(from, from) != [true; 2] {
        purpose = Purpose::Small; // V2Ray knows no half-close
    }
    let (upload, download) = purpose.size(chance);
    let order = Order {
        key: keys.next(),
        upload,
        download,
    };
    let ending = match purpose {
        Purpose::Datagrams => datagrams::exchange(&public.datagrams, order.key, course),
        _ => {
            let manner = purpose.manner(chance);
            visit(&public.streams, order, manner, course, PATIENCE)
        }
    };
    Visit {
        order,
        purpose,
        from,
        until: Instant::now(),
        ending,
    }
}
