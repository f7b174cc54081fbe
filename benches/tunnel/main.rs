//! What a whole reverse tunnel carries, and what it costs: muxcool beside
//! V2Ray, beside two plain relays in a row as the ceiling, and beside rathole
//! where it can be had.
//!
//! `cargo bench --bench tunnel` starts real processes on loopback, a fresh
//! tunnel for each figure, in rounds that meet all of them, and prints medians
//! and ratios beside the floors that are asked for. `-- --scale` measures from
//! 10 to 5000 concurrent streams instead. `-- --help` tells the options.
//!
//! The load's source and sink compete for the same processors: ratios mean
//! more than rates. What other programs took of the processors meanwhile
//! stands beside each row.

#![cfg(target_os = "linux")]

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod extent;
mod figure;
mod growth;
mod json;
mod load;
mod peer;
mod plot;
mod process;
mod relay;
mod rows;
mod scene;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;
mod tunnel;
mod usage;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use arguments::{Arguments, Task};
use figure::Row;
use peer::Peer;
use scene::Scene;

fn main() -> ExitCode {
    let task = match arguments::parse() {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    match task {
        Task::Nothing => ExitCode::SUCCESS,
        Task::Relay(routes) => relay::run(&routes),
        Task::Measure(arguments) => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> ExitCode {
    if let Err(error) = usage::allow_many_files() {
        eprintln!("cannot raise the number of open files: {error}");
    }
    let scene = Scene::new(arguments.extent(), peer::present());
    if arguments.scale {
        measure_growth(&scene, arguments)
    } else {
        measure_rows(&scene, arguments)
    }
}

fn measure_rows(scene: &Scene, arguments: &Arguments) -> ExitCode {
    let plans = arguments.rows();
    let rows: Vec<Row> = plans.iter().map(|plan| scene.measure(plan)).collect();
    table::print(&rows, &scene.peers);
    println!("{:.0} s in all", scene.seconds());
    let written = write_to(&arguments.json, |path| json::write_rows(path, &rows));
    let ours_is_whole = rows.iter().all(|row| row.has(Peer::Muxcool));
    exit_code(written, ours_is_whole)
}

fn measure_growth(scene: &Scene, arguments: &Arguments) -> ExitCode {
    let steps = growth::measure(scene);
    growth::print(&steps);
    println!("{:.0} s in all", scene.seconds());
    let written = write_to(&arguments.json, |path| json::write_steps(path, &steps))
        .and_then(|()| write_to(&arguments.plot, |path| plot::write(path, &steps)));
    let ours = |step: &growth::Step| step.peer == Peer::Muxcool;
    let ours_is_whole = steps
        .iter()
        .filter(|step| ours(step))
        .all(growth::Step::is_whole);
    exit_code(written, ours_is_whole)
}

fn write_to(path: &Option<PathBuf>, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    path.as_deref().map_or(Ok(()), write)
}

/// A floor that is missed is no failure, a figure of ours that could not be
/// taken is one: that is what keeps the benchmark alive.
fn exit_code(written: io::Result<()>, ours_is_whole: bool) -> ExitCode {
    if let Err(error) = &written {
        eprintln!("cannot write the figures: {error}");
    }
    if written.is_ok() && ours_is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
