//! A pipe's room in bytes, and the writers that wait for it.

use std::ops::RangeInclusive;
use std::time::Instant;

use crate::sync::shim::atomic::{AtomicUsize, Ordering};
use crate::sync::shim::{Mutex, MutexGuard};

use super::PipeError;
use super::queue::{Place, Queue, Turn};

/// What was let in has room until it is released.
///
/// A writer that runs may overtake those who wait, for else each write of many
/// writers would cost a switch of threads; but nobody who has waited for
/// [`PIPE_PATIENCE`](crate::limits::PIPE_PATIENCE) and goes before it (A6).
pub(super) struct Room {
    limit: AtomicUsize,
    bounds: RangeInclusive<usize>,
    /// Bytes that were let in and are not released.
    taken: AtomicUsize,
    /// Writers in the queue, or about to be; others look there only if there are
    /// any.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
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

    /// Lets `charge` in, as soon as there is room and it is the caller's turn, in
    /// which he may fill half of it. `end` says why nobody is let in any more.
    pub(super) fn enter(
        &self,
        charge: usize,
        turn: Option<&Turn>,
        deadline: Option<Instant>,
        end: &dyn Fn() -> Option<PipeError>,
    ) -> Result<(), PipeError> {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.try_enter(charge) {
            return Ok(());
        }
        self.waiting.fetch_add(1, Ordering::SeqCst); // before the next try
        let mut queue = self.queue.lock();
        let place = queue.place(turn, charge, self.limit() / 2);
        let entered = self.wait_in_queue(&mut queue, place, charge, deadline, end);
        if let (Ok(()), Some(turn)) = (&entered, turn) {
            queue.entered(place, turn, charge);
        }
        let has_waited = queue.leave(place);
        drop(queue);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if has_waited {
            self.pass_the_word(); // there may be room for the next one as well
        }
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
        self.queue.lock().ring_all();
    }

    fn wait_in_queue(
        &self,
        queue: &mut MutexGuard<'_, Queue>,
        place: Place,
        charge: usize,
        deadline: Option<Instant>,
        end: &dyn Fn() -> Option<PipeError>,
    ) -> Result<(), PipeError> {
        let mut too_late = false;
        loop {
            // Under the lock: who ends the pipe wakes those who sleep by then.
            if let Some(reason) = end() {
                return Err(reason);
            }
            if queue.lets_in(place) && self.try_enter(charge) {
                return Ok(());
            }
            if too_late {
                return Err(PipeError::TimedOut);
            }
            let bell = queue.wait(place);
            too_late = MutexGuard::unlocked(queue, || bell.wait(deadline));
        }
    }

    /// Wakes the first of those who wait. He passes the word on as long as there
    /// is room.
    fn pass_the_word(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 || !self.is_left() {
            return;
        }
        let first = self.queue.lock().first_bell();
        if let Some(bell) = first {
            bell.ring(); // without the lock, which he takes
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::buf::Buf;
    use crate::limits::PIPE_PATIENCE;
    use crate::pipe::pipe;

    /// A writer that never pauses may overtake one that waits for room, but not
    /// for long (A6).
    #[test]
    fn a06_a_writer_queues_behind_those_who_have_waited_for_long() {
        let (_reader, writer) = pipe(64 * 1024);
        let room = &writer.shared.room;
        let write = || writer.write_timeout(Buf::copy_of(b"x"), Duration::from_millis(1));
        let first = room.queue.lock().place(None, 1, 1); // who does not come to run
        room.waiting.store(1, Ordering::SeqCst);
        let first_came = |since| room.queue.lock().came(first, since);
        first_came(Instant::now() + PIPE_PATIENCE);
        assert_eq!(write(), Ok(()));
        first_came(Instant::now() - PIPE_PATIENCE);
        assert_eq!(write(), Err(PipeError::TimedOut));
        assert_eq!(write(), Err(PipeError::TimedOut));
        room.queue.lock().leave(first);
        assert_eq!(write(), Ok(()));
    }
}
