use std::sync::Arc;

use parking_lot::Mutex;

use super::portal_worker::PortalWorker;
use crate::limits::PICKER_CLEANUP;
use crate::mux::{ClientWorker, MuxError, WorkerPicker};
use crate::sync::{Periodic, Timer};

/// Picks among the carriers that bridges have opened: the one with the fewest
/// sessions. One that drains is taken only if there is no other, a closed one
/// never.
///
/// A worker leaves at once when its carrier ends (A34); the clean-up every
/// [`PICKER_CLEANUP`] is a safety net.
#[derive(Debug)]
pub struct StaticMuxPicker {
    workers: Arc<Mutex<Vec<Arc<PortalWorker>>>>,
    _cleanup: Periodic,
}

impl StaticMuxPicker {
    /// A picker without workers.
    pub fn new(timer: &Timer) -> Self {
        let workers: Arc<Mutex<Vec<Arc<PortalWorker>>>> = Arc::default();
        let list = workers.clone();
        let cleanup = timer.every(PICKER_CLEANUP, move || {
            take(&list, PortalWorker::is_closed);
        });
        Self {
            workers,
            _cleanup: cleanup,
        }
    }

    /// Adds a worker.
    pub fn add(&self, worker: Arc<PortalWorker>) {
        self.workers.lock().push(worker);
    }

    /// Removes a worker, if it is there.
    pub fn remove(&self, worker: &Arc<PortalWorker>) {
        take(&self.workers, |other| {
            std::ptr::eq(other, Arc::as_ptr(worker))
        });
    }

    /// Workers that are there.
    pub fn len(&self) -> usize {
        self.workers.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.workers.lock().is_empty()
    }
}

/// Takes out those that match; they are dropped without the lock.
fn take(
    workers: &Mutex<Vec<Arc<PortalWorker>>>,
    matches: impl Fn(&PortalWorker) -> bool,
) -> Vec<Arc<PortalWorker>> {
    let mut guard = workers.lock();
    let all = std::mem::take(&mut *guard);
    let (taken, left) = all.into_iter().partition(|worker| matches(worker));
    *guard = left;
    taken
}

impl WorkerPicker for StaticMuxPicker {
    fn pick_available(&self) -> Result<Arc<ClientWorker>, MuxError> {
        let workers = self.workers.lock();
        workers
            .iter()
            .filter(|worker| worker.takes_sessions())
            .min_by_key(|worker| worker.reluctance())
            .map(|worker| worker.client().clone())
            .ok_or(MuxError::NoWorker)
    }

    fn close(&self) {
        for worker in take(&self.workers, |_| true) {
            worker.close();
        }
    }
}
