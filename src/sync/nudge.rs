use super::shim::{Condvar, Mutex};

/// Wakes one thread for work that others leave to it. Many calls before it
/// looks are one.
///
/// It sleeps at once when there is nothing: a channel's receiver would let
/// others run some times first, and whoever calls then waits for their turns.
#[derive(Debug, Default)]
pub struct Nudge {
    is_due: Mutex<bool>,
    bell: Condvar,
}

impl Nudge {
    /// Nobody has called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next [`wait`](Self::wait) return, or the one that there is.
    pub fn call(&self) {
        let was_due = std::mem::replace(&mut *self.is_due.lock(), true);
        if !was_due {
            self.bell.notify_one();
        }
    }

    /// Waits for a call since the last time. For one thread.
    pub fn wait(&self) {
        let mut is_due = self.is_due.lock();
        while !std::mem::take(&mut *is_due) {
            self.bell.wait(&mut is_due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::sync::{Done, spawn};

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn calls_before_the_wait_are_one() {
        let nudge = Arc::new(Nudge::new());
        let [first, second] = [(); 2].map(|()| Arc::new(Done::new()));
        nudge.call();
        nudge.call();
        let waiter = {
            let (nudge, first, second) = (nudge.clone(), first.clone(), second.clone());
            let waits = move || {
                nudge.wait();
                first.signal();
                nudge.wait();
                second.signal();
            };
            spawn("waits", waits).unwrap()
        };
        assert!(first.wait_timeout(PATIENCE));
        assert!(!second.wait_timeout(Duration::from_millis(20)));
        nudge.call();
        assert!(second.wait_timeout(PATIENCE));
        waiter.join().unwrap();
    }
}
