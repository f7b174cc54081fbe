//! The command line.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or ended by SIGINT or SIGTERM |
//! | 1 | failed while running, or cannot start now: a port is taken |
//! | 2 | usage |
//! | 23 | the configuration cannot be used |

mod args;
mod argv;
mod certificate;
mod commands;
mod doctor;
mod explain;
mod failure;
mod oneline;
mod package;
mod readers;
mod reload;
mod run;
mod signals;
mod sources;
mod status;
mod supervisor;
mod target;
mod terminal;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::app::logging;
use args::Cli;
use failure::Failure;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    main_with(env::args_os())
}

fn main_with(args: impl Iterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(argv::rewrite(args)) {
        Ok(cli) => execute(cli),
        Err(e) => answer(&e),
    }
}

fn execute(cli: Cli) -> ExitCode {
    let outcome = commands::execute(cli.into_command());
    let is_written = logging::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What blocks the log may block this. Nobody is left to be told if
            // it fails.
            if is_written {
                tell(&failure);
            }
            failure.exit_code()
        }
    }
}

fn tell(failure: &Failure) {
    match failure {
        Failure::Reported => {}
        Failure::Unsound(findings) => findings.print(),
        _ => {
            let _ = writeln!(io::stderr(), "error: {failure}");
        }
    }
}

/// Prints what the parser says: help, the version, or what is wrong.
fn answer(said: &clap::Error) -> ExitCode {
    let _ = said.print();
    u8::try_from(said.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}
