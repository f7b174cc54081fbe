use std::convert::Infallible;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

/// An event that happens once and that any number of threads can wait for.
///
/// It is a channel that never carries anything: signalling drops the only
/// sender, which wakes everyone who receives, also inside a `select!`.
#[derive(Debug)]
pub struct Done {
    keeper: Mutex<Option<Sender<Infallible>>>,
    event: Receiver<Infallible>,
}

impl Done {
    /// An event that has not happened yet.
    pub fn new() -> Self {
        let (keeper, event) = bounded(0);
        Self {
            keeper: Mutex::new(Some(keeper)),
            event,
        }
    }

    /// Makes it happen. Returns whether this call did, not an earlier one.
    pub fn signal(&self) -> bool {
        self.keeper.lock().take().is_some()
    }

    /// Whether it has happened.
    pub fn is_done(&self) -> bool {
        self.keeper.lock().is_none()
    }

    /// Waits for it.
    pub fn wait(&self) {
        let _ = self.event.recv();
    }

    /// Waits for it, `limit` at the most. Returns whether it has happened.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.event.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
    }

    /// For `select!`: becomes ready, with an error, when it happens.
    pub fn event(&self) -> &Receiver<Infallible> {
        &self.event
    }
}

impl Default for Done {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_wins_and_wakes_all() {
        let done = Done::new();
        assert!(!done.wait_timeout(Duration::ZERO));
        std::thread::scope(|scope| {
            let waiters = [0; 3].map(|_| scope.spawn(|| done.wait()));
            assert!(done.signal());
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
        assert!(!done.signal());
        assert!(done.is_done());
        assert!(done.wait_timeout(Duration::ZERO));
    }
}
