//! How much of the processors other programs take.

use std::fs;

/// Processor time, in the system's ticks, since its start.
pub struct Processors {
    busy: f64,
    all: f64,
    /// This process and the children that it has waited for.
    own: f64,
}

impl Processors {
    pub fn now() -> Self {
        let system = numbers(&read("/proc/stat"), 1);
        let all: f64 = system.iter().take(8).sum();
        // User, nice, system; idle and waiting; interrupts; stolen.
        let apart: f64 = system.iter().skip(3).take(4).sum();
        Self {
            busy: all - apart,
            all,
            own: own_time(),
        }
    }

    /// Share since then that neither this process took nor its children, all
    /// of which have ended meanwhile. Stolen time counts as taken, interrupts
    /// do not: on loopback they work for the sender, whoever that is.
    pub fn taken_by_others(&self) -> f64 {
        let now = Self::now();
        let others = (now.busy - self.busy) - (now.own - self.own);
        (others / (now.all - self.all)).max(0.0)
    }
}

/// Processor time of a process since its start, in ticks, and that of this one
/// for `self`.
pub fn time_of(process: &str) -> f64 {
    times_of(process).iter().take(2).sum()
}

fn own_time() -> f64 {
    times_of("self").iter().sum()
}

/// Fields 14 to 17 of `/proc/PID/stat`, of which the second is a name in
/// parentheses: its own time in both modes, and that of children waited for.
fn times_of(process: &str) -> Vec<f64> {
    let stat = read(&format!("/proc/{process}/stat"));
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut times = numbers(after_name, 11);
    times.truncate(4);
    times
}

/// The numbers of the first line, after as many fields.
fn numbers(text: &str, skip: usize) -> Vec<f64> {
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(skip);
    fields.map_while(|field| field.parse().ok()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
