//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    extent::Extent,
    relay::Route,
    rows::{self, Plan},
};

/// Measures reverse tunnels, muxcool beside its peers.
#[derive(Parser)]
#[command(name = "tunnel")]
pub struct Arguments {
    /// Write the figures of all rounds to this file, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Cost by the number of concurrent streams, instead of the rows
    #[arg(long)]
    pub scale: bool,

    /// With --scale: draw the figures into this file (SVG)
    #[arg(long, value_name = "FILE", requires = "scale")]
    pub plot: Option<PathBuf>,

    /// Only this row, or these; see --list
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Fresh tunnels of which the median is taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// One short round: shows that everything works, and little more
    #[arg(long)]
    quick: bool,

    /// List the rows
    #[arg(long)]
    list: bool,

    /// What cargo tells a benchmark and not a test
    #[arg(long, hide = true)]
    bench: bool,

    /// Be a plain relay: how this benchmark starts those that it compares with
    #[arg(long, hide = true, value_name = "PORT=ADDRESS")]
    relay: Vec<Route>,
}

/// What this process is for.
pub enum Task {
    Nothing,
    Relay(Vec<Route>),
    Measure(Arguments),
}

impl Arguments {
    pub fn extent(&self) -> Extent {
        let mut extent = if self.quick {
            Extent::quick()
        } else {
            Extent::full()
        };
        if let Some(rounds) = self.rounds {
            extent.rounds = rounds.into();
        }
        extent
    }

    /// The rows that are wanted.
    pub fn rows(&self) -> Vec<&'static Plan> {
        let named = |plan: &Plan| self.only.iter().any(|only| only == plan.name);
        let wanted = |plan: &&Plan| self.only.is_empty() || named(plan);
        rows::ALL.iter().filter(wanted).collect()
    }

    fn unknown_row(&self) -> Option<&String> {
        let known = |name: &String| rows::ALL.iter().any(|plan| plan.name == name);
        self.only.iter().find(|name| !known(name))
    }
}

pub fn parse() -> Result<Task, String> {
    let mut arguments = Arguments::parse();
    if !arguments.relay.is_empty() {
        return Ok(Task::Relay(std::mem::take(&mut arguments.relay)));
    }
    if let Some(name) = arguments.unknown_row() {
        return Err(format!("there is no row {name:?}; see --list"));
    }
    if arguments.list {
        rows::ALL.iter().for_each(|plan| println!("{}", plan.name));
        return Ok(Task::Nothing);
    }
    if !arguments.bench {
        // `cargo test --benches` starts benchmarks as well; minutes of load
        // are not what it wants.
        println!("nothing measured: run it by `cargo bench --bench tunnel`, or with --bench");
        return Ok(Task::Nothing);
    }
    Ok(Task::Measure(arguments))
}
