//! What a thread is busy with, and how it ended.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::shim::{Condvar, Mutex, thread_local};

thread_local! {
    /// Number of the task that this thread runs; 0 if it runs none of ours.
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// A number that no other task has had.
pub(super) fn new_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The number of the task that the calling thread runs, 0 if none.
pub(super) fn current() -> u64 {
    CURRENT.with(Cell::get)
}

/// Calls `run`, which must not unwind, as the task of this number.
pub(super) fn run_as(number: u64, run: impl FnOnce()) {
    CURRENT.with(|current| current.set(number));
    run();
    CURRENT.with(|current| current.set(0));
}

/// The task has panicked; that was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a thread panicked")
    }
}

impl std::error::Error for Panicked {}

/// A task that can be waited for. Dropping this leaves it to itself.
#[derive(Debug)]
pub struct Spawned<T> {
    number: u64,
    outcome: Arc<Outcome<T>>,
}

#[derive(Debug)]
struct Outcome<T> {
    value: Mutex<Option<Result<T, Panicked>>>,
    is_there: Condvar,
}

/// Where the task's outcome goes.
pub(super) struct End<T>(Arc<Outcome<T>>);

pub(super) fn new<T>() -> (Spawned<T>, End<T>) {
    let outcome = Arc::new(Outcome {
        value: Mutex::new(None),
        is_there: Condvar::new(),
    });
    let task = Spawned {
        number: new_number(),
        outcome: outcome.clone(),
    };
    (task, End(outcome))
}

impl<T> Spawned<T> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Panicked`].
    pub fn join(self) -> Result<T, Panicked> {
        let mut value = self.outcome.value.lock();
        loop {
            if let Some(outcome) = value.take() {
                return outcome;
            }
            self.outcome.is_there.wait(&mut value);
        }
    }

    /// Whether the calling thread runs it: joining it would take for ever.
    pub fn is_current(&self) -> bool {
        self.number == current()
    }
}

impl<T> End<T> {
    pub(super) fn tell(self, outcome: Result<T, Panicked>) {
        *self.0.value.lock() = Some(outcome);
        self.0.is_there.notify_all();
    }
}
