//! What a program uses at rest.

use std::{
    fmt, fs,
    time::{Duration, Instant},
};

use crate::support::{eventually, program::Program};

/// How long it may take until a program is at rest: until threads that wait for
/// another task have ended, and flows of datagrams that have fallen silent.
const REST: Duration = Duration::from_secs(75);

/// For so long nothing changes then.
const STILL: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub memory: f64,
    pub threads: usize,
    pub descriptors: usize,
}

impl Usage {
    fn of(program: &Program) -> Self {
        let pid = program.pid().expect("a program that runs");
        let count = |what| fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
        Self {
            memory: resident(pid),
            threads: count("task"),
            descriptors: count("fd"),
        }
    }

    /// Once neither its threads nor its descriptors have become fewer for a
    /// while.
    pub fn at_rest(program: &Program, patience: Duration) -> Self {
        let mut least = Self::of(program);
        let mut since = Instant::now();
        let _ = eventually(Instant::now() + patience.min(REST), || {
            let now = Self::of(program);
            if now.threads < least.threads || now.descriptors < least.descriptors {
                since = Instant::now();
            }
            least = now;
            if since.elapsed() >= STILL {
                Ok(())
            } else {
                Err(())
            }
        });
        least
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.memory / 1024.0 / 1024.0;
        write!(
            f,
            "{mebibytes:.1} MiB, {} threads, {} descriptors",
            self.threads, self.descriptors
        )
    }
}

/// Bytes; exact, unlike the counters of `status`, which lag per thread.
fn resident(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let rest = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes = rest.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) * 1024.0
}
