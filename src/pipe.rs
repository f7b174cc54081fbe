//! A pipe between two threads: buffers in order, bounded in bytes, on a
//! bounded crossbeam channel.
//!
//! - A write is accepted whole while no more than the limit is queued, and
//!   blocks otherwise; so a pipe holds the limit and one write at the most. A
//!   buffer is charged for the memory it pins, not for its payload.
//! - [`PipeWriter::close`] lets the reader drain what was accepted and then
//!   see the end. [`interrupt`](PipeWriter::interrupt) makes both sides fail
//!   at once and drops what is queued, also after a close.
//! - Any number of threads may write, each through its own clone. Those who
//!   write little do not wait for those who write much, if they have a
//!   [`Turn`].
//!
//! The channel is only sent to and received from without waiting, under no
//! lock; who has to wait does so in `news` and `room`. He sleeps at once: who
//! lets others run first, in the hope that it becomes needless, waits for the
//! whole turns of all others on a busy machine. Nobody spins.

mod news;
mod queue;
mod room;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, PIPE_SLOTS};
use crate::sync::deadline_in;
use crate::sync::shim::atomic::{AtomicBool, Ordering};
use crate::sync::shim::{Condvar, MutexGuard, Receiver, Sender, bounded};

pub use queue::Turn;

use news::News;
use room::Room;

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
    let most = most.max(limit);
    let least_charge = (limit / PIPE_SLOTS).max(BUFFER_CLASSES[0]);
    // Every entry is charged at least that, so that the channel always has a
    // slot for a write that was let in by its bytes.
    let (data_in, data_out) = bounded(most / least_charge + 2);
    let shared = Arc::new(Shared {
        least_charge,
        room: Room::new(limit, most),
        data_in,
        data_out,
        news: News::new(),
        is_closed: AtomicBool::new(false),
        is_interrupted: AtomicBool::new(false),
    });
    let writer = PipeWriter {
        shared: shared.clone(),
    };
    (PipeReader { shared }, writer)
}

struct Shared {
    least_charge: usize,
    /// What is in the channel has taken some, and what is on its way there.
    room: Room,
    data_in: Sender<Buf>,
    data_out: Receiver<Buf>,
    news: News,
    is_closed: AtomicBool,
    /// Closed as well, then.
    is_interrupted: AtomicBool,
}

impl Shared {
    fn charge(&self, buf: &Buf) -> usize {
        buf.footprint().max(self.least_charge)
    }

    fn write(
        &self,
        buf: Buf,
        turn: Option<&Turn>,
        limit: Option<Duration>,
    ) -> Result<(), PipeError> {
        let buf = buf.compact();
        let charge = self.charge(&buf);
        let deadline = limit.map(deadline_in);
        self.room
            .enter(charge, turn, deadline, &|| self.end_reason())?;
        self.queue(buf, charge).map_err(|(reason, _)| reason)?;
        self.news.tell();
        Ok(())
    }

    /// The reader is still to be told.
    fn try_queue(&self, buf: Buf) -> Result<(), (PipeError, Buf)> {
        let buf = buf.compact();
        let charge = self.charge(&buf);
        if !self.room.try_enter(charge) {
            return Err((self.end_reason().unwrap_or(PipeError::Full), buf));
        }
        self.queue(buf, charge)
    }

    /// Once `buf` was let in: a reader that finds the pipe closed waits for it.
    /// He is still to be told.
    fn queue(&self, buf: Buf, charge: usize) -> Result<(), (PipeError, Buf)> {
        let sent = match self.end_reason() {
            Some(reason) => Err((reason, buf)),
            None => self.data_in.try_send(buf).map_err(|e| {
                debug_assert!(false, "a slot for whatever was let in");
                (PipeError::Full, e.into_inner())
            }),
        };
        if sent.is_err() {
            self.release(charge);
        }
        // It may have come too late for the interrupt to drop it.
        if self.is_interrupted() && self.drop_queued() {
            return sent.and(Err((PipeError::Interrupted, Buf::with_capacity(0))));
        }
        sent
    }

    fn read(&self, deadline: Option<Instant>) -> Result<Option<Buf>, PipeError> {
        let is_there = || !self.data_out.is_empty() || self.has_ended();
        let found = self.news.wait(deadline, &|| self.look(), &is_there);
        found.unwrap_or(Err(PipeError::TimedOut))
    }

    /// The next buffer, or the end; `None` if neither is here yet.
    fn look(&self) -> Option<Result<Option<Buf>, PipeError>> {
        let is_closed = self.is_closed();
        let Ok(buf) = self.data_out.try_recv() else {
            // Asked again only if nothing can have come since.
            let has_ended = is_closed && self.has_ended();
            return has_ended.then(|| self.unless_interrupted(None));
        };
        self.release(self.charge(&buf));
        Some(self.unless_interrupted(Some(buf)))
    }

    /// Whether all that was let in before the close is out, or dropped.
    fn has_ended(&self) -> bool {
        self.is_closed() && (self.room.taken() == 0 || self.is_interrupted())
    }

    fn unless_interrupted<T>(&self, value: T) -> Result<T, PipeError> {
        match self.is_interrupted() {
            true => Err(PipeError::Interrupted),
            false => Ok(value),
        }
    }

    /// What is queued now behind a buffer that was read.
    fn take_queued(&self, batch: &mut VecDeque<Buf>) -> Result<(), PipeError> {
        let mut charges = 0;
        for _ in 0..self.data_out.len() {
            let Ok(buf) = self.data_out.try_recv() else {
                break;
            };
            charges += self.charge(&buf);
            batch.push_back(buf);
        }
        self.release(charges);
        self.unless_interrupted(())
    }

    fn release(&self, charge: usize) {
        self.room.release(charge);
        if self.is_closed() {
            self.news.tell(); // that may have been the last
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.room.wake_all();
        self.news.tell();
    }

    fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
        self.close();
        self.drop_queued();
    }

    /// Returns whether anything was.
    fn drop_queued(&self) -> bool {
        let mut was_queued = false;
        while let Ok(buf) = self.data_out.try_recv() {
            was_queued = true;
            self.release(self.charge(&buf));
        }
        was_queued
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Why nothing can be written any more.
    fn end_reason(&self) -> Option<PipeError> {
        let is_closed = self.is_closed(); // looked at first, for an interrupt sets it last
        if self.is_interrupted() {
            return Some(PipeError::Interrupted);
        }
        is_closed.then_some(PipeError::Closed)
    }
}

/// Returns whether that took until the deadline, if there is one.
fn wait_until<T>(bell: &Condvar, guard: &mut MutexGuard<'_, T>, deadline: Option<Instant>) -> bool {
    match deadline {
        Some(at) => bell.wait_until(guard, at).timed_out(),
        None => {
            bell.wait(guard);
            false
        }
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
        self.shared.read(None)
    }

    /// As [`read`](Self::read), for `wait` at the most.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`], [`PipeError::TimedOut`].
    pub fn read_timeout(&self, wait: Duration) -> Result<Option<Buf>, PipeError> {
        self.shared.read(Some(deadline_in(wait)))
    }

    /// As [`read`](Self::read), without waiting.
    ///
    /// # Errors
    /// [`PipeError::Interrupted`], [`PipeError::TimedOut`].
    pub fn try_read(&self) -> Result<Option<Buf>, PipeError> {
        self.shared.look().unwrap_or(Err(PipeError::TimedOut))
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
        self.shared.take_queued(batch)?;
        Ok(true)
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
        self.shared.write(buf, None, None)
    }

    /// As [`write`](Self::write), waiting for `limit` at the most.
    ///
    /// # Errors
    /// [`PipeError::TimedOut`] as well; `buf` is lost then, too.
    pub fn write_timeout(&self, buf: Buf, limit: Duration) -> Result<(), PipeError> {
        self.shared.write(buf, None, Some(limit))
    }

    /// As [`write`](Self::write), waiting for `limit` at the most if there is one,
    /// and before others as long as something is left of this writer's `turn`.
    ///
    /// # Errors
    /// [`PipeError::TimedOut`] as well; `buf` is lost then, too.
    pub fn write_in_turn(
        &self,
        buf: Buf,
        turn: &Turn,
        limit: Option<Duration>,
    ) -> Result<(), PipeError> {
        self.shared.write(buf, Some(turn), limit)
    }

    /// Queues `buf` if there is room now, else gives it back.
    ///
    /// # Errors
    /// [`PipeError::Full`], [`PipeError::Closed`], and `buf` with them;
    /// [`PipeError::Interrupted`], where `buf` may be lost.
    pub fn try_write(&self, buf: Buf) -> Result<(), (PipeError, Buf)> {
        self.shared.try_queue(buf)?;
        self.shared.news.tell();
        Ok(())
    }

    /// As [`try_write`](Self::try_write), but a reader that sleeps is woken only
    /// when what is returned is dropped, or by somebody else.
    ///
    /// # Errors
    /// As `try_write`.
    pub fn try_write_quietly(&self, buf: Buf) -> Result<Wake, (PipeError, Buf)> {
        self.shared.try_queue(buf)?;
        let is_awaited = self.shared.news.is_awaited();
        Ok(Wake(is_awaited.then(|| self.shared.clone())))
    }

    /// Holds `limit` bytes from now on, within the bounds that the pipe was made
    /// with. What is queued beyond stays queued.
    pub fn set_limit(&self, limit: usize) {
        self.shared.room.set_limit(limit);
    }

    /// Whether a write now would be queued without waiting.
    pub fn has_room(&self) -> bool {
        self.shared.room.is_left()
    }

    /// Whether a read now would have to wait: nothing is queued, and the pipe
    /// has not ended.
    pub fn is_idle(&self) -> bool {
        self.shared.data_out.is_empty() && !self.shared.is_closed()
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

/// Wakes a pipe's reader when it is dropped, if he slept when it was made.
#[must_use = "the reader is woken when it is dropped"]
#[derive(Default)]
pub struct Wake(Option<Arc<Shared>>);

impl Wake {
    /// Whether there is somebody to wake.
    pub fn is_due(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.news.tell();
        }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wake").field(&self.is_due()).finish()
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
        let (taken, limit) = (self.room.taken(), self.room.limit());
        write!(f, "Pipe({taken} of {limit} bytes)")
    }
}
