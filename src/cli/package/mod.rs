//! What a package of the program has beside it, printed by the program itself:
//! so it is always that of the version that prints it.

pub(super) mod args;
mod manual;
mod unit;

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::commands::{say, say_exactly};
use super::failure::Failure;
use args::{CompletionsArgs, ManArgs, UnitArgs};

/// Prints a shell's completions.
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    say_exactly(&completions_for(args.shell))
}

/// Prints the manual, or writes its pages.
pub(super) fn manual(args: &ManArgs) -> Result<(), Failure> {
    match &args.directory {
        Some(directory) => write_pages(directory),
        None => say_exactly(&manual::whole(Cli::command())),
    }
}

/// Prints systemd's unit.
pub(super) fn unit(args: &UnitArgs) -> Result<(), Failure> {
    say_exactly(&unit::text(args)?)
}

fn completions_for(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "muxcool", &mut script);
    script
}

fn write_pages(directory: &Path) -> Result<(), Failure> {
    let cannot_write = |path: &Path| {
        let path = path.to_owned();
        move |e| Failure::Write(path, e)
    };
    fs::create_dir_all(directory).map_err(cannot_write(directory))?;
    for page in manual::pages(Cli::command()) {
        let path = directory.join(page.file_name);
        fs::write(&path, page.text).map_err(cannot_write(&path))?;
        say(path.display())?;
    }
    Ok(())
}
