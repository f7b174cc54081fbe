//! The server end of a carrier: it takes the sessions that the peer opens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};

use super::MuxError;
use super::carrier::{Carrier, Cause, End};
use super::demux::Role;
use super::drain::Left;
use super::halves;
use super::options::CarrierOptions;
use super::session::Session;
use super::stats::WorkerStats;
use super::stream::MuxStream;
use crate::limits::ACCEPT_BACKLOG;
use crate::link::{Dispatcher, Link, Reader, Request};
use crate::net::{Destination, Origin};
use crate::sync::shim::{Receiver, Sender, after, bounded, never, select};
use crate::sync::{Complaints, Quota, Share};

/// A carrier on which the peer opens sessions.
///
/// Owns the threads `mux-srv-N` (reads the carrier) and `mux-wr-N` (writes
/// it), and one `mux-in-N.S` for each session that goes to a dispatcher.
/// Dropping it ends the carrier; [`close`](Self::close) waits for the threads.
pub struct ServerWorker {
    carrier: Arc<Carrier>,
}

impl ServerWorker {
    /// Starts a worker on `link` that takes each session to `dispatcher`, with
    /// the origin of `origin` and the session's own target.
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub fn start(
        link: Link,
        dispatcher: Arc<dyn Dispatcher>,
        origin: Request,
    ) -> Result<Self, MuxError> {
        let options = CarrierOptions::default();
        Self::start_with(link, dispatcher, origin, &options, || {})
    }

    /// As [`start`](Self::start), with settings, and calls `ended` when the
    /// carrier has ended.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        link: Link,
        dispatcher: Arc<dyn Dispatcher>,
        origin: Request,
        options: &CarrierOptions,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, MuxError> {
        let role = Dispatching::new(dispatcher, origin, options);
        Self::with_role(link, role, options, ended)
    }

    /// Serves `link` as [`start`](Self::start) does, on the calling thread,
    /// until the carrier and all its sessions have ended.
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub fn serve(
        link: Link,
        dispatcher: Arc<dyn Dispatcher>,
        origin: Request,
        options: &CarrierOptions,
    ) -> Result<(), MuxError> {
        Self::serve_listed(link, dispatcher, origin, options, |_| ())
    }

    /// As [`serve`](Self::serve). What `list` makes of the worker is kept until
    /// it has ended.
    pub(super) fn serve_listed<L>(
        link: Link,
        dispatcher: Arc<dyn Dispatcher>,
        origin: Request,
        options: &CarrierOptions,
        list: impl FnOnce(&Arc<Self>) -> L,
    ) -> Result<(), MuxError> {
        let (carrier, reader) = Carrier::start(link, End::Server, options)?;
        let worker = Arc::new(Self { carrier });
        let _listed = list(&worker);
        let carrier = &worker.carrier;
        info!("carrier {} accepted", carrier.number());
        carrier.read_loop(reader, Dispatching::new(dispatcher, origin, options));
        carrier.end_and_join("ended");
        Ok(())
    }

    fn with_role(
        link: Link,
        role: impl Role,
        options: &CarrierOptions,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, MuxError> {
        let (carrier, reader) = Carrier::start(link, End::Server, options)?;
        let worker = Self { carrier };
        worker
            .start_thread(reader, role, ended)
            .map_err(MuxError::Thread)?;
        info!("carrier {} accepted", worker.carrier.number());
        Ok(worker)
    }

    fn start_thread(
        &self,
        reader: Box<dyn Reader>,
        role: impl Role,
        ended: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let carrier = self.carrier.clone();
        let name = format!("mux-srv-{}", carrier.number());
        self.carrier.spawn(&name, move || {
            carrier.read_loop(reader, role);
            ended();
        })
    }

    /// Sessions open now.
    pub fn active_connections(&self) -> u32 {
        self.carrier.with_sessions(|table| table.len() as u32)
    }

    /// What it does and has done.
    pub fn stats(&self) -> WorkerStats {
        let closing = self.carrier.with_sessions(|table| table.is_closed());
        self.carrier.stats(closing)
    }

    /// Whether the carrier has ended.
    pub fn is_closed(&self) -> bool {
        self.carrier.closed().is_done()
    }

    /// Whether the peer has been silent for too long to be relied on.
    pub fn is_suspect(&self) -> bool {
        self.carrier.peer().is_suspect()
    }

    /// Notes that the client means to open its sessions elsewhere.
    pub(crate) fn retire(&self) {
        self.carrier.draining().retire();
    }

    /// Asks the client for no more sessions; those that are open finish, and
    /// the client ends the carrier then. A plain client does not understand it:
    /// what it still opens is served, and this side ends the carrier at the
    /// second of two calls between which it was not used.
    ///
    /// Returns what is left, and may be called again until that is nothing.
    pub fn drain(&self) -> Left {
        self.carrier.drain()
    }

    /// Asks the peer for an answer, as
    /// [`ClientWorker::ping`](super::ClientWorker::ping) does.
    ///
    /// # Errors
    /// [`MuxError::TimedOut`] after `limit`, [`MuxError::CarrierLost`].
    pub fn ping(&self, limit: Duration) -> Result<Duration, MuxError> {
        self.carrier.ping(limit)
    }

    /// Waits for the carrier's end, `limit` at the most; returns whether it
    /// has ended.
    pub fn wait_closed(&self, limit: Option<Duration>) -> bool {
        self.carrier.wait_closed(limit)
    }

    /// Ends the carrier and its sessions, with an error on both sides, and
    /// waits for its threads.
    pub fn close(&self) {
        self.carrier.end_and_join("on request");
    }
}

impl Drop for ServerWorker {
    fn drop(&mut self) {
        self.carrier.end(Cause::Closed("not wanted any more"));
    }
}

impl std::fmt::Debug for ServerWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerWorker({})", self.carrier.number())
    }
}

/// Enters a session that the peer opens, or refuses it.
fn admit(
    carrier: &Arc<Carrier>,
    id: u16,
    target: Destination,
    origin: Option<Box<Origin>>,
    limit: usize,
) -> Option<Arc<Session>> {
    let session = Session::of_peer(id, target, origin, carrier.clone());
    let entry = session.clone();
    match carrier.with_sessions(|table| table.insert(id, entry, limit)) {
        Ok(()) => {
            debug!("session {} to {}", session.name(), session.target());
            Some(session)
        }
        Err(reason) => {
            debug!("session {} refused: {reason:?}", session.name());
            refuse(carrier, id);
            None
        }
    }
}

/// Tells the peer that there will be no session.
///
/// An id that is in use is the peer's mistake: neither session can be told
/// from the other any more, so both end with an error (A15). On a carrier that
/// has ended nothing is said: the peer would take the carrier for a live one.
fn refuse(carrier: &Carrier, id: u16) {
    match carrier.session(id) {
        Some(old) if !old.is_over() => old.fail(), // which sends End
        _ if carrier.closed().is_done() => {}
        _ => carrier.outgoing().end_now(id, true),
    }
}

/// Takes sessions to a dispatcher, each on a thread of its own.
struct Dispatching {
    dispatcher: Arc<dyn Dispatcher>,
    origin: Request,
    limits: Limits,
    failures: Arc<Complaints>,
}

/// How much there may be of what a peer's sessions cost.
struct Limits {
    sessions: usize,
    /// Cloned into the thread of each, and so counts them. What counts is the
    /// work: a dispatch may outlive its session, which is over when the peer
    /// says so (A5).
    live: Arc<()>,
    all_sessions: Arc<Quota>,
    dialling: Arc<Quota>,
    refusals: Complaints,
}

/// A session's place among those of its carrier and, unless it serves the
/// carrier itself, of all.
type Place = (Arc<()>, Option<Share>);

impl Limits {
    fn new(options: &CarrierOptions) -> Self {
        Self {
            sessions: options.sessions,
            live: Arc::new(()),
            all_sessions: options.all_sessions(),
            dialling: Quota::new(options.dialling),
            refusals: Complaints::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.live() < self.sessions
    }

    /// `None` if there is none among all.
    fn place(&self, attends: bool) -> Option<Place> {
        let share = match attends {
            true => None,
            false => Some(self.all_sessions.try_take()?),
        };
        Some((self.live.clone(), share))
    }

    fn note_refusal(&self, carrier: &Carrier) {
        if let Some(unsaid) = self.refusals.turn() {
            let (number, here) = (carrier.number(), self.live());
            let all = self.all_sessions.taken();
            info!("carrier {number}: session refused, {here} run here and {all} in all{unsaid}");
        }
    }

    /// Only the carrier's reader adds to them.
    fn live(&self) -> usize {
        Arc::strong_count(&self.live) - 1
    }
}

impl Dispatching {
    fn new(dispatcher: Arc<dyn Dispatcher>, origin: Request, options: &CarrierOptions) -> Self {
        Self {
            dispatcher,
            origin,
            limits: Limits::new(options),
            failures: Arc::default(),
        }
    }

    /// A session that says where it comes from does not come from the carrier's
    /// other end.
    fn request(&self, target: &Destination, origin: Option<&Origin>) -> Request {
        let request = Request {
            is_carried: true,
            ..self.origin.derive(target.clone())
        };
        match origin {
            None => request,
            Some(origin) => request.coming_from(*origin),
        }
    }

    fn enter(
        &self,
        carrier: &Arc<Carrier>,
        id: u16,
        target: Destination,
        origin: Option<Box<Origin>>,
    ) -> Option<Arc<Session>> {
        if !self.limits.has_room() {
            self.limits.note_refusal(carrier);
            refuse(carrier, id);
            return None;
        }
        admit(carrier, id, target, origin, self.limits.sessions)
    }
}

impl Role for Dispatching {
    fn open(
        &mut self,
        carrier: &Arc<Carrier>,
        id: u16,
        target: Destination,
        origin: Option<Box<Origin>>,
    ) -> Option<Arc<Session>> {
        let session = self.enter(carrier, id, target, origin)?;
        let work = Work {
            session: session.clone(),
            request: self.request(session.target(), session.origin()),
            dispatcher: self.dispatcher.clone(),
            failures: self.failures.clone(),
        };
        let attends = self.dispatcher.opening(&work.request);
        if attends {
            carrier.with_sessions(|table| table.attends(id));
        }
        let Some(place) = self.limits.place(attends) else {
            self.limits.note_refusal(carrier);
            session.fail();
            return None;
        };
        let dialling = self.limits.dialling.clone();
        let name = format!("mux-in-{}.{id}", carrier.number());
        let spawned = carrier.spawn(&name, move || {
            work.run(&dialling);
            drop(place);
        });
        if let Err(e) = spawned {
            debug!("session {} refused: {e}", session.name());
            session.fail();
            return None;
        }
        Some(session)
    }

    fn refuse(&mut self, carrier: &Carrier, id: u16) {
        refuse(carrier, id);
    }
}

/// What `mux-in-N.S` does.
struct Work {
    session: Arc<Session>,
    request: Request,
    dispatcher: Arc<dyn Dispatcher>,
    failures: Arc<Complaints>,
}

impl Work {
    /// Waits for its turn to dial, if it must, and dispatches. Nobody is
    /// dialled for a session that has failed by then.
    fn run(self, dialling: &Arc<Quota>) {
        let turn = dialling.take_unless(self.session.over());
        let is_wanted = turn.is_some() && !self.session.is_settled();
        let link = halves::link_in_turn(&self.session, turn);
        if is_wanted {
            self.dispatch(link);
        }
    }

    fn dispatch(&self, link: Link) {
        let request = &self.request;
        if let Err(e) = self.dispatcher.dispatch(request, link)
            && let Some(unsaid) = self.failures.turn()
        {
            let why = crate::error::chain(&e);
            info!("[{}] {} failed: {why}{unsaid}", request.id, request.target);
        }
    }
}

/// The server end of a carrier for applications: they accept its sessions as
/// streams.
#[derive(Debug)]
pub struct MuxServer {
    worker: ServerWorker,
    accepted: Receiver<(Destination, MuxStream)>,
}

impl MuxServer {
    /// Starts a server on `link`. As many as [`ACCEPT_BACKLOG`] sessions wait
    /// to be accepted; more are refused.
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub fn new(link: Link) -> Result<Self, MuxError> {
        Self::with_options(link, &CarrierOptions::default())
    }

    /// As [`new`](Self::new), with settings.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(link: Link, options: &CarrierOptions) -> Result<Self, MuxError> {
        let (backlog, accepted) = bounded(ACCEPT_BACKLOG);
        let worker = ServerWorker::with_role(
            link,
            Accepting {
                backlog,
                sessions: options.sessions,
            },
            options,
            || {},
        )?;
        Ok(Self { worker, accepted })
    }

    /// Waits for the next session: what it wants to reach, and its stream.
    /// Sessions that came before the carrier ended are handed out all the same.
    ///
    /// # Errors
    /// [`MuxError::Closed`] once the carrier has ended in order, by the peer or
    /// by [`close`](ServerWorker::close); [`MuxError::CarrierLost`] if it failed.
    /// What becomes of sessions that were open then their streams tell.
    pub fn accept(&self) -> Result<(Destination, MuxStream), MuxError> {
        self.accept_before(&never())
    }

    /// As [`accept`](Self::accept), but waits for `limit` at the most; zero takes
    /// only what has come already.
    ///
    /// # Errors
    /// [`MuxError::TimedOut`] if none has come by then, else as
    /// [`accept`](Self::accept).
    pub fn accept_timeout(&self, limit: Duration) -> Result<(Destination, MuxStream), MuxError> {
        self.accept_before(&after(limit))
    }

    fn accept_before(
        &self,
        deadline: &Receiver<Instant>,
    ) -> Result<(Destination, MuxStream), MuxError> {
        let carrier = &self.worker.carrier;
        select! {
            recv(self.accepted) -> session => {
                session.map_err(|_| carrier.over().unwrap_or(MuxError::CarrierLost))
            }
            // What has come before either is handed out first.
            recv(carrier.closed().event()) -> _ => self.take_accepted(),
            recv(deadline) -> _ => self.take_accepted(),
        }
    }

    /// A session that waits to be accepted, or why there is none.
    fn take_accepted(&self) -> Result<(Destination, MuxStream), MuxError> {
        let none = |_| self.worker.carrier.over().unwrap_or(MuxError::TimedOut);
        self.accepted.try_recv().map_err(none)
    }

    /// The carrier.
    pub fn worker(&self) -> &ServerWorker {
        &self.worker
    }
}

/// Hands sessions to an application.
struct Accepting {
    backlog: Sender<(Destination, MuxStream)>,
    /// At once; what counts is what is open.
    sessions: usize,
}

impl Role for Accepting {
    fn open(
        &mut self,
        carrier: &Arc<Carrier>,
        id: u16,
        target: Destination,
        origin: Option<Box<Origin>>,
    ) -> Option<Arc<Session>> {
        if self.backlog.is_full() {
            debug!("session {}/{id} refused: too many wait", carrier.number());
            refuse(carrier, id);
            return None;
        }
        let session = admit(carrier, id, target.clone(), origin, self.sessions)?;
        let stream = MuxStream::new(session.clone());
        // Only this thread sends, so there is still room; if the application
        // is gone, dropping the stream ends the session.
        let _ = self.backlog.try_send((target, stream));
        Some(session)
    }

    fn refuse(&mut self, carrier: &Carrier, id: u16) {
        refuse(carrier, id);
    }
}
