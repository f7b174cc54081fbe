//! One of two bridges freezes.

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
};

/// How long the visitors of the second figure stay.
const STAY: Duration = Duration::from_secs(2);

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

/// Both figures at the same time, for they take long and load nothing.
pub fn measure(scene: &Scene) -> Vec<Figure> {
    thread::scope(|threads| {
        let staying = threads.spawn(|| staying(scene));
        let figures = vec![short(scene), staying.join().expect("figure")];
        figures
    })
}

fn short(scene: &Scene) -> Figure {
    figure(
        scene,
        "one of two bridges frozen (SIGSTOP), a request every 50 ms",
        "all served after 10 s; during the first 10 s at most one in ten fails",
        Duration::ZERO,
    )
}

/// With visitors that stay, a balance of open sessions gives the frozen bridge
/// its share of those that come.
fn staying(scene: &Scene) -> Figure {
    let mut figure = figure(
        scene,
        "the same, and each visitor stays for 2 s and asks again",
        "none, to compare",
        STAY,
    );
    for reading in figure.cells.iter_mut().flat_map(|cell| &mut cell.reading) {
        reading.met = None;
    }
    figure
}

fn figure(scene: &Scene, what: &str, target: &'static str, stay: Duration) -> Figure {
    let all = scene.together(what, &pairing::ALONE, |stage| freeze(stage, stay));
    Figure {
        what: what.to_owned(),
        target,
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }
}

/// The bridge that came first is the one that V2Ray prefers.
fn freeze(stage: &Stage, stay: Duration) -> Result<Freeze, Failure> {
    let mut rig = Rig::start(stage, &[])?;
    rig.add_bridge()?;
    let requests = Requests::start(rig.echo_door(), stay);
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
