//! A bulk download, and beside it readers that never read.

use std::time::Duration;

use crate::{
    common::{bulk::Bulk, failure::Failure, service::Source, spread::Spread},
    figure::{Figure, Reading},
    pairing::{self, Pairing},
    rig::Rig,
    scene::{Scene, Stage},
    support::client::{self, Entry},
    visitor::Stalled,
};

/// Share of its speed that the bulk has to keep.
pub const KEPT: f64 = 0.9;

/// How long those that never read may take until nothing flows to them.
pub const SETTLING: Duration = Duration::from_secs(2);

/// What a newcomer's visit may take.
const NEWCOMER: Duration = Duration::from_millis(500);

/// A bulk that keeps less of its speed counts as stopped, and is not expected
/// to recover when the others leave.
const STOPPED: f64 = 0.05;

/// What one tunnel gave.
pub struct Sample {
    turns: Vec<Turn>,
    carriers: usize,
    /// Whether a visitor who comes while others stall is served.
    newcomer: bool,
}

/// The bulk's rates before others stall and while they do, taken closely one
/// after the other, as the machine's speed varies.
struct Turn {
    alone: Rate,
    beside: Rate,
}

impl Turn {
    fn ratio(&self) -> f64 {
        self.beside.per_second / self.alone.per_second
    }

    /// What is left of the ratio when others take less or more of the
    /// processors: 1 where the stalled cost no work.
    fn ratio_of_work(&self) -> f64 {
        self.beside.per_tick / self.alone.per_tick
    }
}

struct Rate {
    /// In 10^6 bytes.
    per_second: f64,
    /// Of processor time; the unit does not matter.
    per_tick: f64,
}

impl Rate {
    fn of(bulk: &Bulk, rig: &Rig, window: Duration) -> Self {
        let (bytes, ticks) = (bulk.arrived(), rig.processor_time());
        let per_second = bulk.rate(window);
        let bytes = (bulk.arrived() - bytes) as f64;
        Self {
            per_second,
            per_tick: bytes / (rig.processor_time() - ticks).max(1.0),
        }
    }
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    vec![
        figure(scene, "reverse", &pairing::ALONE, 1),
        figure(scene, "reverse", &pairing::ALONE, 8),
        figure(scene, "forward", &pairing::ALONE_FORWARD, 8),
    ]
}

fn figure(scene: &Scene, shape: &str, pairings: &[Pairing], readers: usize) -> Figure {
    let what = format!("bulk download beside {readers} that never read, on one carrier, {shape}");
    let rounds = scene.scale.rounds;
    let measure = |stage: &Stage| rates(stage, &Source::endless(), readers);
    let all = scene.compare(&what, pairings, rounds, measure);
    Figure {
        what,
        target: "at least 0.9 of the speed without them",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }
}

/// The bulk comes first, lest it be given another carrier than the others.
pub fn rates(stage: &Stage, unread: &Source, readers: usize) -> Result<Sample, Failure> {
    let wanted = Source::endless();
    let rig = Rig::start(stage, &[wanted.address(), unread.address()])?;
    let bulk = Bulk::download(rig.door(wanted.address()))?;
    let mut sample = Sample {
        turns: Vec::new(),
        carriers: 0,
        newcomer: true,
    };
    while sample.turns.len() < stage.scale.turns && !sample.has_stopped() {
        unread.empty(SETTLING);
        let alone = Rate::of(&bulk, &rig, stage.scale.window);
        let _stalled = Stalled::enter(rig.door(unread.address()), readers)?;
        unread.settle(readers, SETTLING);
        let beside = Rate::of(&bulk, &rig, stage.scale.window);
        sample.turns.push(Turn { alone, beside });
        sample.carriers = rig.carriers();
        sample.newcomer &= serves_newcomer(&rig);
    }
    Ok(sample)
}

impl Sample {
    fn has_stopped(&self) -> bool {
        let last = self.turns.last();
        last.is_some_and(|turn| turn.ratio() < STOPPED)
    }
}

fn serves_newcomer(rig: &Rig) -> bool {
    client::visit(&Entry::Door(rig.echo_door()), 1, NEWCOMER).is_ok()
}

pub fn read(samples: &[Sample]) -> Reading {
    let of = |value: fn(&Turn) -> f64| {
        let turns = samples.iter().flat_map(|sample| &sample.turns);
        Spread::of(turns.map(value))
    };
    let alone = of(|turn| turn.alone.per_second);
    let beside = of(|turn| turn.beside.per_second);
    let ratio = of(Turn::ratio);
    let work = of(Turn::ratio_of_work);
    let carriers = samples.iter().map(|sample| sample.carriers).max();
    let carriers = carriers.unwrap_or_default();
    let served = samples.iter().filter(|sample| sample.newcomer).count();
    let rounds = samples.len();
    Reading::new(format!(
        "{alone:.0} MB/s, beside them {beside:.0} MB/s: ratio {ratio}, per processor \
         time {work}, on {carriers} carrier(s); \
         newcomer served {served} of {rounds}"
    ))
    .value("alone_mb_per_s", alone.median)
    .value("beside_mb_per_s", beside.median)
    .value("ratio", ratio.median)
    .value("ratio_per_processor_time", work.median)
    .value("newcomers_served", served as f64 / rounds as f64)
    .met(ratio.median >= KEPT)
}
