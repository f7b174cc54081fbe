//! Which of the programs that are running is meant.

use std::fmt;
use std::path::PathBuf;

use serde_json::json;

use super::args::TargetArgs;
use crate::app::control::{Places, Running, ask};
use crate::app::status::{Kind, Snapshot};
use crate::escape::Escaped;
use crate::limits::CHOICE_PATIENCE;

/// Why it is not clear.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TargetError {
    /// This user has none.
    NoneRunning,
    /// This user has none of this number.
    NoSuch(u32),
    /// There are several.
    Several(Vec<Choice>),
}

/// A program that may be meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    running: Running,
    /// What it says that it runs.
    about: Option<String>,
}

impl TargetArgs {
    /// The control socket of the program that is meant.
    pub(super) fn find(&self) -> Result<PathBuf, TargetError> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => self
                .choose(Places::of_process().running())
                .map_err(TargetError::told_apart),
        }
    }

    fn choose(&self, running: Vec<Running>) -> Result<PathBuf, TargetError> {
        let is_meant = |one: &Running| self.pid.is_none_or(|pid| pid == one.pid);
        let mut meant: Vec<Running> = running.into_iter().filter(is_meant).collect();
        match (meant.pop(), self.pid) {
            (None, None) => Err(TargetError::NoneRunning),
            (None, Some(pid)) => Err(TargetError::NoSuch(pid)),
            (Some(only), _) if meant.is_empty() => Ok(only.path),
            (Some(last), _) => {
                meant.push(last);
                let choices = meant.into_iter().map(|running| Choice {
                    running,
                    about: None,
                });
                Err(TargetError::Several(choices.collect()))
            }
        }
    }
}

impl TargetError {
    /// Asks each of several what it is.
    fn told_apart(mut self) -> Self {
        if let TargetError::Several(choices) = &mut self {
            for choice in choices {
                choice.about = ask_about(&choice.running);
            }
        }
        self
    }
}

fn ask_about(running: &Running) -> Option<String> {
    let request = json!({ "command": "status", "streams": 0 });
    let answer = ask(&running.path, &request, CHOICE_PATIENCE).ok()?;
    let about = about(&serde_json::from_value(answer).ok()?);
    (!about.is_empty()).then_some(about)
}

/// Where its configuration is from, its tunnels, and where visitors come in.
fn about(snapshot: &Snapshot) -> String {
    let services = snapshot.services.iter();
    let shown = services.filter(|service| service.kind != Kind::Outbound);
    let names = shown.map(|service| format!("{} {}", service.kind.word(), service.name));
    let names: Vec<String> = names.collect();
    let mut parts = vec![snapshot.configuration.clone(), names.join(", ")];
    parts.retain(|part| !part.is_empty());
    Escaped(parts.join(": ").as_bytes()).to_string()
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::NoneRunning => f.write_str(
                "no muxcool of this user is running with a control socket; \
                 --socket PATH names one that the configuration has put elsewhere",
            ),
            TargetError::NoSuch(pid) => write!(
                f,
                "no muxcool of this user with a control socket is process {pid}"
            ),
            TargetError::Several(running) => {
                f.write_str("several are running; choose one with --pid or --socket:")?;
                running
                    .iter()
                    .try_for_each(|choice| write!(f, "\n  {choice}"))
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running { pid, path } = &self.running;
        write!(f, "--pid {pid}    {}", path.display())?;
        match &self.about {
            Some(about) => write!(f, "    {about}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(pid: u32) -> Running {
        Running {
            pid,
            path: format!("/run/{pid}.sock").into(),
        }
    }

    fn choose(pid: Option<u32>, pids: &[u32]) -> Result<PathBuf, TargetError> {
        let args = TargetArgs { pid, socket: None };
        args.choose(pids.iter().copied().map(running).collect())
    }

    #[test]
    fn the_only_one_or_the_one_that_is_named_is_meant() {
        assert_eq!(choose(None, &[]), Err(TargetError::NoneRunning));
        assert_eq!(choose(Some(7), &[8]), Err(TargetError::NoSuch(7)));
        assert_eq!(choose(None, &[7]), Ok("/run/7.sock".into()));
        assert_eq!(choose(Some(8), &[7, 8, 9]), Ok("/run/8.sock".into()));
        let several = choose(None, &[7, 8]).unwrap_err();
        let choice = |pid| Choice {
            running: running(pid),
            about: None,
        };
        assert_eq!(several, TargetError::Several([7, 8].map(choice).into()));
        let lines = several.to_string();
        assert!(lines.ends_with("\n  --pid 7    /run/7.sock\n  --pid 8    /run/8.sock"));
    }
}
