//! One test at a time in a process, so that each can say that it left no
//! thread behind; and none may hang.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};

use super::logs;
use super::tasks::{names, wait_until};

/// Bound of a whole test; reached only by a deadlock.
const BOUND: Duration = Duration::from_secs(240);

static STAGE: Mutex<()> = Mutex::new(());

/// Held by a test from its first line to its last.
pub struct Scene {
    panics_wanted: bool,
    over: Option<Sender<()>>,
    _stage: MutexGuard<'static, ()>,
}

/// Waits until no other test of this process runs.
pub fn scene() -> Scene {
    let stage = STAGE.lock();
    logs::start();
    let (over, ended) = bounded::<()>(0);
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    std::thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || {
            if ended.recv_timeout(BOUND) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs; threads: {:?}", names(""));
                std::process::exit(101);
            }
        })
        .unwrap();
    Scene {
        panics_wanted: false,
        over: Some(over),
        _stage: stage,
    }
}

impl Scene {
    /// For a test in which a thread of the crate panics on purpose.
    pub fn panics_are_wanted(&mut self) {
        self.panics_wanted = true;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            no_mux_threads();
            assert_eq!(self.panics_wanted, !logs::panics().is_empty());
        }
        self.over.take();
    }
}

/// Every thread of every carrier has ended.
pub fn no_mux_threads() {
    let mut left = Vec::new();
    wait_until("the carriers' threads end", || {
        left = names("mux-");
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(1)); // reading /proc is work
        }
        left.is_empty()
    });
}
