use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::close_all;
use super::portal_worker::PortalWorker;
use crate::limits::PICKER_CLEANUP;
use crate::mux::{ClientWorker, MuxError, WorkerPicker};
use crate::sync::{Periodic, Timer};

/// Picks among the carriers that bridges have opened: the one with the fewest
/// sessions, and among equals the one whose bridge was heard last. One that
/// drains, whose bridge does not answer in time, or has not been heard yet and
/// so cannot be told where visitors come from, or that is in doubt, is taken
/// only if there is no other; a closed one never.
///
/// A worker leaves at once when its carrier ends (A34); the clean-up every
/// [`PICKER_CLEANUP`] is a safety net.
#[derive(Debug)]
pub struct StaticMuxPicker {
    list: Arc<Mutex<List>>,
    _cleanup: Periodic,
}

#[derive(Debug, Default)]
struct List {
    workers: Vec<Arc<PortalWorker>>,
    closed: bool,
}

impl StaticMuxPicker {
    /// A picker without workers.
    pub fn new(timer: &Timer) -> Self {
        let list: Arc<Mutex<List>> = Arc::default();
        let inner = list.clone();
        let cleanup = timer.every(PICKER_CLEANUP, move || {
            take(&inner, PortalWorker::is_closed);
        });
        Self {
            list,
            _cleanup: cleanup,
        }
    }

    /// Adds a worker. Returns whether it did, which it does not once closed.
    #[must_use = "nobody will end the worker that was not added"]
    pub fn add(&self, worker: Arc<PortalWorker>) -> bool {
        let mut list = self.list.lock();
        let open = !list.closed;
        if open {
            list.workers.push(worker);
        }
        open
    }

    /// Removes a worker, if it is there.
    pub fn remove(&self, worker: &Arc<PortalWorker>) {
        take(&self.list, |other| std::ptr::eq(other, Arc::as_ptr(worker)));
    }

    /// Workers that are there.
    pub fn len(&self) -> usize {
        self.list.lock().workers.len()
    }

    /// Tells the bridges of all workers to open others.
    pub fn drain(&self) {
        let workers = self.list.lock().workers.clone();
        workers.iter().for_each(|worker| worker.drain());
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.lock().workers.is_empty()
    }
}

/// Takes out those that match; they are dropped without the lock.
fn take(list: &Mutex<List>, matches: impl Fn(&PortalWorker) -> bool) -> Vec<Arc<PortalWorker>> {
    let mut guard = list.lock();
    let all = std::mem::take(&mut guard.workers);
    let (taken, left) = all.into_iter().partition(|worker| matches(worker));
    guard.workers = left;
    taken
}

impl WorkerPicker for StaticMuxPicker {
    fn pick_available(&self) -> Result<Arc<ClientWorker>, MuxError> {
        let list = self.list.lock();
        list.workers
            .iter()
            .filter(|worker| worker.takes_sessions())
            .min_by_key(|worker| worker.reluctance())
            .map(|worker| worker.client().clone())
            .ok_or(MuxError::NoWorker)
    }

    fn round_trip(&self) -> Option<Duration> {
        let list = self.list.lock();
        let open = list.workers.iter().filter(|worker| worker.takes_sessions());
        open.filter_map(|worker| worker.client().stats().round_trip)
            .min()
    }

    fn busy_connections(&self) -> usize {
        let workers = self.list.lock().workers.clone();
        let clients = workers.iter().map(|worker| worker.client());
        clients.map(|client| client.busy_connections()).sum()
    }

    fn close(&self) {
        self.list.lock().closed = true;
        close_all(take(&self.list, |_| true), |worker| worker.close());
    }
}
