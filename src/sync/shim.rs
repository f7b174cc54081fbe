//! What everything that waits is built from: parking_lot's locks, crossbeam's
//! channels, the standard library's atomics. With the feature `schedules` they
//! are models instead, under which a test decides at each step which thread
//! goes on; nothing else of the crate knows.

#[cfg(feature = "schedules")]
mod model;

#[cfg(not(feature = "schedules"))]
mod real {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread_local;

    pub(crate) use crossbeam_channel::{Receiver, Sender, after, at, bounded, never, select};
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
}

#[cfg(feature = "schedules")]
pub use model::*;
#[cfg(not(feature = "schedules"))]
pub(crate) use real::*;
