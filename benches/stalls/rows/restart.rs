//! The bridge is killed and started anew.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::failure::Failure,
    figure::{Figure, Reading},
    pairing,
    requests::{Request, Requests},
    rig::Rig,
    scene::{Scene, Stage},
    support,
};

/// Requests before, to see that all is well, and after it is again.
const CALM: Duration = Duration::from_secs(1);

/// The bound of the target.
const SERVED_WITHIN: f64 = 2.0;

struct Restart {
    /// From the kill to the end of the first request that was served of those
    /// that started later.
    served_after: Option<Duration>,
    failed_before: usize,
    failed_until_then: usize,
    failed_later: usize,
    watched: Duration,
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    let what = "bridge killed -9 and restarted, a request every 50 ms";
    let all = scene.together(what, &pairing::ALONE, restart);
    vec![Figure {
        what: what.to_owned(),
        target: "next request served in under 2 s",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }]
}

fn restart(stage: &Stage) -> Result<Restart, Failure> {
    let mut rig = Rig::start(stage, &[])?;
    let requests = Requests::start(rig.echo_door(), Duration::ZERO);
    thread::sleep(CALM);
    rig.note_peaks();
    let killed = Instant::now();
    rig.far()[0].restart();
    let _ = support::eventually(killed + stage.scale.restart, || {
        first_served(&requests.so_far(), killed).ok_or(())
    });
    let watched = killed.elapsed();
    thread::sleep(CALM);
    Ok(judge(&requests.finish(), killed, watched))
}

fn judge(requests: &[Request], killed: Instant, watched: Duration) -> Restart {
    let served = first_served(requests, killed);
    let failed = |wanted: &dyn Fn(Instant) -> bool| {
        let failed = requests.iter().filter(|request| !request.served);
        failed.filter(|request| wanted(request.ended)).count()
    };
    let again = served.unwrap_or_else(|| killed + watched);
    Restart {
        served_after: served.map(|served| served - killed),
        failed_before: failed(&|ended| ended < killed),
        failed_until_then: failed(&|ended| ended >= killed && ended < again),
        failed_later: failed(&|ended| ended >= again),
        watched,
    }
}

fn first_served(requests: &[Request], since: Instant) -> Option<Instant> {
    let later = requests.iter().filter(|request| request.started >= since);
    let served = later.filter(|request| request.served);
    served.map(|request| request.ended).min()
}

fn read(samples: &[Restart]) -> Reading {
    let Some(seen) = samples.first() else {
        return Reading::default();
    };
    let when = match seen.served_after {
        Some(time) => format!("served after {:.2} s", time.as_secs_f64()),
        None => format!("none served in {:.0} s", seen.watched.as_secs_f64()),
    };
    let seconds = seen
        .served_after
        .map_or(f64::NAN, |time| time.as_secs_f64());
    Reading::new(format!(
        "{when}; failed: {} before the kill, {} until then, {} later",
        seen.failed_before, seen.failed_until_then, seen.failed_later
    ))
    .value("served_after_s", seconds)
    .value("failed_until_then", seen.failed_until_then as f64)
    .value("failed_later", seen.failed_later as f64)
    .met(seconds < SERVED_WITHIN)
}
