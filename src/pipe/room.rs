//! A pipe's room in bytes, and the writers that wait for it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::PIPE_PATIENCE;
use crate::sync::shim::atomic::{AtomicUsize, Ordering};
use crate::sync::shim::{Condvar, Mutex, MutexGuard};

use super::{PipeError, wait_until};

/// What was let in has room until it is released.
///
/// A writer that runs may overtake those who wait, for else each write of many
/// writers would cost a switch of threads; but nobody who has waited for
/// [`PIPE_PATIENCE`] and is the first of them (A6).
pub(super) struct Room {
    limit: AtomicUsize,
    bounds: RangeInclusive<usize>,
    /// Bytes that were let in and are not released.
    taken: AtomicUsize,
    /// Writers in the queue; others look there only if there are any.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    last: u64,
    /// In the order in which they came.
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    since: Instant,
    /// His own, so that whose turn it is is woken and nobody else; only while he
    /// sleeps.
    bell: Option<Arc<Condvar>>,
}

impl Room {
    pub(super) fn new(limit: usize, most: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            bounds: limit..=most.max(limit),
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    pub(super) fn set_limit(&self, limit: usize) {
        let limit = limit.clamp(*self.bounds.start(), *self.bounds.end());
        if self.limit.swap(limit, Ordering::SeqCst) < limit {
            self.pass_the_word();
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub(super) fn is_left(&self) -> bool {
        self.taken() <= self.limit()
    }

    /// Lets `charge` in, unless more than the limit is in already. Looks at
    /// nobody who waits.
    pub(super) fn try_enter(&self, charge: usize) -> bool {
        let limit = self.limit();
        let add = |taken: usize| (taken <= limit).then_some(taken + charge);
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add)
            .is_ok()
    }

    /// Lets `charge` in, as soon as there is room and it is the caller's turn.
    /// `end` says why nobody is let in any more.
    pub(super) fn enter(
        &self,
        charge: usize,
        deadline: Option<Instant>,
        end: &dyn Fn() -> Option<PipeError>,
    ) -> Result<(), PipeError> {
        if self.may_overtake() && self.try_enter(charge) {
            return Ok(());
        }
        let number = self.enlist();
        let entered = self.wait_in_queue(number, charge, deadline, end);
        self.delist(number);
        // There may be room for the next one as well.
        self.pass_the_word();
        entered
    }

    pub(super) fn release(&self, charge: usize) {
        let before = self.taken.fetch_sub(charge, Ordering::SeqCst);
        // Not at once when there is room for one write: reader and writer
        // would take turns buffer by buffer, with a context switch for each.
        let enough = self.limit() / 2;
        if before > enough && before - charge <= enough {
            self.pass_the_word();
        }
    }

    /// For the end: each looks for himself.
    pub(super) fn wake_all(&self) {
        let queue = self.queue.lock();
        queue.waiters.iter().for_each(Waiter::wake);
    }

    fn may_overtake(&self) -> bool {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.queue.lock().lets_in(None)
    }

    fn wait_in_queue(
        &self,
        number: u64,
        charge: usize,
        deadline: Option<Instant>,
        end: &dyn Fn() -> Option<PipeError>,
    ) -> Result<(), PipeError> {
        let mut too_late = false;
        loop {
            let mut queue = self.queue.lock();
            // Under the lock: who ends the pipe wakes those who sleep by then.
            if let Some(reason) = end() {
                return Err(reason);
            }
            if queue.lets_in(Some(number)) && self.try_enter(charge) {
                return Ok(());
            }
            if too_late {
                return Err(PipeError::TimedOut);
            }
            too_late = sleep(&mut queue, number, deadline);
        }
    }

    /// Wakes the first of those who wait. He passes the word on as long as there
    /// is room.
    fn pass_the_word(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 || !self.is_left() {
            return;
        }
        if let Some(first) = self.queue.lock().waiters.front() {
            first.wake();
        }
    }

    fn enlist(&self) -> u64 {
        let mut queue = self.queue.lock();
        queue.last += 1;
        let number = queue.last;
        queue.waiters.push_back(Waiter {
            number,
            since: Instant::now(),
            bell: None,
        });
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        number
    }

    fn delist(&self, number: u64) {
        let mut queue = self.queue.lock();
        queue.waiters.retain(|waiter| waiter.number != number);
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
    }
}

impl Queue {
    /// Whether it is a writer's turn: of one that waits, or of one that has just
    /// come.
    fn lets_in(&self, waiter: Option<u64>) -> bool {
        self.waiters.front().is_none_or(|first| {
            waiter == Some(first.number) || first.since.elapsed() < PIPE_PATIENCE
        })
    }

    fn set_bell(&mut self, number: u64, bell: Option<Arc<Condvar>>) {
        let waiter = self.waiters.iter_mut().find(|w| w.number == number);
        if let Some(waiter) = waiter {
            waiter.bell = bell;
        }
    }
}

impl Waiter {
    /// If he sleeps.
    fn wake(&self) {
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
    }
}

/// Returns whether it took until the deadline.
fn sleep(queue: &mut MutexGuard<'_, Queue>, number: u64, deadline: Option<Instant>) -> bool {
    let bell = Arc::new(Condvar::new());
    queue.set_bell(number, Some(bell.clone()));
    let too_late = wait_until(&bell, queue, deadline);
    queue.set_bell(number, None);
    too_late
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::buf::Buf;
    use crate::pipe::pipe;

    /// A writer that never pauses may overtake one that waits for room, but not
    /// for long (A6).
    #[test]
    fn a06_a_writer_queues_behind_those_who_have_waited_for_long() {
        let (_reader, writer) = pipe(64 * 1024);
        let room = &writer.shared.room;
        let write = || writer.write_timeout(Buf::copy_of(b"x"), Duration::from_millis(1));
        let first = room.enlist(); // who does not come to run
        let first_since = |since| room.queue.lock().waiters[0].since = since;
        first_since(Instant::now() + PIPE_PATIENCE);
        assert_eq!(write(), Ok(()));
        first_since(Instant::now() - PIPE_PATIENCE);
        assert_eq!(write(), Err(PipeError::TimedOut));
        assert_eq!(write(), Err(PipeError::TimedOut));
        room.delist(first);
        assert_eq!(write(), Ok(()));
    }
}
