use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::doctor::Findings;
use super::target::TargetError;
use crate::app::StartError;
use crate::app::control::AskError;
use crate::app::demo::CheckError;
use crate::config::ConfigError;
use crate::error::chain;

/// Tells systemd's units of the family not to start the program again.
const BAD_CONFIGURATION: u8 = 23;

/// As clap's.
const USAGE: u8 = 2;

/// Why a command ended in vain.
#[derive(Debug)]
pub(super) enum Failure {
    /// All that is wrong with the configuration.
    Unsound(Findings),
    /// The same, and it has been printed.
    Reported,
    /// No configuration is named, and there is no default one.
    NothingToRead,
    /// The directory of configurations cannot be read.
    Directory(PathBuf, io::Error),
    /// The directory has no configuration.
    EmptyDirectory(PathBuf),
    /// The configuration is wrong.
    Config(ConfigError),
    /// The log cannot be written where the configuration wants it.
    LogFile(PathBuf, io::Error),
    /// What the configuration asks for cannot be had, such as a port in use.
    Start(StartError),
    /// The configuration came by standard input.
    ReadOnce,
    /// The program that runs has not gone over to what its files say.
    NotReloaded(String),
    /// The demo's check failed.
    Check(CheckError),
    /// No certificate can be made for these names.
    Certificate(rcgen::Error),
    /// A file cannot be written.
    Write(PathBuf, io::Error),
    /// Arguments that do not go together, or say too little.
    Usage(String),
    /// What the arguments ask for cannot be had.
    Wrong(String),
    /// It cannot be had now.
    NotNow(String),
    /// There is no folder for what should be kept.
    NoState,
    /// It is not clear which program is meant, or there is none.
    Target(TargetError),
    /// The program that listens there did not do what it was asked.
    Ask(PathBuf, AskError),
    /// The system refused what every run needs.
    System(&'static str, io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Check(_)
            | Failure::Certificate(_)
            | Failure::Write(..)
            | Failure::Target(_)
            | Failure::Ask(..)
            | Failure::NotNow(_)
            | Failure::System(..) => ExitCode::FAILURE,
            Failure::Start(e) if e.is_passing() => ExitCode::FAILURE,
            Failure::Usage(_) => ExitCode::from(USAGE),
            _ => ExitCode::from(BAD_CONFIGURATION),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unsound(findings) => findings.fmt(f),
            Failure::Reported => f.write_str("the configuration cannot be used"),
            Failure::NothingToRead => f.write_str(
                "no config.json in the working directory; name a configuration with -c FILE, or \
                 see what else there is with --help",
            ),
            Failure::Directory(path, e) => write!(f, "{}: {e}", path.display()),
            Failure::EmptyDirectory(path) => write!(f, "{}: no .json file in it", path.display()),
            Failure::Config(e) => e.fmt(f),
            Failure::LogFile(path, e) => {
                write!(f, "log file {} cannot be opened: {e}", path.display())
            }
            Failure::Start(e) => f.write_str(&chain(e)),
            Failure::ReadOnce => f.write_str(
                "the configuration came by standard input, which cannot be read again; \
                 start the program with a file to be able to reload it",
            ),
            Failure::NotReloaded(why) => f.write_str(why),
            Failure::Check(e) => f.write_str(&chain(e)),
            Failure::Certificate(e) => write!(f, "no certificate can be made: {e}"),
            Failure::Write(path, e) => write!(f, "{} cannot be written: {e}", path.display()),
            Failure::Usage(what) | Failure::Wrong(what) | Failure::NotNow(what) => {
                f.write_str(what)
            }
            Failure::NoState => f.write_str(
                "HOME is not set, so there is no place for the id and the certificate: name one \
                 with --state, or use --ephemeral",
            ),
            Failure::Target(e) => e.fmt(f),
            Failure::Ask(path, e) => write!(f, "{}: {}", path.display(), chain(e)),
            Failure::System(what, e) => write!(f, "{what}: {e}"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Self {
        Failure::Config(e)
    }
}

impl From<StartError> for Failure {
    fn from(e: StartError) -> Self {
        Failure::Start(e)
    }
}

impl From<TargetError> for Failure {
    fn from(e: TargetError) -> Self {
        Failure::Target(e)
    }
}

impl From<CheckError> for Failure {
    fn from(e: CheckError) -> Self {
        Failure::Check(e)
    }
}
