//! Wakes one thread, once.

pub(crate) use sound::Bell;

#[cfg(not(feature = "schedules"))]
mod sound {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use rustix::io::Errno;
    use rustix::thread::futex::{Flags, Timespec, wait, wake};

    /// For one who waits among thousands.
    ///
    /// Linux keeps all threads of a process that sleep on its own locks and
    /// condition variables in few lists (since 6.16 in 16, on two processors),
    /// and looks through one of them for each that is woken. This is a futex
    /// that could be shared with other processes: for those it has lists enough.
    #[derive(Debug, Default)]
    pub(crate) struct Bell(AtomicU32);

    const RUNG: u32 = 1;

    impl Bell {
        pub(crate) fn ring(&self) {
            if self.0.swap(RUNG, Ordering::SeqCst) != RUNG {
                let _ = wake(&self.0, Flags::empty(), 1);
            }
        }

        /// Waits until it rings; returns whether that took until the deadline.
        pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
            while self.0.load(Ordering::SeqCst) != RUNG {
                let limit = deadline.map(time_until);
                let woken = wait(&self.0, Flags::empty(), 0, limit.as_ref());
                if woken == Err(Errno::TIMEDOUT) {
                    return true;
                }
            }
            false
        }
    }

    fn time_until(deadline: Instant) -> Timespec {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    }
}

#[cfg(feature = "schedules")]
mod sound {
    use std::time::Instant;

    use crate::sync::shim::{Condvar, Mutex};

    /// The same of what the model has.
    #[derive(Debug, Default)]
    pub(crate) struct Bell {
        is_rung: Mutex<bool>,
        sound: Condvar,
    }

    impl Bell {
        pub(crate) fn ring(&self) {
            *self.is_rung.lock() = true;
            self.sound.notify_one();
        }

        pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
            let mut is_rung = self.is_rung.lock();
            while !*is_rung {
                match deadline {
                    None => self.sound.wait(&mut is_rung),
                    Some(at) => {
                        if self.sound.wait_until(&mut is_rung, at).timed_out() {
                            return !*is_rung;
                        }
                    }
                }
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::Bell;
    use crate::sync::spawn;

    #[test]
    fn who_waits_is_woken_or_comes_to_the_deadline() {
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(Bell::default().wait(Some(soon)));
        let bell = Arc::new(Bell::default());
        let patience = Some(Instant::now() + Duration::from_secs(10));
        let waits = {
            let bell = bell.clone();
            spawn("waits", move || bell.wait(patience)).unwrap()
        };
        bell.ring();
        assert!(!waits.join().unwrap());
        assert!(!bell.wait(None), "it has rung");
    }
}
