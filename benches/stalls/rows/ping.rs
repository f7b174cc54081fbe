//! Small exchanges beside a bulk download, on loopback.

use crate::{
    common::{
        bulk::Bulk,
        failure::Failure,
        ping::Pinger,
        service::Source,
        spread::{Spread, percentile},
    },
    figure::{Figure, Reading},
    pairing,
    rig::Rig,
    scene::{Scene, Series, Stage},
};

/// Share of V2Ray's slowest pings that ours may take.
const SHARE: f64 = 0.2;

/// Milliseconds, and 10^6 bytes per second.
struct Sample {
    idle: f64,
    median: f64,
    slow: f64,
    rate: f64,
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    let what = "64-byte ping beside a bulk download on loopback";
    let all = scene.compare(what, &pairing::ALONE, scene.scale.rounds, sample);
    let v2ray = all
        .iter()
        .find(|series| !series.pairing.is_judged())
        .and_then(Series::samples)
        .map(|samples| spread(samples, |sample| sample.slow).median);
    vec![Figure {
        what: what.to_owned(),
        target: "p99 at most a fifth of V2Ray's in the same run",
        cells: all
            .iter()
            .map(|series| series.cell(|samples| read(samples, v2ray)))
            .collect(),
    }]
}

fn sample(stage: &Stage) -> Result<Sample, Failure> {
    let source = Source::endless();
    let rig = Rig::start(stage, &[source.address()])?;
    let mut pinger = Pinger::enter(rig.echo_door())?;
    let idle = pinger.pings(stage.scale.window)?;
    let bulk = Bulk::download(rig.door(source.address()))?;
    let (rate, pings) = pinger.beside(&bulk, stage.scale.pinging)?;
    Ok(Sample {
        idle: percentile(&idle, 0.5),
        median: percentile(&pings, 0.5),
        slow: percentile(&pings, 0.99),
        rate,
    })
}

fn read(samples: &[Sample], v2ray_slow: Option<f64>) -> Reading {
    let idle = spread(samples, |sample| sample.idle);
    let median = spread(samples, |sample| sample.median);
    let slow = spread(samples, |sample| sample.slow);
    let rate = spread(samples, |sample| sample.rate);
    let share = v2ray_slow.map(|v2ray_slow| slow.median / v2ray_slow);
    let compared = match share {
        Some(share) => format!("{share:.2} of V2Ray's"),
        None => "nothing to compare with".to_owned(),
    };
    Reading::new(format!(
        "p50 {median} ms, p99 {slow} ms ({compared}); idle p50 {idle} ms; bulk {rate:.0} MB/s"
    ))
    .value("p50_ms", median.median)
    .value("p99_ms", slow.median)
    .value("p99_share_of_v2ray", share.unwrap_or(f64::NAN))
    .value("idle_p50_ms", idle.median)
    .value("mb_per_s", rate.median)
    .met(share.map(|share| share <= SHARE))
}

fn spread(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Spread {
    Spread::of(samples.iter().map(value))
}
