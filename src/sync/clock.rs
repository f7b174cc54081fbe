use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline_after;
use super::shim::{self, Mutex, Receiver, Sender, bounded};

/// Where the time comes from: the system, or a test.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    manual: Option<Arc<ManualClock>>,
}

impl Clock {
    /// The system's monotonic clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Now.
    pub fn now(&self) -> Instant {
        match &self.manual {
            Some(manual) => manual.state.lock().now,
            None => Instant::now(),
        }
    }

    /// A channel that delivers one instant once `wait` has passed.
    pub fn after(&self, wait: Duration) -> Receiver<Instant> {
        match &self.manual {
            Some(manual) => manual.after(wait),
            None => shim::after(wait),
        }
    }

    /// A channel that delivers one instant at `deadline`, or at once if that
    /// has passed.
    pub fn at(&self, deadline: Instant) -> Receiver<Instant> {
        match &self.manual {
            Some(manual) => manual.at(deadline),
            None => shim::at(deadline),
        }
    }
}

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Instant,
    waiting: Vec<(Instant, Sender<Instant>)>,
}

impl ManualClock {
    /// A clock that stands still.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> Arc<Self> {
        let state = State {
            now: Instant::now(),
            waiting: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// This clock, for those who take a [`Clock`].
    pub fn clock(self: &Arc<Self>) -> Clock {
        Clock {
            manual: Some(self.clone()),
        }
    }

    /// Lets `step` pass and wakes whose time has come.
    pub fn advance(&self, step: Duration) {
        let (now, due) = self.state.lock().advance(step);
        wake(now, due);
    }

    /// How many wait for a later time.
    pub fn waiters(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn after(&self, wait: Duration) -> Receiver<Instant> {
        let mut state = self.state.lock();
        let deadline = deadline_after(state.now, wait);
        state.wait_until(deadline)
    }

    fn at(&self, deadline: Instant) -> Receiver<Instant> {
        let mut state = self.state.lock();
        let alarm = state.wait_until(deadline);
        let (now, due) = state.advance(Duration::ZERO);
        drop(state);
        wake(now, due);
        alarm
    }
}

impl State {
    fn wait_until(&mut self, deadline: Instant) -> Receiver<Instant> {
        let (sender, receiver) = bounded(1);
        self.waiting.push((deadline, sender));
        receiver
    }

    fn advance(&mut self, step: Duration) -> (Instant, Vec<Sender<Instant>>) {
        self.now += step;
        let now = self.now;
        let (due, later) = self.waiting.drain(..).partition(|(at, _)| *at <= now);
        self.waiting = later;
        let due: Vec<(Instant, Sender<Instant>)> = due;
        (now, due.into_iter().map(|(_, sender)| sender).collect())
    }
}

fn wake(now: Instant, due: Vec<Sender<Instant>>) {
    for waiter in due {
        let _ = waiter.try_send(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_told() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let start = clock.now();
        let alarm = clock.after(Duration::from_secs(10));
        manual.advance(Duration::from_secs(9));
        assert!(alarm.try_recv().is_err());
        manual.advance(Duration::from_secs(1));
        assert_eq!(alarm.try_recv(), Ok(start + Duration::from_secs(10)));
        assert!(clock.at(clock.now()).try_recv().is_ok());
        assert!(
            clock
                .at(start + Duration::from_secs(11))
                .try_recv()
                .is_err()
        );
        manual.advance(Duration::from_secs(1));
        assert_eq!(manual.waiters(), 0);
    }
}
