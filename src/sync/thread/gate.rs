//! How many threads there may be.

use std::fs;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::debug;
use rustix::process::{Resource, getrlimit};

use crate::limits::{LEAST_THREADS, MAPS_PER_THREAD, MAX_THREADS, THREAD_MARGIN};

/// The process's threads. It allows what the system did when first asked.
pub(super) static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let cap = cap(&system_limits());
    debug!("up to {cap} threads");
    Gate::new(cap)
});

/// Counts threads, and refuses one too many.
///
/// Not every limit can be left to the system: a thread that finds no room for
/// its signal stack, past the limit of memory maps, aborts the process.
pub(super) struct Gate {
    cap: usize,
    live: AtomicUsize,
}

impl Gate {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            cap,
            live: AtomicUsize::new(0),
        }
    }

    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when all places are taken.
    pub(super) fn enter(&'static self) -> io::Result<Ticket> {
        let ticket = Ticket(self); // from here on, dropping gives the place back
        if self.live.fetch_add(1, Ordering::Relaxed) >= self.cap {
            let why = format!("all {} threads are in use", self.cap);
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        Ok(ticket)
    }
}

/// One live thread's place in the count. Dropping it gives the place back.
pub(super) struct Ticket(&'static Gate);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The lowest of the system's limits, less what others may need of it, and
/// never more than our own.
fn cap(limits: &[usize]) -> usize {
    let lowest = limits.iter().copied().min().unwrap_or(MAX_THREADS);
    (lowest - lowest / THREAD_MARGIN).clamp(LEAST_THREADS, MAX_THREADS)
}

/// Threads that each of the system's limits allows. One that cannot be read
/// allows all.
fn system_limits() -> Vec<usize> {
    let maps = number("/proc/sys/vm/max_map_count").map(|maps| maps / MAPS_PER_THREAD);
    let user = getrlimit(Resource::Nproc).current;
    let user = user.and_then(|limit| usize::try_from(limit).ok());
    let everywhere = number("/proc/sys/kernel/threads-max");
    let ids = number("/proc/sys/kernel/pid_max");
    let group = group_files().iter().filter_map(|path| number(path)).min();
    let all = [maps, user, everywhere, ids, group];
    all.into_iter().flatten().collect()
}

/// `None` also for `max`, which is no limit.
fn number(path: &str) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where the limits of this process's control groups may stand.
fn group_files() -> Vec<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().flat_map(group_files_of).collect()
}

/// `0::/path`, or `8:pids:/path` in the first version. In a container the path
/// may be the host's, with the container's own group at the top. A group's
/// ancestors bind, too.
fn group_files_of(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':').skip(1);
    let root = match fields.next() {
        Some("") => "/sys/fs/cgroup",
        Some(controllers) if controllers.split(',').any(|name| name == "pids") => {
            "/sys/fs/cgroup/pids"
        }
        _ => return Vec::new(),
    };
    let path = fields.next().unwrap_or_default().trim_end_matches('/');
    let ends = path.match_indices('/').map(|(end, _)| end);
    ends.chain([path.len()])
        .map(|end| format!("{root}{}/pids.max", path.get(..end).unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_refused_until_another_leaves() {
        static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::new(2));
        let first = GATE.enter().unwrap();
        let _second = GATE.enter().unwrap();
        for _ in 0..3 {
            let refused = GATE.enter().err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        }
        drop(first);
        assert!(GATE.enter().is_ok());
    }

    #[test]
    fn the_lowest_limit_counts_less_a_margin() {
        assert_eq!(cap(&[]), MAX_THREADS - MAX_THREADS / THREAD_MARGIN);
        assert_eq!(cap(&[800, 1_000]), 700);
        assert_eq!(cap(&[usize::MAX]), MAX_THREADS);
        assert_eq!(cap(&[0]), LEAST_THREADS);
    }

    #[test]
    fn the_system_says_what_it_allows() {
        let limits = system_limits();
        assert!(!limits.is_empty());
        assert!(limits.iter().all(|limit| *limit > 0), "{limits:?}");
    }

    #[test]
    fn a_group_is_bound_by_its_ancestors() {
        let top = "/sys/fs/cgroup/pids.max";
        let table: [(&str, &[&str]); 5] = [
            ("0::/", &[top]),
            (
                "0::/a/b",
                &[
                    top,
                    "/sys/fs/cgroup/a/pids.max",
                    "/sys/fs/cgroup/a/b/pids.max",
                ],
            ),
            (
                "8:cpu,pids:/a",
                &[
                    "/sys/fs/cgroup/pids/pids.max",
                    "/sys/fs/cgroup/pids/a/pids.max",
                ],
            ),
            ("7:memory:/a", &[]),
            ("", &[]),
        ];
        for (line, files) in table {
            assert_eq!(group_files_of(line), files, "{line}");
        }
    }
}
