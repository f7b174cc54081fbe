//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    common::selection::Selection,
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

    /// Short and rough: one round, V2Ray's hopeless cases cut early
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    selection: Selection,
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
        self.selection.of(&rows::ALL)
    }
}

/// `None` when there is nothing to measure.
pub fn parse() -> Result<Option<Arguments>, String> {
    let arguments = Arguments::parse();
    let wanted = arguments.selection.is_wanted("stalls", &rows::ALL)?;
    Ok(match wanted {
        true => Some(arguments),
        false => None,
    })
}
