use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::sync::{Spawned, spawn};

const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// From its making on, the first SIGINT or SIGTERM is kept for
/// [`then`](Self::then); a second one ends the process at once, as if nobody
/// had asked for signals.
#[derive(Debug)]
pub(super) struct StopSignals {
    arrived: Signals,
}

impl StopSignals {
    pub(super) fn register() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            // In this order: the first signal finds the flag unset, then sets it.
            flag::register_conditional_default(signal, asked.clone())?;
            flag::register(signal, asked.clone())?;
        }
        Ok(Self {
            arrived: Signals::new(STOPPING)?,
        })
    }

    /// Calls `stop` when the signal comes, or at once if it has come.
    pub(super) fn then(mut self, stop: impl FnOnce() + Send + 'static) -> io::Result<Watch> {
        let handle = self.arrived.handle();
        let wait = move || {
            if self.arrived.forever().next().is_some() {
                info!("asked to stop");
                stop();
            }
        };
        let thread = spawn("signals", wait)?;
        Ok(Watch {
            handle,
            thread: Some(thread),
        })
    }
}

/// Ends the watch for signals when dropped, and waits for a stop under way.
#[derive(Debug)]
pub(super) struct Watch {
    handle: Handle,
    thread: Option<Spawned<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in there was reported by its thread
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::time::Duration;

    use signal_hook::low_level::raise;

    use super::*;
    use crate::sync::Done;

    /// One test, for signals are the whole process's. It raises one only: a
    /// second would end it.
    #[test]
    fn a_signal_stops_even_if_it_came_early_and_no_signal_ends_the_watch() {
        let unused = StopSignals::register().unwrap();
        let never = unused.then(|| panic!("nobody asked")).unwrap();
        drop(never);

        let signals = StopSignals::register().unwrap();
        raise(SIGTERM).unwrap();
        let stopped = Arc::new(Done::new());
        let tell = stopped.clone();
        let stop = move || assert!(tell.signal());
        let watch = signals.then(stop).unwrap();
        assert!(stopped.wait_timeout(Duration::from_secs(10)));
        drop(watch);
    }

    /// Runs itself again, as the process that ends.
    #[test]
    fn a_second_signal_ends_the_process_while_it_stops() {
        const IN_CHILD: &str = "MUXCOOL_TEST_SECOND_SIGNAL";
        if env::var_os(IN_CHILD).is_some() {
            return stop_for_ever_and_ask_again();
        }
        let name = "cli::signals::tests::a_second_signal_ends_the_process_while_it_stops";
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(IN_CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(SIGINT), "{child:?}");
    }

    fn stop_for_ever_and_ask_again() {
        let stopping = Arc::new(Done::new());
        let tell = stopping.clone();
        let stop = move || {
            tell.signal();
            Done::new().wait_timeout(Duration::from_secs(60));
        };
        let _watch = StopSignals::register().unwrap().then(stop).unwrap();
        raise(SIGTERM).unwrap();
        assert!(stopping.wait_timeout(Duration::from_secs(10)));
        raise(SIGINT).unwrap();
    }
}
