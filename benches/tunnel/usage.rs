//! What processes use: processor time, context switches, memory, threads.

use std::{collections::HashMap, fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::noise;

/// The unit of `/proc/PID/stat`, the same on all that we know (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time since the processes' start, threads that have
/// ended included.
pub fn processor_seconds(pids: &[u32]) -> f64 {
    let ticks = pids.iter().map(|pid| noise::time_of(&pid.to_string()));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

/// Bytes that are resident, summed over the processes.
pub fn resident_bytes(pids: &[u32]) -> f64 {
    let kibibytes = pids.iter().filter_map(|pid| {
        // Exact, unlike the counters of `status`, which lag per thread.
        let path = format!("/proc/{pid}/smaps_rollup");
        field(&read(&path), "Rss:")
    });
    kibibytes.sum::<f64>() * 1024.0
}

pub fn threads(pids: &[u32]) -> f64 {
    let threads = pids.iter().filter_map(|pid| {
        let path = format!("/proc/{pid}/status");
        field(&read(&path), "Threads:")
    });
    threads.sum()
}

/// Context switches of the threads that are there.
pub struct Switches(HashMap<String, Counts>);

/// Because a thread waited for something, and because it was made to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub voluntary: f64,
    pub forced: f64,
}

impl Counts {
    pub fn all(self) -> f64 {
        self.voluntary + self.forced
    }
}

impl Switches {
    pub fn of(pids: &[u32]) -> Self {
        let tasks = pids.iter().flat_map(|pid| tasks(*pid));
        let counted = tasks.filter_map(|task| counts(&task).map(|counts| (task, counts)));
        Self(counted.collect())
    }

    /// Those until `later`; what threads did that have ended meanwhile is
    /// lost.
    pub fn until(&self, later: &Self) -> Counts {
        let mut sum = Counts::default();
        for (task, after) in &later.0 {
            let before = self.0.get(task).copied().unwrap_or_default();
            sum.voluntary += after.voluntary - before.voluntary;
            sum.forced += after.forced - before.forced;
        }
        sum
    }
}

/// Raises the number of open files to what the system allows, here and in the
/// processes that are started from here.
pub fn allow_many_files() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn tasks(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let path = |entry: fs::DirEntry| entry.path().to_string_lossy().into_owned();
    entries.flatten().map(path).collect()
}

fn counts(task: &str) -> Option<Counts> {
    let status = read(&format!("{task}/status"));
    Some(Counts {
        voluntary: field(&status, "voluntary_ctxt_switches:")?,
        forced: field(&status, "nonvoluntary_ctxt_switches:")?,
    })
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
