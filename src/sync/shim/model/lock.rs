//! Mutex and condition variable with parking_lot's interface.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};

use super::bell::{Bell, Ringer};
use super::time::at_some_time;

/// A mutex that a panic does not poison.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    #[allow(missing_docs)]
    pub const fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    #[allow(missing_docs)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            held: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

/// Holds a [`Mutex`].
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// Absent during a wait.
    held: Option<shuttle::sync::MutexGuard<'a, T>>,
}

#[allow(missing_docs)]
impl<T: ?Sized> MutexGuard<'_, T> {
    pub fn unlocked<R>(&mut self, act: impl FnOnce() -> R) -> R {
        self.held = None;
        let outcome = act();
        self.held = self.mutex.lock().held.take();
        outcome
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("only a wait takes it")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("only a wait takes it")
    }
}

/// Wakes whom chance chooses.
#[derive(Debug, Default)]
pub struct Condvar {
    /// Never held at a step of the schedule.
    waiting: std::sync::Mutex<Vec<Arc<Bell>>>,
}

#[allow(missing_docs)]
impl Condvar {
    pub const fn new() -> Self {
        Self {
            waiting: std::sync::Mutex::new(Vec::new()),
        }
    }

    pub fn notify_one(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.is_empty() {
            return;
        }
        let chosen = thread_rng().gen_range(0..waiting.len());
        let bell = waiting.swap_remove(chosen);
        drop(waiting);
        bell.ring(Ringer::Thread);
    }

    pub fn notify_all(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        for bell in waiting {
            bell.ring(Ringer::Thread);
        }
    }

    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        let bell = self.enlist();
        guard.unlocked(|| bell.wait());
    }

    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _deadline: Instant,
    ) -> WaitTimeoutResult {
        let bell = self.enlist();
        let clock = bell.clone();
        at_some_time(move || clock.ring(Ringer::Clock));
        let ringer = guard.unlocked(|| bell.wait());
        // Who was chosen meanwhile must not say that nobody has woken it.
        let unchosen = self.delist(&bell);
        WaitTimeoutResult(ringer == Ringer::Clock && unchosen)
    }

    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        limit: Duration,
    ) -> WaitTimeoutResult {
        self.wait_until(guard, Instant::now() + limit)
    }

    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        limit: Duration,
    ) -> WaitTimeoutResult {
        let mut waited = WaitTimeoutResult(false);
        while condition(&mut *guard) && !waited.timed_out() {
            waited = self.wait_for(guard, limit);
        }
        waited
    }

    /// With the lock held, so that no notification comes in between.
    fn enlist(&self) -> Arc<Bell> {
        let bell = Bell::new();
        self.waiting.lock().unwrap().push(bell.clone());
        bell
    }

    /// Returns whether it was still listed.
    fn delist(&self, bell: &Arc<Bell>) -> bool {
        let mut waiting = self.waiting.lock().unwrap();
        let place = waiting.iter().position(|listed| Arc::ptr_eq(listed, bell));
        place.map(|place| waiting.swap_remove(place)).is_some()
    }
}

/// Whether the time was over.
#[derive(Debug, Clone, Copy)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    #[allow(missing_docs)]
    pub fn timed_out(self) -> bool {
        self.0
    }
}
