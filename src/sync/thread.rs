//! Threads by name. What runs on one is a task: a thread that has done its
//! task waits a while for another, since to start one costs more than most
//! connections do.

mod crew;
#[cfg(feature = "deadlocks")]
mod deadlocks;
#[cfg_attr(feature = "schedules", allow(dead_code))]
mod gate;
mod panics;
#[cfg_attr(feature = "schedules", allow(dead_code))]
mod reserve;
mod task;

use std::io;
use std::thread::Builder;

pub use crew::Crew;
pub use panics::{panics, report_panics};
pub use task::{Panicked, Spawned};

use crate::limits::THREAD_STACK;
use gate::GATE;
use reserve::{Job, RESERVE};

/// Runs `body` on a thread of its own, which has this name meanwhile.
///
/// The thread is one of the reserve's, or a new one unless the process has
/// as many as the system's limits allow it, less a margin. Linux keeps 15 bytes
/// of `name`, which may be any text: tags are part of names.
///
/// # Errors
/// What the system says, or [`io::ErrorKind::WouldBlock`] at the limit.
pub fn spawn<T, F>(name: &str, body: F) -> io::Result<Spawned<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (task, end) = task::new();
    let label = name.to_owned();
    let run = move || end.tell(panics::caught(&label, body));
    start(Job::new(task.number(), name, run))?;
    Ok(task)
}

/// A model of a thread, which only its own tasks use.
#[cfg(feature = "schedules")]
fn start(job: Job) -> io::Result<()> {
    shuttle::thread::spawn(move || job.run());
    Ok(())
}

#[cfg(not(feature = "schedules"))]
fn start(job: Job) -> io::Result<()> {
    match RESERVE.hand_over(job) {
        Ok(()) => Ok(()),
        Err(job) => start_thread(job),
    }
}

/// This is the only place that starts threads.
#[cfg_attr(feature = "schedules", allow(dead_code))]
fn start_thread(first: Job) -> io::Result<()> {
    #[cfg(feature = "deadlocks")]
    deadlocks::watch();
    let ticket = GATE.enter()?;
    let run = move || {
        let _ticket = ticket;
        RESERVE.serve(first);
    };
    Builder::new()
        .name(reserve::NAME.to_owned())
        .stack_size(THREAD_STACK)
        .spawn(run)?;
    Ok(())
}
