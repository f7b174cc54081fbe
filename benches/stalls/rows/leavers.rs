//! Visitors that leave in the middle of their downloads.

use std::{thread, time::Duration};

use crate::{
    common::{failure::Failure, service::Source, spread::Spread},
    figure::{Figure, Reading},
    pairing::{self, Pairing},
    rig::Rig,
    scene::{Scene, Stage},
    visitor,
};

const VISITORS: usize = 10;

/// What each reads before it leaves, in bytes.
const READ: u64 = 64 * 1024;

/// When the target is asked.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(2);

/// Connections that the target still serves.
struct Left {
    soon: usize,
    later: usize,
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    [
        figure(scene, "reverse", &pairing::ALONE),
        figure(scene, "forward", &pairing::ALONE_FORWARD),
    ]
    .into()
}

fn figure(scene: &Scene, name: &str, pairings: &[Pairing]) -> Figure {
    let what = format!("{VISITORS} visitors leave in the middle of a download, {name}");
    let all = scene.compare(&what, pairings, scene.scale.slow_rounds, left);
    Figure {
        what,
        target: "0 connections at the target after 1 s",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }
}

fn left(stage: &Stage) -> Result<Left, Failure> {
    let source = Source::endless();
    let rig = Rig::start(stage, &[source.address()])?;
    visitor::come_and_go(rig.door(source.address()), VISITORS, READ)
        .map_err(|error| format!("before they leave: {error}"))?;
    thread::sleep(SOON);
    let soon = source.open();
    thread::sleep(LATER - SOON);
    Ok(Left {
        soon,
        later: source.open(),
    })
}

fn read(samples: &[Left]) -> Reading {
    let soon = Spread::of(samples.iter().map(|left| left.soon as f64));
    let later = Spread::of(samples.iter().map(|left| left.later as f64));
    Reading::new(format!("{soon:.0} after 1 s, {later:.0} after 2 s"))
        .value("left_after_1_s", soon.median)
        .value("left_after_2_s", later.median)
        .met(samples.iter().all(|left| left.soon == 0))
}
