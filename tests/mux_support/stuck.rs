//! Carriers whose reader waits for a session.

use muxcool::mux::WorkerStats;

use super::tasks::{all_asleep, wait_until};

/// Waits until a carrier's reader is held up and stays so: whoever drains its
/// sessions has come to a stop as well.
pub fn wait_until_held_up(stats: impl Fn() -> WorkerStats) {
    for _ in 0..3 {
        wait_until("the reader waits", || {
            stats().held_up && all_asleep("mux-dr-")
        });
    }
}
