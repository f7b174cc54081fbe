//! Runs a test under many schedules.

use std::env;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use super::time::let_time_stand_still;

/// Schedules of each kind for each test, unless the environment's
/// `MUXCOOL_SCHEDULES` says how many.
const SCHEDULES: usize = 100;

/// Switches of threads, other than at waits, that a schedule has at the most
/// which was not made at random: most mistakes need only a few.
const SWITCHES: usize = 4;

const STACK: usize = 256 * 1024;

/// What clocks do in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// They never strike: what is saved by a clock alone is a deadlock.
    StandsStill,
    /// They strike at any time.
    Passes,
}

/// Calls `test` under many schedules. It fails when `test` or any of its
/// threads panics, or all that are left wait.
pub fn explore(time: Time, test: impl Fn() + Send + Sync + Copy + 'static) {
    let count = env::var("MUXCOOL_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    let_time_stand_still(time == Time::StandsStill);
    let random = run(RandomScheduler::new(count), test);
    let few_switches = run(PctScheduler::new(SWITCHES, count), test);
    eprintln!("{random} random schedules and {few_switches} with few switches");
}

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(test)
}
