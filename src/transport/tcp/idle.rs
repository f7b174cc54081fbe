use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sync::{Next, Periodic, Timer};

/// How long a connection may go without a byte (section 4).
///
/// The check comes round once per period, so a connection ends after one to
/// two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimes {
    /// While both directions are open.
    pub both: Duration,
    /// Once the remote side has ended its direction.
    pub after_read: Duration,
    /// Once we have ended ours.
    pub after_write: Duration,
}

/// Idle times together with the timer that keeps them.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Runs the checks.
    pub timer: Timer,
    /// The times.
    pub times: IdleTimes,
}

/// What happens to a connection that was idle for too long.
pub(in crate::transport) trait Expire: Send + Sync + 'static {
    fn activity(&self) -> &Activity;
    fn expire(&self);
}

/// Whether bytes have moved since the last look.
#[derive(Debug, Default)]
pub(in crate::transport) struct Activity {
    moved: AtomicBool,
    read_ended: AtomicBool,
    write_ended: AtomicBool,
}

impl Activity {
    pub(in crate::transport) fn touch(&self) {
        // A plain load first: the line stays shared between the two threads.
        if !self.moved.load(Ordering::Relaxed) {
            self.moved.store(true, Ordering::Relaxed);
        }
    }

    pub(in crate::transport) fn end_read(&self) {
        self.read_ended.store(true, Ordering::Relaxed);
    }

    pub(in crate::transport) fn end_write(&self) {
        self.write_ended.store(true, Ordering::Relaxed);
    }

    pub(in crate::transport) fn write_ended(&self) -> bool {
        self.write_ended.load(Ordering::Relaxed)
    }

    /// How long the connection may be idle as it is now.
    pub(in crate::transport) fn limit(&self, times: &IdleTimes) -> Duration {
        match (self.read_ended.load(Ordering::Relaxed), self.write_ended()) {
            (false, false) => times.both,
            (true, false) => times.after_read,
            (false, true) => times.after_write,
            (true, true) => times.after_read.min(times.after_write),
        }
    }
}

impl Idle {
    /// Expires `connection` when it has been idle for too long; it is not
    /// kept alive by this.
    pub(in crate::transport) fn watch(&self, connection: Weak<impl Expire>) -> Periodic {
        let times = self.times;
        self.timer.schedule(times.both, move || {
            let Some(connection) = connection.upgrade() else {
                return Next::Stop;
            };
            if !connection.activity().moved.swap(false, Ordering::Relaxed) {
                connection.expire();
                return Next::Stop;
            }
            Next::After(connection.activity().limit(&times))
        })
    }
}
