use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::sync::shim::{Receiver, Sender, bounded};
use crate::sync::{Done, Spawned, spawn};

const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// From its making on, SIGINT and SIGTERM are counted: the first asks the
/// process to stop, the second to do so at once, and a third ends it as if
/// nobody had asked for signals. If it cares for SIGHUP, that asks for another
/// look at the configuration.
#[derive(Debug)]
pub(super) struct StopSignals {
    asked: Arc<Asked>,
    /// One that has not been heeded yet stands for all that come meanwhile.
    hangups: Receiver<()>,
    handle: Handle,
    thread: Option<Spawned<()>>,
}

#[derive(Debug, Default)]
struct Asked {
    to_stop: Done,
    to_hurry: Done,
}

impl StopSignals {
    /// Leaves SIGHUP alone, which ends the process unless it has been started
    /// by nohup.
    pub(super) fn register() -> io::Result<Self> {
        Self::of(&STOPPING)
    }

    /// Cares for SIGHUP.
    pub(super) fn register_with_hangup() -> io::Result<Self> {
        Self::of(&[STOPPING[0], STOPPING[1], SIGHUP])
    }

    fn of(signals: &[i32]) -> io::Result<Self> {
        let enough = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            flag::register_conditional_default(signal, enough.clone())?;
        }
        let arrived = Signals::new(signals)?;
        let asked = Arc::new(Asked::default());
        let (hang_up, hangups) = bounded(1);
        let (handle, inner) = (arrived.handle(), asked.clone());
        let listen = move || inner.listen(arrived, &hang_up, &enough);
        Ok(Self {
            asked,
            hangups,
            handle,
            thread: Some(spawn("signals", listen)?),
        })
    }

    /// Gets something for each SIGHUP, or for several.
    pub(super) fn hangups(&self) -> &Receiver<()> {
        &self.hangups
    }

    /// The first signal has come.
    pub(super) fn to_stop(&self) -> &Done {
        &self.asked.to_stop
    }

    /// The second one has.
    pub(super) fn to_hurry(&self) -> &Done {
        &self.asked.to_hurry
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in there was reported by its thread
        }
    }
}

impl Asked {
    fn listen(&self, mut arrived: Signals, hang_up: &Sender<()>, enough: &AtomicBool) {
        for signal in arrived.forever() {
            if signal == SIGHUP {
                let _ = hang_up.try_send(()); // or else there is one already
            } else if self.to_stop.signal() {
                info!("asked to stop");
            } else if self.to_hurry.signal() {
                enough.store(true, Ordering::SeqCst);
                warn!("asked to stop at once");
            }
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

    const PATIENCE: Duration = Duration::from_secs(10);

    /// One test, for signals are the whole process's. It raises two only: a
    /// third would end it.
    #[test]
    fn the_first_asks_to_stop_and_the_second_to_hurry() {
        let signals = StopSignals::register().unwrap();
        assert!(!signals.to_stop().is_done());
        raise(SIGTERM).unwrap();
        assert!(signals.to_stop().wait_timeout(PATIENCE));
        assert!(!signals.to_hurry().is_done());
        raise(SIGINT).unwrap();
        assert!(signals.to_hurry().wait_timeout(PATIENCE));
        drop(signals);
    }

    /// Runs itself again, as the process that ends.
    #[test]
    fn a_third_signal_ends_the_process_while_it_hurries() {
        const IN_CHILD: &str = "MUXCOOL_TEST_THIRD_SIGNAL";
        if env::var_os(IN_CHILD).is_some() {
            return hurry_for_ever_and_ask_again();
        }
        let name = "cli::signals::tests::a_third_signal_ends_the_process_while_it_hurries";
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(IN_CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(SIGINT), "{child:?}");
    }

    fn hurry_for_ever_and_ask_again() {
        let signals = StopSignals::register().unwrap();
        raise(SIGTERM).unwrap();
        assert!(signals.to_stop().wait_timeout(PATIENCE));
        raise(SIGTERM).unwrap();
        assert!(signals.to_hurry().wait_timeout(PATIENCE));
        // It is armed right after that, and says so to nobody.
        for _ in 0..1_000 {
            raise(SIGINT).unwrap();
            Done::new().wait_timeout(Duration::from_millis(10));
        }
    }
}
