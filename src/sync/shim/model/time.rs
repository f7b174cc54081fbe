//! Clocks that strike at any time: the scheduler says when.

use std::cell::Cell;

use shuttle::thread;

std::thread_local! {
    /// All threads of a schedule run on one of the system's.
    static STANDS_STILL: Cell<bool> = const { Cell::new(false) };
}

/// Whether clocks never strike in the schedules that this thread tries from
/// now on: what is saved by a clock alone is a deadlock then.
pub(super) fn let_time_stand_still(still: bool) {
    STANDS_STILL.set(still);
}

/// Calls `strike` at some time.
pub(super) fn at_some_time(strike: impl FnOnce() + Send + 'static) {
    if !STANDS_STILL.get() {
        thread::spawn(strike);
    }
}
