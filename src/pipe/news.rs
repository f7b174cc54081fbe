//! How a pipe's reader waits for what is written.

use std::time::Instant;

use crate::sync::shim::atomic::{AtomicBool, Ordering};
use crate::sync::shim::{Condvar, Mutex};

use super::wait_until;

/// Wakes who waits for something that others do before they
/// [tell](Self::tell).
pub(super) struct News {
    /// Somebody sleeps, or is about to. Others take the lock only then.
    is_awaited: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl News {
    pub(super) fn new() -> Self {
        Self {
            is_awaited: AtomicBool::new(false),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// Whether somebody is to be [told](Self::tell) of what was done before this
    /// call. Who is not seen here yet finds it when he looks.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::SeqCst)
    }

    pub(super) fn tell(&self) {
        if self.is_awaited.load(Ordering::SeqCst) && self.is_awaited.swap(false, Ordering::SeqCst) {
            drop(self.lock.lock()); // whoever is about to sleep does by now
            self.bell.notify_all();
        }
    }

    /// Looks until there is something, or it is too late. `is_there` says
    /// whether there is, and changes nothing.
    pub(super) fn wait<T>(
        &self,
        deadline: Option<Instant>,
        look: &dyn Fn() -> Option<T>,
        is_there: &dyn Fn() -> bool,
    ) -> Option<T> {
        loop {
            let found = look();
            if found.is_some() {
                return found;
            }
            if self.sleep(deadline, is_there) {
                return look();
            }
        }
    }

    /// Returns whether that took until the deadline.
    fn sleep(&self, deadline: Option<Instant>, is_there: &dyn Fn() -> bool) -> bool {
        let mut guard = self.lock.lock();
        self.is_awaited.store(true, Ordering::SeqCst);
        !is_there() && wait_until(&self.bell, &mut guard, deadline)
    }
}
