//! The same towards a bridge of V2Ray's, which cannot be held back for one
//! visitor alone.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::stalled::{self, SETTLING};
use crate::{
    common::{bulk::Bulk, failure::Failure, service::Source},
    figure::{Figure, Reading},
    pairing::Pairing,
    rig::Rig,
    scene::{Scene, Stage},
    support::program::Kind::{Muxcool, V2ray},
    visitor::Stalled,
};

/// Those that never read.
const READERS: usize = 8;

/// Bytes of an answer that is not endless.
const ANSWER: u64 = 1_000_000;

/// Share of its speed at which the bulk counts as back.
const BACK: f64 = 0.5;

/// The bound of the target.
const BACK_WITHIN: f64 = 35.0;

/// Over which a rate is taken while waiting.
const STEP: Duration = Duration::from_millis(500);

const PAIRINGS: [Pairing; 2] = [
    Pairing::reverse(Muxcool, V2ray),
    Pairing::reverse(V2ray, V2ray),
];

pub fn measure(scene: &Scene) -> Vec<Figure> {
    vec![short_answers(scene), endless_answers(scene)]
}

fn short_answers(scene: &Scene) -> Figure {
    let what = format!("V2Ray as bridge, {READERS} visitors that never read their 1 MB answers");
    let measure = |stage: &Stage| stalled::rates(stage, &Source::of(ANSWER), READERS);
    let all = scene.compare(&what, &PAIRINGS, scene.scale.rounds, measure);
    Figure {
        what,
        target: "bulk keeps 0.9",
        cells: all
            .iter()
            .map(|series| series.cell(stalled::read))
            .collect(),
    }
}

fn endless_answers(scene: &Scene) -> Figure {
    let what = format!("V2Ray as bridge, {READERS} visitors that never read endless answers");
    let all = scene.compare(&what, &PAIRINGS, 1, recovery);
    Figure {
        what,
        target: "bulk is back within 35 s and the eight are ended",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }
}

/// What became of the bulk and of those that never read.
#[derive(Default)]
struct Recovery {
    alone: f64,
    /// Lowest rate seen, and the last.
    lowest: f64,
    last: f64,
    /// When the bulk was back after it had stopped; 0 if it never did.
    back_after: Option<Duration>,
    /// Of those that never read: gone at the target, and given up at last
    /// where they came in.
    gone: usize,
    all_gone_after: Option<Duration>,
    given_up: usize,
    watched: Duration,
}

impl Recovery {
    fn is_complete(&self) -> bool {
        self.back_after.is_some() && self.all_gone_after.is_some()
    }
}

fn recovery(stage: &Stage) -> Result<Recovery, Failure> {
    let (wanted, unread) = (Source::endless(), Source::endless());
    let rig = Rig::start(stage, &[wanted.address(), unread.address()])?;
    let bulk = Bulk::download(rig.door(wanted.address()))?;
    let alone = bulk.rate(stage.scale.window);
    let start = Instant::now();
    let stalled = Stalled::enter(rig.door(unread.address()), READERS)?;
    unread.settle(READERS, SETTLING);

    let mut seen = Recovery {
        alone,
        lowest: alone,
        ..Recovery::default()
    };
    let patience = patience(stage);
    while !seen.is_complete() && start.elapsed() < patience {
        look(&mut seen, start, &bulk, &unread);
    }
    seen.given_up = stalled.given_up();
    Ok(seen)
}

/// V2Ray never recovers, so it is not given the time to.
fn patience(stage: &Stage) -> Duration {
    if stage.pairing.is_judged() {
        stage.scale.recovery
    } else {
        stage.scale.hopeless
    }
}

fn look(seen: &mut Recovery, start: Instant, bulk: &Bulk, unread: &Source) {
    let before = start.elapsed();
    seen.last = if seen.back_after.is_none() {
        bulk.rate(STEP)
    } else {
        thread::sleep(STEP);
        seen.last
    };
    seen.lowest = seen.lowest.min(seen.last);
    if seen.back_after.is_none() && seen.last >= BACK * seen.alone {
        seen.back_after = Some(before);
    }
    seen.gone = READERS.saturating_sub(unread.open());
    seen.watched = start.elapsed();
    if seen.all_gone_after.is_none() && seen.gone == READERS {
        seen.all_gone_after = Some(seen.watched);
    }
}

fn read(samples: &[Recovery]) -> Reading {
    let Some(seen) = samples.first() else {
        return Reading::default();
    };
    let text = format!(
        "{:.0} MB/s, then {:.0} MB/s; {}; of the eight {} gone at the target{}, {} at the portal",
        seen.alone,
        seen.lowest,
        back_in_words(seen),
        seen.gone,
        gone_in_words(seen),
        seen.given_up,
    );
    let within = |time: Option<Duration>| time.is_some_and(|t| t.as_secs_f64() <= BACK_WITHIN);
    Reading::new(text)
        .value("alone_mb_per_s", seen.alone)
        .value("lowest_mb_per_s", seen.lowest)
        .value("back_after_s", seconds(seen.back_after))
        .value("all_gone_after_s", seconds(seen.all_gone_after))
        .value("gone_at_target", seen.gone as f64)
        .value("gone_at_portal", seen.given_up as f64)
        .met(within(seen.back_after) && seen.gone.min(seen.given_up) == READERS)
}

fn back_in_words(seen: &Recovery) -> String {
    match seen.back_after {
        Some(time) => format!("back at {:.0} after {:.1} s", seen.last, time.as_secs_f64()),
        None => format!("not back after {:.0} s", seen.watched.as_secs_f64()),
    }
}

fn gone_in_words(seen: &Recovery) -> String {
    match seen.all_gone_after {
        Some(time) => format!(" after {:.1} s", time.as_secs_f64()),
        None => String::new(),
    }
}

/// Not a number when it never happened.
fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}
