//! A pipe between two threads: buffers in order, bounded in bytes, on a
//! bounded crossbeam channel.
//!
//! - A write is accepted whole while no more than the limit is queued, and
//!   blocks otherwise; so a pipe holds the limit and one write at the most. A
//!   buffer is charged for the memory it pins, not for its payload.
//! - [`PipeWriter::close`] lets the reader drain what was accepted and then
//!   see the end. [`interrupt`](PipeWriter::interrupt) makes both sides fail
//!   at once and drops what is queued, also after a close.
//! - Any number of threads may write, each through its own clone.

use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, TryRecvError};

use crate::buf::Buf;
use crate::limits::{PIPE_PATIENCE, PIPE_SLOTS};
use crate::sync::Done;
use crate::sync::shim::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::shim::{Mutex, Receiver, Sender, after, bounded, never, select};

/// Why a pipe did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipeError {
    /// Written after the close.
    Closed,
    /// Interrupted: what was queued is gone.
    Interrupted,
    /// Nothing came within the time given.
    TimedOut,
    /// There is no room now.
    Full,
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PipeError::Closed => "pipe is closed",
            PipeError::Interrupted => "pipe was interrupted",
            PipeError::TimedOut => "nothing came through the pipe in time",
            PipeError::Full => "pipe is full",
        })
    }
}

impl std::error::Error for PipeError {}

/// Makes a pipe that holds `limit` bytes, and one write beyond.
pub fn pipe(limit: usize) -> (PipeReader, PipeWriter) {
    elastic_pipe(limit, limit)
}

/// Makes a pipe that holds `limit` bytes, and one write beyond, and can be told
/// to hold up to `most`.
pub fn elastic_pipe(limit: usize, most: usize) -> (PipeReader, PipeWriter) {
    let least_charge = limit / PIPE_SLOTS;
    // Every entry is charged at least that, so that the channel always has a
    // slot for a write that was admitted by its bytes.
    let slots = most.checked_div(least_charge).unwrap_or(PIPE_SLOTS);
    let (data_in, data_out) = bounded(slots + 2);
    let shared = Arc::new(Shared {
        limit: AtomicUsize::new(limit),
        bounds: limit..=most.max(limit),
        least_charge,
        queued: AtomicUsize::new(0),
        waiting: AtomicUsize::new(0),
        queue: Mutex::default(),
        data_in: Mutex::new(Some(data_in)),
        data_out,
        closed: Done::new(),
        is_interrupted: AtomicBool::new(false),
    });
    let writer = PipeWriter {
        shared: shared.clone(),
    };
    (PipeReader { shared }, writer)
}

struct Shared {
    limit: AtomicUsize,
    bounds: RangeInclusive<usize>,
    least_charge: usize,
    /// What the entries in the channel were charged.
    queued: AtomicUsize,
    /// Writers in the queue; readers look there only if there are any.
    waiting: AtomicUsize,
    /// Those who wait for room, in the order in which they came.
    queue: Mutex<Queue>,
    /// Absent once closed. A writer sends on a clone, so that a write under
    /// way at the close is still delivered: the channel ends with its last
    /// sender.
    data_in: Mutex<Option<Sender<Buf>>>,
    data_out: Receiver<Buf>,
    closed: Done,
    is_interrupted: AtomicBool,
}

#[derive(Default)]
struct Queue {
    last: u64,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    since: Instant,
    /// Says that there may be room, to the first in the queue.
    bell: Sender<()>,
    /// It was rung, and he has not come yet.
    called: bool,
}

impl Shared {
    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    fn charge(&self, buf: &Buf) -> usize {
        buf.footprint().max(self.least_charge)
    }

    /// Counts `charge` as queued, unless more than the limit is already.
    fn admit(&self, charge: usize) -> bool {
        let limit = self.limit();
        let add = |queued: usize| (queued <= limit).then_some(queued + charge);
        self.queued
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add)
            .is_ok()
    }

    fn release(&self, charge: usize) {
        let before = self.queued.fetch_sub(charge, Ordering::SeqCst);
        // Not at once when there is room for one write: reader and writer
        // would take turns buffer by buffer, with a context switch for each.
        if before - charge <= self.limit() / 2 {
            self.pass_the_word();
        }
    }

    /// Wakes the writer that has waited longest.
    fn pass_the_word(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        let bell = queue.waiters.front_mut().map(Waiter::call);
        drop(queue);
        if let Some(bell) = bell {
            let _ = bell.try_send(()); // or he has not heard the last one yet
        }
    }

    /// Whether a writer that has just come may take the room for which the
    /// first of those who wait was called: it runs already, and he has to be
    /// woken. But not again and again (A6).
    fn may_overtake(&self) -> bool {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return true;
        }
        let queue = self.queue.lock();
        let first = queue.waiters.front();
        first.is_none_or(|first| first.called && first.since.elapsed() < PIPE_PATIENCE)
    }

    fn enqueue(&self) -> (u64, Receiver<()>) {
        let (bell, rung) = bounded(1);
        let mut queue = self.queue.lock();
        queue.last += 1;
        let number = queue.last;
        let since = Instant::now();
        queue.waiters.push_back(Waiter {
            number,
            since,
            bell,
            called: false,
        });
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        (number, rung)
    }

    /// Counts `charge` as queued, if it is this waiter's turn and there is
    /// room.
    fn admit_first(&self, number: u64, charge: usize) -> bool {
        let mut queue = self.queue.lock();
        let first = queue.waiters.front_mut();
        let Some(first) = first.filter(|first| first.number == number) else {
            return false;
        };
        first.called = false;
        self.admit(charge)
    }

    fn leave(&self, number: u64) {
        let mut queue = self.queue.lock();
        queue.waiters.retain(|waiter| waiter.number != number);
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
    }

    fn close(&self) {
        let sender = self.data_in.lock().take();
        drop(sender);
        self.closed.signal();
    }

    fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
        self.close();
        self.drop_queued();
    }

    fn drop_queued(&self) {
        while let Ok(buf) = self.data_out.try_recv() {
            self.release(self.charge(&buf));
        }
    }

    fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }
}

impl Waiter {
    fn call(&mut self) -> Sender<()> {
        self.called = true;
        self.bell.clone()
    }
}

/// The receiving end. Dropping it interrupts the pipe.
pub struct PipeReader {
    shared: Arc<Shared>,
}

impl PipeReader {
    /// Waits for the next buffer; `None` is the orderly end.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`].
    pub fn read(&self) -> Result<Option<Buf>, PipeError> {
        match self.shared.data_out.recv() {
            Ok(buf) => self.taken(buf),
            Err(_) => self.ended(),
        }
    }

    /// As [`read`](Self::read), for `wait` at the most.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`], [`PipeError::TimedOut`].
    pub fn read_timeout(&self, wait: Duration) -> Result<Option<Buf>, PipeError> {
        match self.shared.data_out.recv_timeout(wait) {
            Ok(buf) => self.taken(buf),
            Err(RecvTimeoutError::Timeout) => Err(PipeError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => self.ended(),
        }
    }

    /// As [`read`](Self::read), without waiting.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`], [`PipeError::TimedOut`].
    pub fn try_read(&self) -> Result<Option<Buf>, PipeError> {
        match self.shared.data_out.try_recv() {
            Ok(buf) => self.taken(buf),
            Err(TryRecvError::Empty) => Err(PipeError::TimedOut),
            Err(TryRecvError::Disconnected) => self.ended(),
        }
    }

    /// Waits for a buffer and then takes all that are queued. Returns whether
    /// there were any; `false` is the orderly end.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`].
    pub fn read_batch(&self, batch: &mut VecDeque<Buf>) -> Result<bool, PipeError> {
        let Some(first) = self.read()? else {
            return Ok(false);
        };
        batch.push_back(first);
        while let Ok(Some(buf)) = self.try_read() {
            batch.push_back(buf);
        }
        Ok(true)
    }

    /// An interrupt closes as well: that is what wakes a reader.
    fn ended(&self) -> Result<Option<Buf>, PipeError> {
        if self.shared.is_interrupted() {
            return Err(PipeError::Interrupted);
        }
        Ok(None)
    }

    fn taken(&self, buf: Buf) -> Result<Option<Buf>, PipeError> {
        self.shared.release(self.shared.charge(&buf));
        if self.shared.is_interrupted() {
            return Err(PipeError::Interrupted);
        }
        Ok(Some(buf))
    }

    /// Buffers that are queued now.
    pub fn queued_buffers(&self) -> usize {
        self.shared.data_out.len()
    }

    /// Makes both sides fail at once, and drops what is queued.
    pub fn interrupt(&self) {
        self.shared.interrupt();
    }

    /// A way to interrupt the pipe from elsewhere.
    pub fn handle(&self) -> PipeHandle {
        PipeHandle {
            shared: self.shared.clone(),
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.shared.interrupt();
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// A sending end. Clones write to the same pipe.
///
/// Dropping the last clone without [`close`](PipeWriter::close) does not end
/// the pipe: who opens a pipe decides how it ends.
#[derive(Clone)]
pub struct PipeWriter {
    shared: Arc<Shared>,
}

impl PipeWriter {
    /// Queues `buf`; waits while more than the limit is queued.
    ///
    /// # Errors
    /// [`PipeError::Closed`], [`PipeError::Interrupted`]; `buf` is lost then.
    pub fn write(&self, buf: Buf) -> Result<(), PipeError> {
        self.write_before(buf, &never())
    }

    /// As [`write`](Self::write), waiting for `limit` at the most.
    ///
    /// # Errors
    /// [`PipeError::TimedOut`] as well; `buf` is lost then, too.
    pub fn write_timeout(&self, buf: Buf, limit: Duration) -> Result<(), PipeError> {
        self.write_before(buf, &after(limit))
    }

    fn write_before(&self, buf: Buf, deadline: &Receiver<Instant>) -> Result<(), PipeError> {
        let buf = buf.compact();
        let charge = self.shared.charge(&buf);
        if !(self.shared.may_overtake() && self.shared.admit(charge)) {
            self.wait_for_room(charge, deadline)?;
        }
        self.send(buf, charge)
    }

    /// Queues `buf` if there is room now, else gives it back.
    ///
    /// # Errors
    /// [`PipeError::Full`], and `buf` with it; [`PipeError::Closed`] and
    /// [`PipeError::Interrupted`], where `buf` may be lost.
    pub fn try_write(&self, buf: Buf) -> Result<(), (PipeError, Buf)> {
        let buf = buf.compact();
        let charge = self.shared.charge(&buf);
        if !self.shared.admit(charge) {
            let reason = self.end_reason().unwrap_or(PipeError::Full);
            return Err((reason, buf));
        }
        self.send(buf, charge)
            .map_err(|e| (e, Buf::with_capacity(0)))
    }

    /// Waiters are woken in turn, and keep their place until they are let in.
    /// Whoever has become the first looks by himself: the word that made him
    /// the first may have been the last.
    fn wait_for_room(&self, charge: usize, deadline: &Receiver<Instant>) -> Result<(), PipeError> {
        let (number, bell) = self.shared.enqueue();
        let admitted = loop {
            if let Some(reason) = self.end_reason() {
                break Err(reason);
            }
            if self.shared.admit_first(number, charge) {
                break Ok(());
            }
            select! {
                recv(bell) -> _ => {}
                recv(self.shared.closed.event()) -> _ => {}
                recv(deadline) -> _ => break Err(PipeError::TimedOut),
            }
        };
        self.shared.leave(number);
        // There may be room for the next one as well.
        self.shared.pass_the_word();
        admitted
    }

    fn send(&self, buf: Buf, charge: usize) -> Result<(), PipeError> {
        let sender = self.shared.data_in.lock().clone();
        let sent = sender.is_some_and(|sender| sender.try_send(buf).is_ok());
        if !sent {
            self.shared.release(charge);
            return Err(self.end_reason().unwrap_or(PipeError::Closed));
        }
        if self.shared.is_interrupted() {
            // It may have come too late for the interrupt to drop it.
            self.shared.drop_queued();
            return Err(PipeError::Interrupted);
        }
        Ok(())
    }

    fn end_reason(&self) -> Option<PipeError> {
        if self.shared.is_interrupted() {
            return Some(PipeError::Interrupted);
        }
        self.shared.closed.is_done().then_some(PipeError::Closed)
    }

    /// Holds `limit` bytes from now on, within the bounds that the pipe was made
    /// with. What is queued beyond stays queued.
    pub fn set_limit(&self, limit: usize) {
        let bounds = &self.shared.bounds;
        let limit = limit.clamp(*bounds.start(), *bounds.end());
        if self.shared.limit.swap(limit, Ordering::Relaxed) < limit {
            self.shared.pass_the_word();
        }
    }

    /// Whether a write now would be queued without waiting.
    pub fn has_room(&self) -> bool {
        self.shared.queued.load(Ordering::SeqCst) <= self.shared.limit()
    }

    /// Whether a read now would have to wait: nothing is queued, and the pipe
    /// has not ended.
    pub fn is_idle(&self) -> bool {
        self.shared.data_out.is_empty() && !self.shared.closed.is_done()
    }

    /// Ends the pipe: the reader drains what is queued and then sees the end.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Makes both sides fail at once, and drops what is queued.
    pub fn interrupt(&self) {
        self.shared.interrupt();
    }

    /// A way to interrupt the pipe from elsewhere.
    pub fn handle(&self) -> PipeHandle {
        PipeHandle {
            shared: self.shared.clone(),
        }
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Interrupts a pipe whose ends are elsewhere.
#[derive(Clone)]
pub struct PipeHandle {
    shared: Arc<Shared>,
}

impl PipeHandle {
    /// Makes both sides fail at once, and drops what is queued.
    pub fn interrupt(&self) {
        self.shared.interrupt();
    }
}

impl fmt::Debug for PipeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queued = self.queued.load(Ordering::SeqCst);
        write!(f, "Pipe({queued} of {} bytes)", self.limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that never pauses may overtake one that has been called and has
    /// not come to run yet, but not for long (A6).
    #[test]
    fn a06_a_writer_queues_behind_those_who_wait() {
        let (reader, writer) = pipe(64 * 1024);
        let shared = writer.shared.clone();
        let write = || writer.write_timeout(Buf::copy_of(b"x"), Duration::from_millis(1));
        let (number, bell) = shared.enqueue(); // who does not come to run
        assert_eq!(write(), Err(PipeError::TimedOut), "he was not called");
        assert!(bell.try_recv().is_ok(), "who left in vain has called him");
        let first_since = |since| shared.queue.lock().waiters[0].since = since;
        first_since(Instant::now() + PIPE_PATIENCE);
        assert_eq!(write(), Ok(()));
        first_since(Instant::now() - PIPE_PATIENCE);
        assert_eq!(write(), Err(PipeError::TimedOut));
        shared.leave(number);
        assert_eq!(write(), Ok(()));
        drop(reader);
    }
}
