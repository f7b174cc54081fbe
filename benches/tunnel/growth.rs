//! What a stream and a gigabyte cost, from few streams to thousands.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        failure::{self, Failure},
        ping::Pinger,
        spread::{Spread, percentile},
    },
    extent::Extent,
    load::{crowd::Order, flood::Flood, visitors::Visitors},
    peer::Peer,
    scene::Scene,
    tunnel::Tunnel,
    usage,
};

/// The relays show how much of it the system makes.
const PEERS: [Peer; 3] = [Peer::Muxcool, Peer::V2ray, Peer::Relays];

/// So many streams through one portal and bridge, each of which brings one
/// answer after the other.
pub struct Step {
    pub streams: usize,
    pub peer: Peer,
    pub rounds: Result<Vec<Sample>, String>,
}

/// What one tunnel cost; both processes together.
pub struct Sample {
    /// 10^6 bytes per second of all streams.
    pub rate: f64,
    /// Seconds of processor time for 10^9 bytes.
    pub processor: f64,
    /// Milliseconds of a ping beside it all, in the middle.
    pub ping: f64,
    /// KiB for each stream while all are idle, without what the empty tunnel
    /// takes.
    pub idle: f64,
    /// The same while all flow.
    pub busy: f64,
    /// Threads for each stream, without those of the empty tunnel.
    pub threads: f64,
}

impl Sample {
    pub fn values(&self) -> [(&'static str, f64); 6] {
        [
            ("mb_per_s", self.rate),
            ("processor_s_per_gb", self.processor),
            ("ping_p50_ms", self.ping),
            ("idle_kib_per_stream", self.idle),
            ("busy_kib_per_stream", self.busy),
            ("threads_per_stream", self.threads),
        ]
    }
}

impl Step {
    pub fn is_whole(&self) -> bool {
        self.rounds.is_ok()
    }

    /// Median of a quantity, if it was taken.
    pub fn median(&self, of: fn(&Sample) -> f64) -> Option<f64> {
        let rounds = self.rounds.as_ref().ok()?;
        Some(Spread::of(rounds.iter().map(of)).median)
    }
}

const COLUMNS: [&str; 8] = [
    "streams",
    "program",
    "MB/s",
    "processor s/GB",
    "ping p50 ms",
    "idle KiB/stream",
    "busy KiB/stream",
    "threads/stream",
];

/// All steps of the first peer in front.
pub fn measure(scene: &Scene) -> Vec<Step> {
    let peers = PEERS.iter().filter(|peer| scene.peers.contains(peer));
    let empty = |peer: &Peer, streams: &usize| Step {
        streams: *streams,
        peer: *peer,
        rounds: Ok(Vec::new()),
    };
    let of = |peer| {
        scene
            .extent
            .streams
            .iter()
            .map(move |streams| empty(peer, streams))
    };
    let mut steps: Vec<Step> = peers.flat_map(of).collect();
    for round in 1..=scene.extent.rounds {
        for step in &mut steps {
            take(scene, step, round);
        }
    }
    steps
}

/// A table in Markdown.
pub fn print(steps: &[Step]) {
    println!();
    println!("| {} |", COLUMNS.join(" | "));
    println!("|---:|---|{}", "---:|".repeat(COLUMNS.len() - 2));
    for step in steps {
        println!("| {} | {} | {} |", step.streams, step.peer, cells(step));
    }
    println!();
}

fn cells(step: &Step) -> String {
    if let Err(why) = &step.rounds {
        return format!("failed: {why} | | | | |");
    }
    let cell = |of, digits: usize| {
        let median = step.median(of).unwrap_or(f64::NAN);
        format!("{median:.digits$}")
    };
    [
        cell(|sample| sample.rate, 0),
        cell(|sample| sample.processor, 2),
        cell(|sample| sample.ping, 1),
        cell(|sample| sample.idle, 0),
        cell(|sample| sample.busy, 0),
        cell(|sample| sample.threads, 1),
    ]
    .join(" | ")
}

/// One round, unless an earlier one has failed.
fn take(scene: &Scene, step: &mut Step, round: usize) {
    let Ok(rounds) = &mut step.rounds else { return };
    let taken = failure::attempt(|| sample(step.peer, step.streams, &scene.extent));
    let outcome = match &taken {
        Ok(sample) => format!("{:.0} MB/s", sample.rate),
        Err(why) => format!("failed: {why}"),
    };
    scene.say(&format!(
        "{} streams, round {round} of {}: {} {outcome}",
        step.streams, scene.extent.rounds, step.peer
    ));
    match taken {
        Ok(sample) => rounds.push(sample),
        Err(why) => step.rounds = Err(why),
    }
}

fn sample(peer: Peer, streams: usize, extent: &Extent) -> Result<Sample, Failure> {
    let tunnel = Tunnel::start(peer, &[])?;
    let pids = tunnel.pids();
    let mut pinger = Pinger::enter(tunnel.crowd_door())?;
    let empty = Footprint::of(&pids);
    let visitors = Visitors::enter(tunnel.crowd_door(), streams)?;
    let idle = Footprint::of(&pids).share_since(&empty, streams);
    let flood = Flood::of(visitors, Order::Answer)?;
    thread::sleep(extent.warming);
    let flow = Flow::over(&flood, &pids, extent.flow);
    let busy = Footprint::of(&pids).share_since(&empty, streams);
    let pings = pinger.pings(extent.flow)?;
    flood.check()?;
    Ok(Sample {
        rate: flow.rate,
        processor: flow.processor,
        ping: percentile(&pings, 0.5),
        idle: idle.kibibytes,
        busy: busy.kibibytes,
        threads: idle.threads,
    })
}

struct Flow {
    rate: f64,
    processor: f64,
}

impl Flow {
    fn over(flood: &Flood, pids: &[u32], during: Duration) -> Self {
        let (start, bytes) = (Instant::now(), flood.arrived());
        let seconds = usage::processor_seconds(pids);
        thread::sleep(during);
        let megabytes = (flood.arrived() - bytes) as f64 / 1e6;
        let took = start.elapsed().as_secs_f64();
        let seconds = usage::processor_seconds(pids) - seconds;
        Self {
            rate: megabytes / took,
            processor: seconds / megabytes * 1e3,
        }
    }
}

struct Footprint {
    kibibytes: f64,
    threads: f64,
}

impl Footprint {
    fn of(pids: &[u32]) -> Self {
        Self {
            kibibytes: usage::resident_bytes(pids) / 1024.0,
            threads: usage::threads(pids),
        }
    }

    /// What has come since, for each stream.
    fn share_since(&self, before: &Self, streams: usize) -> Self {
        let share = |now: f64, before: f64| (now - before) / streams as f64;
        Self {
            kibibytes: share(self.kibibytes, before.kibibytes),
            threads: share(self.threads, before.threads),
        }
    }
}
