//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    common::selection::Selection,
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

    /// Fresh tunnels of which the median is taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// One short round: shows that everything works, and little more
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    selection: Selection,

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
        self.selection.of(&rows::ALL)
    }
}

pub fn parse() -> Result<Task, String> {
    let mut arguments = Arguments::parse();
    if !arguments.relay.is_empty() {
        return Ok(Task::Relay(std::mem::take(&mut arguments.relay)));
    }
    let wanted = arguments.selection.is_wanted("tunnel", &rows::ALL)?;
    Ok(match wanted {
        true => Task::Measure(arguments),
        false => Task::Nothing,
    })
}
