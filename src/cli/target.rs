//! Which of the programs that are running is meant.

use std::fmt;
use std::path::PathBuf;

use super::args::TargetArgs;
use crate::app::control::{Places, Running};

/// Why it is not clear.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TargetError {
    /// This user has none.
    NoneRunning,
    /// This user has none of this number.
    NoSuch(u32),
    /// There are several.
    Several(Vec<Running>),
}

impl TargetArgs {
    /// The control socket of the program that is meant.
    pub(super) fn find(&self) -> Result<PathBuf, TargetError> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => self.choose(Places::of_process().running()),
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
                Err(TargetError::Several(meant))
            }
        }
    }
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
                running.iter().try_for_each(|one| {
                    let path = one.path.display();
                    write!(f, "\n  --pid {}    {path}", one.pid)
                })
            }
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
        assert_eq!(several, TargetError::Several([7, 8].map(running).into()));
        let lines = several.to_string();
        assert!(lines.ends_with("\n  --pid 7    /run/7.sock\n  --pid 8    /run/8.sock"));
    }
}
