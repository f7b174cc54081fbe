//! What the whole-program tests share: programs, ports, targets, clients.
//!
//! Each test file compiles its own copy and uses a part of it, hence no
//! warnings about the rest. Linux only: sockets and threads are looked up in
//! `/proc`.

#![allow(dead_code)]

pub mod bytes;
pub mod certificate;
pub mod client;
#[cfg(feature = "cli")]
pub mod command;
#[cfg(feature = "cli")]
pub mod config;
pub mod ports;
#[cfg(feature = "cli")]
pub mod program;
pub mod relay;
pub mod slow_link;
pub mod sockets;
pub mod streams;
pub mod target;
pub mod threads;
#[cfg(feature = "cli")]
pub mod tunnel;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Bound of every wait for something that comes at once when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// First and longest pause between two looks at something that gives no
/// signal: quick while it is about to happen, cheap when it takes long.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// Tries until `attempt` succeeds and returns its result, or the last error
/// once `deadline` has passed.
pub fn eventually<T, E>(
    deadline: Instant,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let (mut pause, longest) = LOOK_AGAIN;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(longest);
    }
}
