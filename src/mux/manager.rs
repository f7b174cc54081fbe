use std::sync::Arc;
use std::time::Duration;

use super::{ClientWorker, MuxError, MuxStream, WorkerPicker};
use crate::limits::PICK_TRIES;
use crate::link::DispatchError;
use crate::link::{Health, Link, Outbound, Request};
use crate::net::{Destination, Origin};

/// Opens sessions on whatever carriers its picker has.
pub struct ClientManager {
    picker: Box<dyn WorkerPicker>,
}

impl ClientManager {
    /// A manager of the picker's workers.
    pub fn new(picker: impl WorkerPicker + 'static) -> Self {
        Self {
            picker: Box::new(picker),
        }
    }

    /// Opens a session to `target` as a stream.
    ///
    /// # Errors
    /// [`MuxError::NoWorker`] after [`PICK_TRIES`] workers have refused, or why
    /// none could be made.
    pub fn open(&self, target: Destination) -> Result<MuxStream, MuxError> {
        let opened = self.with_worker((), |worker, ()| {
            worker.open(target.clone()).map_err(|e| (e, ()))
        });
        opened.map_err(|(e, ())| e)
    }

    /// Opens a session to `target` as a link.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn connect(&self, target: &Destination) -> Result<Link, MuxError> {
        self.connect_from(target, None)
    }

    /// As [`connect`](Self::connect). A peer who wants to know is told where
    /// the session comes from.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn connect_from(
        &self,
        target: &Destination,
        origin: Option<Origin>,
    ) -> Result<Link, MuxError> {
        let opened = self.with_worker((), |worker, ()| {
            let link = worker.connect_from(target.clone(), origin);
            link.map_err(|e| (e, ()))
        });
        opened.map_err(|(e, ())| e)
    }

    /// Carries `link` to `target` in a session, on the calling thread, until
    /// both directions have ended.
    ///
    /// # Errors
    /// As [`open`](Self::open), or the session's failure; both halves of the
    /// link were aborted then.
    pub fn dispatch(&self, target: &Destination, link: Link) -> Result<(), MuxError> {
        self.dispatch_from(target, None, link)
    }

    /// As [`dispatch`](Self::dispatch). A peer who wants to know is told where
    /// the session comes from.
    ///
    /// # Errors
    /// As `dispatch`.
    pub fn dispatch_from(
        &self,
        target: &Destination,
        origin: Option<Origin>,
        link: Link,
    ) -> Result<(), MuxError> {
        let attempt = |worker: Arc<ClientWorker>, link| worker.dispatch_from(target, origin, link);
        match self.with_worker(link, attempt) {
            Ok(outcome) => outcome,
            Err((e, _link)) => Err(e),
        }
    }

    /// The shortest round trip to the carriers' peers, if one was measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.picker.round_trip()
    }

    /// Sessions on its carriers that somebody uses.
    pub fn busy_connections(&self) -> usize {
        self.picker.busy_connections()
    }

    /// Ends all carriers and waits for them.
    pub fn close(&self) {
        self.picker.close();
    }

    /// A worker may fill up or close between being picked and being used; then
    /// the next one is tried with what it gave back.
    fn with_worker<I, T>(
        &self,
        mut input: I,
        mut attempt: impl FnMut(Arc<ClientWorker>, I) -> Result<T, (MuxError, I)>,
    ) -> Result<T, (MuxError, I)> {
        for _ in 0..PICK_TRIES {
            let worker = match self.picker.pick_available() {
                Ok(worker) => worker,
                Err(e) => return Err((e, input)),
            };
            input = match attempt(worker, input) {
                Ok(done) => return Ok(done),
                Err((_, input)) => input,
            };
        }
        Err((MuxError::NoWorker, input))
    }
}

impl std::fmt::Debug for ClientManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientManager")
    }
}

/// An outbound with `mux` on: every request becomes a session.
pub struct MuxOutbound {
    manager: ClientManager,
    inner: Arc<dyn Outbound>,
}

impl MuxOutbound {
    /// Puts the requests of `inner` on the manager's carriers, which are
    /// dialled through `inner` as well.
    pub fn new(manager: ClientManager, inner: Arc<dyn Outbound>) -> Self {
        Self { manager, inner }
    }

    /// Sessions on its carriers that somebody uses.
    pub fn busy_connections(&self) -> usize {
        self.manager.busy_connections()
    }
}

impl Outbound for MuxOutbound {
    fn tag(&self) -> &str {
        self.inner.tag()
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        Ok(self.manager.connect(&request.target)?)
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let origin = request.origin();
        Ok(self.manager.dispatch_from(&request.target, origin, link)?)
    }

    /// A carrier whose peer answers tells more than how it was made.
    fn health(&self) -> Option<Health> {
        let answering = self.manager.round_trip().map(|round_trip| Health {
            round_trip: Some(round_trip),
            failed: None,
        });
        answering.or_else(|| self.inner.health())
    }

    fn close(&self) {
        self.manager.close();
        self.inner.close();
    }
}
