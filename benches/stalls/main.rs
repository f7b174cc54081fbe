//! Whether a stream waits for another: stalled readers, half-close, frozen and
//! restarted peers, delay under load, in muxcool and in V2Ray side by side.
//!
//! `cargo bench --bench stalls` runs whole programs, a fresh tunnel for each
//! figure, and prints each figure beside its target. `-- --help` tells the
//! options. Rates are in 10^6 bytes per second.
//!
//! Everything happens on loopback and competes for the same processors, the
//! load's source and sink included: ratios mean more than rates. What other
//! programs took of the processors meanwhile stands beside each row.

#![cfg(target_os = "linux")]

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod figure;
mod json;
mod pairing;
mod requests;
mod rig;
mod rows;
mod scale;
mod scene;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod visitor;

use std::{process::ExitCode, thread, time::Instant};

use arguments::Arguments;
use common::noise::Processors;
use figure::Row;
use rows::Plan;
use scene::Scene;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    run(&arguments)
}

fn run(arguments: &Arguments) -> ExitCode {
    let start = Instant::now();
    let scene = Scene::new(arguments.scale());
    let mut rows = Vec::new();
    for plans in arguments.rows().chunk_by(|a, b| a.is_light && b.is_light) {
        let taken = take_together(&scene, plans);
        taken.iter().for_each(table::print);
        rows.extend(taken);
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    match &arguments.json {
        Some(path) => report(json::write(path, &rows)),
        None => ExitCode::SUCCESS,
    }
}

fn take_together(scene: &Scene, plans: &[&'static Plan]) -> Vec<Row> {
    let before = Processors::now();
    let figures: Vec<_> = thread::scope(|threads| {
        let measure = |plan: &&'static Plan| {
            let measure = plan.measure;
            threads.spawn(move || measure(scene))
        };
        let running: Vec<_> = plans.iter().map(measure).collect();
        running.into_iter().map(|row| row.join()).collect()
    });
    let taken_by_others = before.taken_by_others();
    let rows = plans.iter().zip(figures).map(|(plan, figures)| Row {
        name: plan.name,
        figures: figures.expect("each figure keeps its failure to itself"),
        taken_by_others,
    });
    rows.collect()
}

fn report(written: std::io::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the figures: {error}");
            ExitCode::FAILURE
        }
    }
}
