//! Who picks the carrier for a new session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::factory::ClientWorkerFactory;
use super::{ClientWorker, MuxError};
use crate::limits::PICKER_CLEANUP;
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, Ordering};
use crate::sync::{Done, Periodic, Timer};

/// Picks a worker that can take a session.
pub trait WorkerPicker: Send + Sync {
    /// A worker that was not full when it was looked at.
    ///
    /// # Errors
    /// [`MuxError::NoWorker`], also if another caller's attempt to make one
    /// failed while this one waited for it; or why none could be made.
    fn pick_available(&self) -> Result<Arc<ClientWorker>, MuxError>;

    /// The shortest round trip that a worker has measured; `None` if none has.
    /// Must not wait.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Sessions of its workers that somebody uses.
    fn busy_connections(&self) -> usize {
        0
    }

    /// Ends all workers and waits for them; nothing is picked any more.
    fn close(&self);
}

impl<P: WorkerPicker + ?Sized> WorkerPicker for Arc<P> {
    fn pick_available(&self) -> Result<Arc<ClientWorker>, MuxError> {
        (**self).pick_available()
    }

    fn round_trip(&self) -> Option<Duration> {
        (**self).round_trip()
    }

    fn busy_connections(&self) -> usize {
        (**self).busy_connections()
    }

    fn close(&self) {
        (**self).close();
    }
}

/// Picks the first worker that is not full, and makes a new one if there is
/// none. If none can be made, one that is [in doubt](ClientWorker::is_doubtful)
/// has to do.
///
/// Closed workers are dropped every [`PICKER_CLEANUP`], beginning with the
/// first worker; the check stops once there are none.
pub struct IncrementalWorkerPicker<F> {
    factory: F,
    timer: Timer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    workers: Vec<Arc<ClientWorker>>,
    /// Set while one caller makes a worker; the others wait for it.
    making: Option<Arc<Making>>,
    cleanup: Option<Periodic>,
    closed: bool,
}

/// One attempt to make a worker.
#[derive(Default)]
struct Making {
    over: Done,
    succeeded: AtomicBool,
}

/// What a caller has to do.
enum Turn {
    Use(Arc<ClientWorker>),
    Wait(Arc<Making>),
    Make(Arc<Making>),
}

impl<F: ClientWorkerFactory> IncrementalWorkerPicker<F> {
    /// A picker without workers.
    pub fn new(factory: F, timer: Timer) -> Self {
        Self {
            factory,
            timer,
            state: Arc::default(),
        }
    }

    /// Workers that are kept, closed ones too until the next clean-up.
    pub fn workers(&self) -> usize {
        self.state.lock().workers.len()
    }

    /// Dials without the lock; whoever comes meanwhile waits for the outcome
    /// and shares it.
    fn make(&self, making: &Making) -> Result<Arc<ClientWorker>, MuxError> {
        let _over = MakingIsOver {
            state: &self.state,
            making,
        };
        let outcome = self.factory.create().map(Arc::new);
        let mut state = self.state.lock();
        let rejected = match (&outcome, state.closed) {
            (Ok(worker), false) => {
                state.workers.push(worker.clone());
                None
            }
            (Ok(worker), true) => Some(worker.clone()),
            (Err(_), _) => None,
        };
        if state.cleanup.is_none() && !state.workers.is_empty() {
            state.cleanup = Some(self.start_cleanup());
        }
        drop(state);
        if let Some(worker) = rejected {
            worker.close();
            return Err(MuxError::Closed);
        }
        making.succeeded.store(outcome.is_ok(), Ordering::SeqCst);
        outcome
    }

    /// A worker that is better than none, for whom there is no other; else
    /// fails with what `reason` says.
    fn in_doubt(&self, reason: MuxError) -> Result<Arc<ClientWorker>, MuxError> {
        let state = self.state.lock();
        let worker = state.workers.iter().find(|worker| worker.has_place());
        worker.cloned().ok_or(reason)
    }

    fn start_cleanup(&self) -> Periodic {
        let state = Arc::downgrade(&self.state);
        self.timer.every(PICKER_CLEANUP, move || {
            if let Some(state) = state.upgrade() {
                clean_up(&state);
            }
        })
    }
}

/// Frees those who wait, also if the factory panics.
struct MakingIsOver<'a> {
    state: &'a Mutex<State>,
    making: &'a Making,
}

impl Drop for MakingIsOver<'_> {
    fn drop(&mut self) {
        self.state.lock().making = None;
        self.making.over.signal();
    }
}

impl Making {
    fn wait(&self) -> Result<(), MuxError> {
        self.over.wait();
        match self.succeeded.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(MuxError::NoWorker),
        }
    }
}

/// Drops outside the lock what is closed, and the clean-up itself once there
/// is nothing left to watch.
fn clean_up(state: &Mutex<State>) {
    let mut guard = state.lock();
    let all = std::mem::take(&mut guard.workers);
    let (closed, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|w| w.is_closed());
    guard.workers = open;
    let over = match guard.workers.is_empty() {
        true => guard.cleanup.take(),
        false => None,
    };
    drop(guard);
    drop((closed, over));
}

impl State {
    fn turn(&mut self) -> Result<Turn, MuxError> {
        if self.closed {
            return Err(MuxError::Closed);
        }
        if let Some(worker) = self.workers.iter().find(|worker| !worker.is_full()) {
            return Ok(Turn::Use(worker.clone()));
        }
        if let Some(making) = &self.making {
            return Ok(Turn::Wait(making.clone()));
        }
        let making = Arc::new(Making::default());
        self.making = Some(making.clone());
        Ok(Turn::Make(making))
    }
}

impl<F: ClientWorkerFactory> WorkerPicker for IncrementalWorkerPicker<F> {
    fn pick_available(&self) -> Result<Arc<ClientWorker>, MuxError> {
        loop {
            let turn = self.state.lock().turn()?;
            match turn {
                Turn::Use(worker) => return Ok(worker),
                Turn::Wait(making) => match making.wait() {
                    Ok(()) => {}
                    Err(e) => return self.in_doubt(e),
                },
                Turn::Make(making) => return self.make(&making).or_else(|e| self.in_doubt(e)),
            }
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        let state = self.state.lock();
        let open = state.workers.iter().filter(|worker| !worker.is_full());
        open.filter_map(|worker| worker.stats().round_trip).min()
    }

    fn busy_connections(&self) -> usize {
        let workers = self.state.lock().workers.clone();
        workers.iter().map(|worker| worker.busy_connections()).sum()
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let workers = std::mem::take(&mut state.workers);
        let cleanup = state.cleanup.take();
        drop(state);
        drop(cleanup);
        workers.iter().for_each(|worker| worker.close());
    }
}

impl<F> fmt::Debug for IncrementalWorkerPicker<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = self.state.lock().workers.len();
        write!(f, "IncrementalWorkerPicker({workers} workers)")
    }
}
