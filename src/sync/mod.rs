//! Threads and their signals: [`Done`], named threads with owners, the clock,
//! the timer thread.

mod clock;
mod done;
mod thread;
mod timer;

pub use clock::{Clock, ManualClock};
pub use done::Done;
pub use thread::{Crew, Panicked, Spawned, panics, report_panics, spawn};
pub use timer::{Next, Periodic, Timer};
