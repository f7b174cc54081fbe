//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    rows::{self, Plan},
    scale::Scale,
};

/// Measures whether one stream waits for another, muxcool beside V2Ray.
#[derive(Parser)]
#[command(name = "stalls")]
pub struct Arguments {
    /// Write the figures to this file, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Only this row, or these; see --list
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Short and rough: one round, V2Ray's hopeless cases cut early
    #[arg(long)]
    quick: bool,

    /// List the rows
    #[arg(long)]
    list: bool,

    /// What cargo tells a benchmark and not a test
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    pub fn scale(&self) -> Scale {
        if self.quick {
            Scale::quick()
        } else {
            Scale::full()
        }
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

/// `None` when there is nothing to measure.
pub fn parse() -> Result<Option<Arguments>, String> {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.unknown_row() {
        return Err(format!("there is no row {name:?}; see --list"));
    }
    if arguments.list {
        rows::ALL.iter().for_each(|plan| println!("{}", plan.name));
        return Ok(None);
    }
    if !arguments.bench {
        // `cargo test --benches` starts benchmarks as well; minutes of load
        // are not what it wants.
        println!("nothing measured: run it by `cargo bench --bench stalls`, or with --bench");
        return Ok(None);
    }
    Ok(Some(arguments))
}
