//! What a program uses at rest.

use std::{fmt, fs, thread, time::Duration};

use muxcool::limits::{SPARE_TIME, UDP_IDLE};

use crate::support::program::Program;

/// After so long a program is at rest: flows of datagrams have ended, each of
/// which is looked at once in [`UDP_IDLE`], threads no longer wait for another
/// task.
pub const REST: Duration = Duration::from_secs(2 * UDP_IDLE.as_secs() + SPARE_TIME.as_secs() + 10);

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

    /// After that time.
    pub fn after(rest: Duration, program: &Program) -> Self {
        thread::sleep(rest);
        Self::of(program)
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
