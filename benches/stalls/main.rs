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
mod bulk;
mod figure;
mod json;
mod noise;
mod pairing;
mod ping;
mod requests;
mod rig;
mod rows;
mod scale;
mod scene;
mod service;
mod spread;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod visitor;

use std::{process::ExitCode, time::Instant};

use arguments::Arguments;
use figure::Row;
use noise::Processors;
use rows::Measure;
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
    for (name, measure) in arguments.rows() {
        let row = take(&scene, name, *measure);
        table::print(&row);
        rows.push(row);
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    match &arguments.json {
        Some(path) => report(json::write(path, &rows)),
        None => ExitCode::SUCCESS,
    }
}

fn take(scene: &Scene, name: &'static str, measure: Measure) -> Row {
    let before = Processors::now();
    let figures = measure(scene);
    Row {
        name,
        figures,
        taken_by_others: before.taken_by_others(),
    }
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
