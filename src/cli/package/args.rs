//! Arguments of the commands for packagers.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::unit::{Name, ServicePath, Word};

/// Which completions.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to read them
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
}

/// Where the manual goes.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct ManArgs {
    /// Write one page for each command into this directory, and print their
    /// names
    #[arg(long = "dir", value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
}

/// What the service is.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct UnitArgs {
    /// Configuration file that it runs
    #[arg(
        short = 'c',
        long,
        value_name = "FILE",
        default_value = "/etc/muxcool/config.json",
        conflicts_with = "command"
    )]
    pub(super) config: ServicePath,

    /// Its name: that of its directories in /run and /var/lib, and in the log
    #[arg(long, default_value = "muxcool")]
    pub(super) name: Name,

    /// The program; this one if not given
    #[arg(long, value_name = "PATH")]
    pub(super) exec: Option<ServicePath>,

    /// A group that may read the configuration and the keys of certificates
    ///
    /// The service runs as a user that exists only while it runs, so no file
    /// can be given to that user.
    #[arg(long)]
    pub(super) group: Option<Name>,

    /// Command and arguments that it runs instead of a configuration
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<Word>,
}
