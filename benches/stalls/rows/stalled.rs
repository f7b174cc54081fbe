//! A bulk download, and beside it readers that never read.

use std::time::Duration;

use crate::{
    bulk::Bulk,
    figure::{Figure, Reading},
    pairing::{self, Pairing},
    rig::Rig,
    scene::{Failure, Scene, Stage},
    service::Source,
    spread::Spread,
    support::client::{self, Entry},
    visitor::Stalled,
};

/// Share of its speed that the bulk has to keep.
pub const KEPT: f64 = 0.9;

/// How long those that never read may take until nothing flows to them.
pub const SETTLING: Duration = Duration::from_secs(2);

/// What a newcomer's visit may take.
const NEWCOMER: Duration = Duration::from_millis(500);

/// A download's rates, before others stall and while they do.
pub struct Rates {
    alone: f64,
    beside: f64,
    carriers: usize,
    /// Whether a visitor who comes while they stall is served.
    newcomer: bool,
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
pub fn rates(stage: &Stage, unread: &Source, readers: usize) -> Result<Rates, Failure> {
    let wanted = Source::endless();
    let rig = Rig::start(stage, &[wanted.address(), unread.address()])?;
    let bulk = Bulk::download(rig.door(wanted.address()))?;
    let alone = bulk.rate(stage.scale.window);
    let _stalled = Stalled::enter(rig.door(unread.address()), readers)?;
    unread.settle(readers, SETTLING);
    Ok(Rates {
        alone,
        beside: bulk.rate(stage.scale.window),
        carriers: rig.carriers(),
        newcomer: client::visit(&Entry::Door(rig.echo_door()), 1, NEWCOMER).is_ok(),
    })
}

pub fn read(samples: &[Rates]) -> Reading {
    let alone = Spread::of(samples.iter().map(|rates| rates.alone));
    let beside = Spread::of(samples.iter().map(|rates| rates.beside));
    let ratio = Spread::of(samples.iter().map(|rates| rates.beside / rates.alone));
    let carriers = samples.iter().map(|rates| rates.carriers).max();
    let carriers = carriers.unwrap_or_default();
    let served = samples.iter().filter(|rates| rates.newcomer).count();
    let rounds = samples.len();
    Reading::new(format!(
        "{alone:.0} MB/s, beside them {beside:.0} MB/s: ratio {ratio} on {carriers} carrier(s); \
         newcomer served {served} of {rounds}"
    ))
    .value("alone_mb_per_s", alone.median)
    .value("beside_mb_per_s", beside.median)
    .value("ratio", ratio.median)
    .value("newcomers_served", served as f64 / rounds as f64)
    .met(ratio.median >= KEPT)
}
