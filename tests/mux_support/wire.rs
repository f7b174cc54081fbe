//! A link in memory: bytes, without the writer's boundaries, that the reader
//! gets in pieces of a chosen size. It can be made to stall, and to break
//! after any number of bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use muxcool::buf::Buf;
use muxcool::link::{Handle, Interrupt, Link, LinkError, Reader, Writer};
use parking_lot::{Condvar, Mutex, MutexGuard};

/// What the reader gets at once.
#[derive(Debug, Clone, Copy)]
pub enum Pieces {
    /// As much as is there.
    Whole,
    /// This many bytes at the most.
    Of(usize),
    /// From 1 to `max`, by a generator that starts at `seed`.
    Random { seed: u64, max: usize },
}

/// How a lane ends for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an orderly end.
    Orderly,
    /// With an error.
    Broken,
}

/// Settings of both lanes of a wire.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Bytes on their way at once.
    pub capacity: usize,
    /// How they arrive.
    pub pieces: Pieces,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024,
            pieces: Pieces::Whole,
        }
    }
}

/// One direction.
pub struct Lane {
    state: Mutex<State>,
    changed: Condvar,
    /// Breaks with this one.
    opposite: Mutex<Weak<Lane>>,
}

struct State {
    bytes: VecDeque<u8>,
    spec: Spec,
    /// Bytes that the writer has put in.
    passed: usize,
    /// Ends itself after that many.
    cut: Option<(usize, End)>,
    end: Option<End>,
    stalled: bool,
    reader_interrupted: bool,
}

/// A wire's ends as links, and its two lanes.
pub struct Wire {
    pub near: Link,
    pub far: Link,
    pub to_far: Arc<Lane>,
    pub to_near: Arc<Lane>,
}

/// Makes a wire.
pub fn wire(spec: Spec) -> Wire {
    let (to_far, to_near) = (Lane::new(spec), Lane::new(spec));
    *to_far.opposite.lock() = Arc::downgrade(&to_near);
    *to_near.opposite.lock() = Arc::downgrade(&to_far);
    let link = |from: &Arc<Lane>, to: &Arc<Lane>| {
        Link::new(
            LaneReader(from.clone()),
            LaneWriter {
                lane: to.clone(),
                closed: false,
            },
        )
    };
    Wire {
        near: link(&to_near, &to_far),
        far: link(&to_far, &to_near),
        to_far,
        to_near,
    }
}

impl Lane {
    fn new(spec: Spec) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                bytes: VecDeque::new(),
                spec,
                passed: 0,
                cut: None,
                end: None,
                stalled: false,
                reader_interrupted: false,
            }),
            changed: Condvar::new(),
            opposite: Mutex::new(Weak::new()),
        })
    }

    /// The reader gets nothing until [`resume`](Self::resume).
    pub fn stall(&self) {
        self.change(|state| state.stalled = true);
    }

    pub fn resume(&self) {
        self.change(|state| state.stalled = false);
    }

    /// Ends the lane once `count` bytes have passed, and breaks the other one.
    pub fn cut_after(&self, count: usize, end: End) {
        self.change(|state| state.cut = Some((count, end)));
        self.cut_if_due();
    }

    /// Bytes that the writer has put in so far.
    pub fn passed(&self) -> usize {
        self.state.lock().passed
    }

    /// Bytes that wait for the reader.
    pub fn waiting(&self) -> usize {
        self.state.lock().bytes.len()
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn end(&self, end: End) {
        self.change(|state| {
            if state.end != Some(End::Broken) {
                state.end = Some(end);
            }
        });
    }

    /// Drops what is on its way, too.
    fn break_off(&self) {
        self.change(|state| {
            state.end = Some(End::Broken);
            state.bytes.clear();
        });
    }

    fn cut_if_due(&self) {
        let state = self.state.lock();
        let due = match state.cut {
            Some((at, end)) if state.passed >= at => end,
            _ => return,
        };
        drop(state);
        self.end(due);
        let opposite = self.opposite.lock().upgrade();
        if let Some(opposite) = opposite {
            opposite.break_off();
        }
    }

    /// Puts in what fits now; 0 if nothing does.
    fn put(&self, data: &[u8]) -> Result<usize, LinkError> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return Err(LinkError::Reset);
        }
        let mut len = data.len().min(state.room());
        if let Some((at, _)) = state.cut {
            len = len.min(at.saturating_sub(state.passed));
        }
        state.bytes.extend(&data[..len]);
        state.passed += len;
        drop(state);
        self.changed.notify_all();
        self.cut_if_due();
        Ok(len)
    }

    fn wait_for_room(&self) {
        let mut state = self.state.lock();
        while state.end.is_none() && state.room() == 0 {
            self.changed.wait(&mut state);
        }
    }

    fn take(&self, deadline: Option<Instant>) -> Result<Option<Buf>, LinkError> {
        let mut state = self.state.lock();
        loop {
            if state.reader_interrupted {
                return Err(LinkError::Reset);
            }
            if !state.stalled && !state.bytes.is_empty() {
                let buf = state.piece();
                drop(state);
                self.changed.notify_all();
                return Ok(Some(buf));
            }
            match state.end {
                Some(End::Orderly) if !state.stalled => return Ok(None),
                Some(End::Broken) => return Err(LinkError::Reset),
                _ => {}
            }
            if !self.wait(&mut state, deadline) {
                return Err(LinkError::TimedOut);
            }
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, deadline: Option<Instant>) -> bool {
        match deadline {
            Some(at) => !self.changed.wait_until(state, at).timed_out(),
            None => {
                self.changed.wait(state);
                true
            }
        }
    }
}

impl State {
    fn room(&self) -> usize {
        self.spec.capacity.saturating_sub(self.bytes.len())
    }

    fn piece(&mut self) -> Buf {
        let len = match &mut self.spec.pieces {
            Pieces::Whole => self.bytes.len(),
            Pieces::Of(size) => *size,
            Pieces::Random { seed, max } => {
                *seed ^= *seed << 13;
                *seed ^= *seed >> 7;
                *seed ^= *seed << 17;
                1 + (*seed as usize) % *max
            }
        };
        let len = len.min(self.bytes.len());
        let bytes: Vec<u8> = self.bytes.drain(..len).collect();
        Buf::copy_of(&bytes)
    }
}

struct LaneReader(Arc<Lane>);

impl Reader for LaneReader {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        self.0.take(None)
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        self.0.take(Some(Instant::now() + wait))
    }

    fn handle(&self) -> Handle {
        Arc::new(StopReader(self.0.clone()))
    }
}

/// A reader that is gone takes no more: its writer must see an error.
impl Drop for LaneReader {
    fn drop(&mut self) {
        let at_end = self.0.state.lock().end.is_some();
        if !at_end {
            self.0.break_off();
        }
    }
}

struct StopReader(Arc<Lane>);

impl Interrupt for StopReader {
    fn interrupt(&self) {
        self.0.change(|state| state.reader_interrupted = true);
    }
}

struct LaneWriter {
    lane: Arc<Lane>,
    closed: bool,
}

impl Writer for LaneWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(mut buf) = batch.pop_front() {
            while !buf.is_empty() {
                match self.lane.put(buf.as_slice())? {
                    0 => self.lane.wait_for_room(),
                    len => buf.advance(len),
                }
            }
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        match self.lane.put(data)? {
            0 if !data.is_empty() => Err(LinkError::WouldBlock),
            len => Ok(len),
        }
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        self.lane.end(End::Orderly);
        Ok(())
    }

    fn abort(&mut self) {
        self.lane.break_off();
    }

    fn handle(&self) -> Handle {
        Arc::new(BreakLane(self.lane.clone()))
    }
}

impl Drop for LaneWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.lane.break_off();
        }
    }
}

struct BreakLane(Arc<Lane>);

impl Interrupt for BreakLane {
    fn interrupt(&self) {
        self.0.break_off();
    }
}
