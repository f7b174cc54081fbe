use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use super::deadline_in;
use super::shim::atomic::{AtomicBool, Ordering};
use super::shim::{Condvar, Mutex, Receiver, Sender, bounded};

/// An event that happens once and that any number of threads can wait for,
/// also inside a `select!`.
#[derive(Debug, Default)]
pub struct Done {
    happened: AtomicBool,
    /// Held while it happens, and by who is about to wait for it.
    happening: Mutex<()>,
    bell: Condvar,
    /// Made for the first `select!`: most events are never part of one, and a
    /// channel takes more memory than all the rest.
    channel: OnceLock<Channel>,
}

/// It never carries anything: when its only sender is dropped, everybody who
/// receives is woken.
#[derive(Debug)]
struct Channel {
    keeper: Mutex<Option<Sender<Infallible>>>,
    event: Receiver<Infallible>,
}

impl Done {
    /// An event that has not happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it happen. Returns whether this call did, not an earlier one.
    pub fn signal(&self) -> bool {
        let guard = self.happening.lock();
        let first = !self.happened.swap(true, Ordering::SeqCst);
        drop(guard);
        if first {
            self.bell.notify_all();
            self.close_channel();
        }
        first
    }

    /// Whether it has happened.
    pub fn is_done(&self) -> bool {
        self.happened.load(Ordering::SeqCst)
    }

    /// Waits for it.
    pub fn wait(&self) {
        let mut guard = self.happening.lock();
        while !self.is_done() {
            self.bell.wait(&mut guard);
        }
    }

    /// Waits for it, `limit` at the most. Returns whether it has happened.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        let deadline = deadline_in(limit);
        let mut guard = self.happening.lock();
        while !self.is_done() {
            if self.bell.wait_until(&mut guard, deadline).timed_out() {
                break;
            }
        }
        self.is_done()
    }

    /// For `select!`: becomes ready, with an error, when it happens.
    pub fn event(&self) -> &Receiver<Infallible> {
        if let Some(channel) = self.channel.get() {
            return &channel.event;
        }
        let channel = self.channel.get_or_init(Channel::new);
        // Either it happens after this, and finds the channel, or it has
        // happened before and did not.
        let guard = self.happening.lock();
        let happened = self.is_done();
        drop(guard);
        if happened {
            self.close_channel();
        }
        &channel.event
    }

    fn close_channel(&self) {
        if let Some(channel) = self.channel.get() {
            let sender = channel.keeper.lock().take();
            drop(sender); // wakes threads: not under the lock
        }
    }
}

impl Channel {
    fn new() -> Self {
        let (keeper, event) = bounded(0);
        Self {
            keeper: Mutex::new(Some(keeper)),
            event,
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{RecvTimeoutError, TryRecvError};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_signal_wins_and_wakes_all() {
        let done = Done::new();
        assert!(!done.wait_timeout(Duration::ZERO));
        assert_eq!(done.event().try_recv(), Err(TryRecvError::Empty));
        std::thread::scope(|scope| {
            let waiters = [0; 3].map(|_| scope.spawn(|| done.wait()));
            let selecting = scope.spawn(|| done.event().recv_timeout(PATIENCE));
            assert!(done.signal());
            for waiter in waiters {
                waiter.join().unwrap();
            }
            let outcome = selecting.join().unwrap();
            assert_eq!(outcome, Err(RecvTimeoutError::Disconnected));
        });
        assert!(!done.signal());
        assert!(done.is_done());
        assert!(done.wait_timeout(Duration::ZERO));
    }

    #[test]
    fn an_event_that_has_happened_is_ready_at_once() {
        let done = Done::new();
        done.signal();
        assert_eq!(done.event().try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn no_select_misses_an_event_that_happens_as_it_begins() {
        for _ in 0..2_000 {
            let done = Done::new();
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| done.signal());
                done.event().recv_timeout(PATIENCE)
            });
            assert_eq!(outcome, Err(RecvTimeoutError::Disconnected));
        }
    }

    #[test]
    fn a_wait_without_an_end_is_possible() {
        let done = Done::new();
        done.signal();
        assert!(done.wait_timeout(Duration::MAX));
    }
}
