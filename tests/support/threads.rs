//! Finds threads that outlive what they were started for.

use std::{
    collections::HashSet,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::eventually;

/// How long threads may take to end after their owner.
const DEADLINE: Duration = Duration::from_secs(10);

/// Threads that belong to the process: its timer, those without a task, which
/// wait a while for one, and who looks for deadlocks where that is asked for.
const PERMANENT: [&str; 3] = ["timer", "spare", "deadlocks"];

/// Tests take turns, for a thread does not tell whose it is.
static TURN: Mutex<()> = Mutex::new(());

/// The threads on which the test harness runs its tests.
static HARNESS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// The threads at its making; [`ThreadCheck::finish`] fails if there are
/// others.
///
/// Every test of a file that uses this begins with it: while one holds the
/// turn, no other may start threads.
#[must_use = "call finish() at the end of the test"]
pub struct ThreadCheck {
    before: HashSet<String>,
    _turn: MutexGuard<'static, ()>,
}

impl ThreadCheck {
    pub fn begin() -> Self {
        register_harness_thread();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            before: task_ids(),
            _turn: turn,
        }
    }

    /// Waits for the threads that came since; names those that stay.
    pub fn finish(self) {
        let leftover = self.leftover(DEADLINE);
        assert!(
            leftover.is_empty(),
            "threads still there after {DEADLINE:?}: {leftover:?}"
        );
    }

    /// Names of the threads that came since and are there after `patience`.
    pub fn leftover(&self, patience: Duration) -> Vec<String> {
        let gone = eventually(Instant::now() + patience, || {
            let names = self.newcomers();
            if names.is_empty() { Ok(()) } else { Err(names) }
        });
        gone.err().unwrap_or_default()
    }

    fn newcomers(&self) -> Vec<String> {
        let harness = HARNESS.lock().unwrap_or_else(PoisonError::into_inner);
        task_ids()
            .into_iter()
            .filter(|task| !self.before.contains(task))
            .filter(|task| !harness.as_ref().is_some_and(|ids| ids.contains(task)))
            .filter_map(|task| task_name(&task))
            .filter(|name| !PERMANENT.contains(&name.as_str()))
            .collect()
    }
}

fn register_harness_thread() {
    let link = fs::read_link("/proc/thread-self").expect("procfs");
    let task = link.file_name().expect("task id").to_string_lossy();
    let mut harness = HARNESS.lock().unwrap_or_else(PoisonError::into_inner);
    harness.get_or_insert_default().insert(task.into_owned());
}

fn task_ids() -> HashSet<String> {
    fs::read_dir("/proc/self/task")
        .expect("procfs")
        .flatten()
        .map(|task| task.file_name().to_string_lossy().into_owned())
        .collect()
}

/// `None` when the thread has ended meanwhile.
fn task_name(task: &str) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/self/task/{task}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}
