//! A long and fast path between the programs.

use std::{net::SocketAddr, thread, time::Duration};

use crate::{
    common::{
        bulk::Bulk,
        failure::Failure,
        ping::Pinger,
        service::{Sink, Source},
        spread::{Spread, percentile},
    },
    figure::{Figure, Reading},
    pairing,
    rig::Rig,
    scene::{Scene, Stage},
    support::slow_link::{Profile, SlowLink},
};

const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Bytes per second.
const RATE: u64 = 125_000_000;

/// Share of a bare connection's rate that the bulk has to reach.
const REACHED: f64 = 0.95;

/// Bound of a ping beside the bulk, in milliseconds.
const PING: f64 = 75.0;

#[derive(Clone, Copy)]
enum Way {
    Down,
    Up,
}

/// In milliseconds and 10^6 bytes per second.
struct Sample {
    rate: f64,
    /// Of a bare connection over a link of the same kind, in the same round.
    bare: f64,
    ping: f64,
    slow_ping: f64,
}

pub fn measure(scene: &Scene) -> Vec<Figure> {
    [
        figure(scene, "download", Way::Down),
        figure(scene, "upload", Way::Up),
    ]
    .into()
}

fn figure(scene: &Scene, name: &str, way: Way) -> Figure {
    let what = format!("50 ms round trip, 125 MB/s: {name} and pings beside it");
    let rounds = scene.scale.slow_rounds;
    let all = scene.compare(&what, &pairing::ALONE, rounds, |stage| sample(stage, way));
    Figure {
        what,
        target: "at least 0.95 of a bare connection; ping under 75 ms",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }
}

fn sample(stage: &Stage, way: Way) -> Result<Sample, Failure> {
    let (source, sink) = (Source::endless(), Sink::start());
    let bare = bare(stage, way, &source, &sink)?;
    let rig = Rig::over_link(stage, &[source.address(), sink.address()], profile())?;
    let mut pinger = Pinger::enter(rig.echo_door())?;
    let door = |target| rig.door(target);
    let bulk = begin(
        stage,
        way,
        door(source.address()),
        door(sink.address()),
        &sink,
    )?;
    let (rate, pings) = pinger.beside(&bulk, stage.scale.pinging)?;
    Ok(Sample {
        rate,
        bare,
        ping: percentile(&pings, 0.5),
        slow_ping: percentile(&pings, 0.99),
    })
}

fn bare(stage: &Stage, way: Way, source: &Source, sink: &Sink) -> Result<f64, Failure> {
    let to_source = SlowLink::start(profile(), source.address());
    let to_sink = SlowLink::start(profile(), sink.address());
    let bulk = begin(stage, way, to_source.address(), to_sink.address(), sink)?;
    Ok(bulk.rate(stage.scale.window))
}

/// A transfer that has opened its windows.
fn begin(
    stage: &Stage,
    way: Way,
    source_door: SocketAddr,
    sink_door: SocketAddr,
    sink: &Sink,
) -> Result<Bulk, Failure> {
    let bulk = match way {
        Way::Down => Bulk::download(source_door),
        Way::Up => Bulk::upload(sink_door, sink.arrived()),
    }?;
    thread::sleep(stage.scale.slow_start);
    Ok(bulk)
}

fn profile() -> Profile {
    Profile::new(ROUND_TRIP, RATE)
}

fn read(samples: &[Sample]) -> Reading {
    let of = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value));
    let bare = of(|sample| sample.bare);
    let rate = of(|sample| sample.rate);
    let ratio = of(|sample| sample.rate / sample.bare);
    let ping = of(|sample| sample.ping);
    let slow_ping = of(|sample| sample.slow_ping);
    Reading::new(format!(
        "{rate:.0} MB/s, bare {bare:.0}: ratio {ratio}; ping {ping:.0} ms, p99 {slow_ping:.0} ms"
    ))
    .value("mb_per_s", rate.median)
    .value("bare_mb_per_s", bare.median)
    .value("ratio", ratio.median)
    .value("ping_p50_ms", ping.median)
    .value("ping_p99_ms", slow_ping.median)
    .met(ratio.median >= REACHED && ping.median < PING)
}
