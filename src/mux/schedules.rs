//! What the threads of one carrier promise each other, under many schedules;
//! see `tests/schedules.rs` for how to try more of them.

mod flow;
mod inlet;
mod sending;

use shuttle::rand::{Rng, thread_rng};

/// A number below `end`, by chance.
fn below(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}
