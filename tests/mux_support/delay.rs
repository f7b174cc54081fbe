//! A link in memory whose bytes take their time, each way the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muxcool::buf::Buf;
use muxcool::link::{Handle, Interrupt, Link, LinkError, Reader, Writer};
use parking_lot::{Condvar, Mutex};

/// Both ends of a link on which every byte is under way for `delay`. It takes
/// whatever is written at once.
pub fn delayed(delay: Duration) -> (Link, Link) {
    let (there, back) = (Lane::new(delay), Lane::new(delay));
    let link = |from: &Arc<Lane>, to: &Arc<Lane>| Link::new(Far(from.clone()), Near(to.clone()));
    (link(&back, &there), link(&there, &back))
}

struct Lane {
    delay: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    under_way: VecDeque<(Instant, Buf)>,
    /// Nothing more comes; with an error if it says so.
    ended: Option<bool>,
}

impl Lane {
    fn new(delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            delay,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn end(&self, failed: bool) {
        let mut state = self.state.lock();
        state.ended = Some(failed || state.ended == Some(true));
        drop(state);
        self.changed.notify_all();
    }

    fn take(&self, deadline: Option<Instant>) -> Result<Option<Buf>, LinkError> {
        let mut state = self.state.lock();
        loop {
            if state.ended == Some(true) {
                return Err(LinkError::Reset);
            }
            let due = state.under_way.front().map(|(due, _)| *due);
            let now = Instant::now();
            match due {
                Some(due) if due <= now => {
                    return Ok(state.under_way.pop_front().map(|(_, buf)| buf));
                }
                None if state.ended.is_some() => return Ok(None),
                _ => {}
            }
            if deadline.is_some_and(|at| at <= now) {
                return Err(LinkError::TimedOut);
            }
            match due.into_iter().chain(deadline).min() {
                Some(at) => drop(self.changed.wait_until(&mut state, at)),
                None => self.changed.wait(&mut state),
            }
        }
    }
}

struct Far(Arc<Lane>);

impl Reader for Far {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        self.0.take(None)
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        self.0.take(Some(Instant::now() + wait))
    }

    fn handle(&self) -> Handle {
        Arc::new(Break(self.0.clone()))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.0.end(true);
    }
}

struct Near(Arc<Lane>);

impl Writer for Near {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let mut state = self.0.state.lock();
        if state.ended.is_some() {
            return Err(LinkError::Reset);
        }
        let due = Instant::now() + self.0.delay;
        state
            .under_way
            .extend(batch.drain(..).map(|buf| (due, buf)));
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.0.end(false);
        Ok(())
    }

    fn abort(&mut self) {
        self.0.end(true);
    }

    fn handle(&self) -> Handle {
        Arc::new(Break(self.0.clone()))
    }
}

struct Break(Arc<Lane>);

impl Interrupt for Break {
    fn interrupt(&self) {
        self.0.end(true);
    }
}
