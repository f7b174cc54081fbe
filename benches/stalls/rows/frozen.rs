//! One of two bridges freezes.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    figure::{Figure, Reading},
    pairing,
    requests::{Request, Requests},
    rig::{Rig, Wiring},
    scene::{Failure, Scene, Stage},
    support,
};

/// How long the second bridge may take until its carrier is there.
const BOTH_OPEN: Duration = Duration::from_secs(10);

/// Requests before, to see that all is well.
const CALM: Duration = Duration::from_secs(1);

/// Share of the early requests that has to be served.
const EARLY: f64 = 0.9;

/// Of the requests that started in a stretch of time, how many were served.
#[derive(Clone, Copy)]
struct Share {
    made: usize,
    served: usize,
    stretch: Duration,
}

impl Share {
    fn of(requests: &[Request], from: Instant, stretch: Duration) -> Self {
        let within =
            |request: &&Request| request.started >= from && request.started < from + stretch;
        let made: Vec<&Request> = requests.iter().filter(within).collect();
        Self {
            made: made.len(),
            served: made.iter().filter(|request| request.served).count(),
            stretch,
        }
    }

    fn value(&self) -> f64 {
        self.served as f64 / self.made as f64
    }
}

struct Freeze {
    early: Share,
    late: Share,
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    let what = "one of two bridges frozen (SIGSTOP), a request every 50 ms";
    let all = scene.together(what, &pairing::ALONE, freeze);
    vec![Figure {
        what: what.to_owned(),
        target: "all served after 10 s; during the first 10 s at most one in ten fails",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }]
}

fn freeze(stage: &Stage) -> Result<Freeze, Failure> {
    let wiring = Wiring {
        more_bridges: 1,
        ..Wiring::default()
    };
    let mut rig = Rig::wired(stage, &[], wiring)?;
    support::eventually(Instant::now() + BOTH_OPEN, || {
        if rig.carriers() < 2 {
            Err("a bridge does not come")
        } else {
            Ok(())
        }
    })?;
    let requests = Requests::start(rig.echo_door());
    thread::sleep(CALM);
    let frozen = Instant::now();
    rig.far()[0].freeze();
    let (early, late) = stage.scale.frozen;
    thread::sleep(early + late);
    let requests = requests.finish();
    Ok(Freeze {
        early: Share::of(&requests, frozen, early),
        late: Share::of(&requests, frozen + early, late),
    })
}

fn read(samples: &[Freeze]) -> Reading {
    let Some(Freeze { early, late }) = samples.first() else {
        return Reading::default();
    };
    Reading::new(format!("first {}; then {}", words(early), words(late)))
        .value("served_early", early.value())
        .value("served_late", late.value())
        .met(early.value() >= EARLY && late.served == late.made)
}

fn words(share: &Share) -> String {
    format!(
        "{} s: {} of {} served ({:.1} %)",
        share.stretch.as_secs(),
        share.served,
        share.made,
        share.value() * 100.0
    )
}
