//! Everything at once for a set time: visitors who come and go with small
//! streams, bulk, datagrams, half-closes, stalls and aborts, over two reverse
//! tunnels whose carriers fail and whose programs are killed, replaced (by V2Ray
//! for part of the time), frozen and paused.
//!
//! `cargo bench --bench soak -- --minutes 10` checks every byte by keyed
//! sequences and prints what was done, what was seen that should not have been,
//! and what the programs that lasted used before and after. It fails if there was
//! an error, or if something grew. `-- --help` tells the options.

#![cfg(target_os = "linux")]

mod arguments;
mod chronicle;
#[path = "../common/mod.rs"]
mod common;
mod datagrams;
mod injector;
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tunnel;
mod usage;
mod verdict;
mod visitors;

use std::{
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

use arguments::Arguments;
use common::failure::{Failure, attempt};
use injector::Counts;
use report::Report;
use support::{
    streams::{Course, Pace, Service},
    target::{TcpTarget, UdpEcho},
};
use tunnel::{Lasting, Targets, Tunnel};
use usage::Usage;
use verdict::Verdict;
use visitors::{Keys, PATIENCE, Visit};

/// Visitors of each tunnel at the same time.
const VISITORS: u64 = 24;

/// How long visitors come before the programs' use is taken for the first time.
const WARMING: Duration = Duration::from_secs(10);

/// The same of a short run, and how long its programs have to come to rest: too
/// short for that, so that their use is not judged.
const QUICK: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let seed = arguments.seed();
    println!("seed {seed}");
    match attempt(|| soak(&arguments, seed)) {
        Ok(report) => {
            print!("{report}");
            report.exit_code()
        }
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What is common to both tunnels.
struct Scene {
    keys: Keys,
    course: Arc<Course>,
    datagrams: UdpEcho,
    echo: TcpTarget,
    seed: u64,
}

/// What came of one tunnel.
pub struct Outcome {
    pub lasting: Lasting,
    /// Whether its use was taken at rest, so that it may not have grown.
    pub at_rest: bool,
    pub faults: Counts,
    pub before: Usage,
    pub after: Usage,
}

fn soak(arguments: &Arguments, seed: u64) -> Result<Report, Failure> {
    let start = Instant::now();
    let course = Course {
        pace: Some(Pace::new(arguments.rate())),
        ..Course::default()
    };
    let scene = Scene {
        keys: Keys::default(),
        course: Arc::new(course),
        datagrams: UdpEcho::start(),
        echo: TcpTarget::echo(),
        seed,
    };
    let time = arguments.time();
    let tunnels: Vec<_> = thread::scope(|threads| {
        let runs = [Lasting::Portal, Lasting::Bridge].map(|lasting| {
            let scene = &scene;
            threads.spawn(move || attempt(|| soak_one(scene, lasting, time)))
        });
        runs.map(|run| run.join().expect("failures are caught"))
            .into()
    });
    let mut report = Report::default();
    for tunnel in tunnels {
        let (outcome, verdict) = tunnel?;
        report.add(outcome, verdict);
    }
    report.time = start.elapsed();
    report.verified = scene
        .course
        .verified
        .load(std::sync::atomic::Ordering::Relaxed);
    Ok(report)
}

fn soak_one(
    scene: &Scene,
    lasting: Lasting,
    time: Duration,
) -> Result<(Outcome, Verdict), Failure> {
    let service = Service::start(&scene.course, PATIENCE);
    let targets = Targets {
        streams: service.address(),
        datagrams: scene.datagrams.address(),
        echo: scene.echo.address(),
    };
    let mut tunnel = Tunnel::start(lasting, targets)?;
    let (warming, rest) = match time < WARMING * 3 {
        true => (QUICK, QUICK),
        false => (WARMING, usage::REST),
    };
    let (mut visits, _) = busy(scene, &mut tunnel, warming, false)?;
    let before = Usage::after(rest, tunnel.lasting());
    let (more, faults) = busy(scene, &mut tunnel, time, true)?;
    visits.extend(more);
    service.settle(PATIENCE * 2)?;
    let after = Usage::after(rest, tunnel.lasting());
    let mut verdict = Verdict::default();
    verdict.add(&tunnel.public.chronicle, &visits, &service.take_endings());
    tunnel.finish();
    let outcome = Outcome {
        lasting,
        at_rest: rest == usage::REST,
        faults,
        before,
        after,
    };
    Ok((outcome, verdict))
}

/// Lets visitors come, and things happen if so wished.
fn busy(
    scene: &Scene,
    tunnel: &mut Tunnel,
    time: Duration,
    faults: bool,
) -> Result<(Vec<Visit>, Counts), Failure> {
    let until = Instant::now() + time;
    let public = Arc::clone(&tunnel.public);
    let chance = |number| {
        let of_tunnel = u64::from(tunnel.lasting == Lasting::Bridge);
        StdRng::seed_from_u64(scene.seed ^ (number << 1 | of_tunnel) ^ (u64::from(faults) << 32))
    };
    let (visitors, events): (Vec<StdRng>, _) = ((1..=VISITORS).map(chance).collect(), chance(0));
    thread::scope(|threads| {
        let visitors: Vec<_> = visitors
            .into_iter()
            .map(|chance| {
                let public = &public;
                threads.spawn(|| visitors::come(public, &scene.keys, &scene.course, chance, until))
            })
            .collect();
        let counts = match faults {
            true => injector::run(tunnel, events, until),
            false => Ok(Counts::new()),
        };
        let visits = visitors
            .into_iter()
            .flat_map(|v| v.join().expect("visitor"));
        let visits = visits.collect();
        Ok((visits, counts?))
    })
}
