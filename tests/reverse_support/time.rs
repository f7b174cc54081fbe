//! Time that passes when a test says so.

use std::sync::Arc;
use std::time::Duration;

use muxcool::sync::{ManualClock, Timer};

use crate::mux_support::tasks::wait_until_quiet;

/// A clock that stands still, and a timer that goes by it.
pub struct Time {
    pub timer: Timer,
    clock: Arc<ManualClock>,
}

impl Time {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        Self { timer, clock }
    }

    /// Lets time pass at once. Before and after it every thread waits for
    /// something: nobody misses the moment, and what it set off has happened.
    pub fn pass(&self, span: Duration) {
        wait_until_quiet();
        self.clock.advance(span);
        wait_until_quiet();
    }
}
