//! Looks for threads that wait for each other's locks: with the feature
//! `deadlocks` only, which makes every lock slower.

use std::process::abort;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use log::error;
use parking_lot::deadlock::check_deadlock;

use super::spawn;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the thread `deadlocks` at the first call. It polls, for nothing
/// tells of a deadlock, and lives as long as the process.
pub(super) fn watch() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::SeqCst) {
        return;
    }
    if let Err(e) = spawn("deadlocks", look) {
        error!("nobody looks for deadlocks: {e}");
    }
}

/// The process ends with the first that is found: a test that waits for these
/// threads would only say that it waited in vain.
fn look() {
    loop {
        sleep(INTERVAL);
        let cycles = check_deadlock();
        for (number, thread) in (1..).zip(cycles.iter().flatten()) {
            let (id, trace) = (thread.thread_id(), thread.backtrace());
            eprintln!("deadlocked thread {number}, {id:?}: {trace:?}");
        }
        if !cycles.is_empty() {
            abort();
        }
    }
}
