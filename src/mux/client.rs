//! The client end of a carrier: it opens sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info};

use super::MuxError;
use super::carrier::{Carrier, Cause, End};
use super::demux::Role;
use super::halves;
use super::options::ClientOptions;
use super::session::Session;
use super::stats::WorkerStats;
use super::stream::MuxStream;
use crate::buf::Buf;
use crate::limits::IDLE_CHECK;
use crate::link::{Link, LinkError, Nowhere, Reader};
use crate::net::{Destination, Origin};
use crate::sync::Clock;
use crate::sync::shim::select;

/// A carrier on which this side opens sessions.
///
/// Owns the threads `mux-out-N` (fetch_output: reads the carrier), `mux-wr-N`
/// (writes it) and `mux-mon-N` (monitor: closes it once it is idle). Dropping
/// the worker closes it; [`close`](Self::close) waits for the threads too.
pub struct ClientWorker {
    carrier: Arc<Carrier>,
    options: ClientOptions,
}

impl ClientWorker {
    /// Starts a worker on `link`.
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub fn new(link: Link, options: ClientOptions) -> Result<Self, MuxError> {
        let (carrier, reader) = Carrier::start(link, End::Client, &options.carrier)?;
        let worker = Self { carrier, options };
        // On an error, dropping the worker ends what has been started.
        worker.start_threads(reader).map_err(MuxError::Thread)?;
        info!("carrier {} opened", worker.carrier.number());
        Ok(worker)
    }

    fn start_threads(&self, reader: Box<dyn Reader>) -> std::io::Result<()> {
        let number = self.carrier.number();
        let carrier = self.carrier.clone();
        self.carrier.spawn(&format!("mux-out-{number}"), move || {
            fetch_output(&carrier, reader);
        })?;
        let carrier = self.carrier.clone();
        let clock = carrier.timer().clock().clone();
        let keep_idle = self.options.keep_idle;
        self.carrier.spawn(&format!("mux-mon-{number}"), move || {
            monitor(&carrier, &clock, || {
                !keep_idle || carrier.draining().is_retired()
            });
        })
    }

    /// Opens a session to `target` as a stream: New goes out at once.
    ///
    /// # Errors
    /// [`MuxError::Closed`], [`MuxError::SessionLimit`],
    /// [`MuxError::IdsExhausted`].
    pub fn open(&self, target: Destination) -> Result<MuxStream, MuxError> {
        self.open_with(target, &[])
    }

    /// As [`open`](Self::open), and sends `first`, if it is not empty, as a write
    /// would: together with New if both go in one frame and credit allows. So
    /// the peer's reader is woken once for a request that is known already.
    ///
    /// # Errors
    /// As `open`, and as a write when `first` does not fit into one frame.
    pub fn open_with(&self, target: Destination, first: &[u8]) -> Result<MuxStream, MuxError> {
        let session = self.allocate(target, None)?;
        let stream = MuxStream::new(session.clone());
        let first = (!first.is_empty()).then(|| Buf::copy_of(first));
        session.send_new(first)?;
        Ok(stream)
    }

    /// Opens a session to `target` as a link: New goes out at once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn connect(&self, target: Destination) -> Result<Link, MuxError> {
        self.connect_from(target, None)
    }

    /// As [`connect`](Self::connect). A peer who wants to know is told where
    /// the session comes from.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn connect_from(
        &self,
        target: Destination,
        origin: Option<Origin>,
    ) -> Result<Link, MuxError> {
        let session = self.allocate(target, origin)?;
        session.send_new(None)?;
        Ok(halves::link(&session))
    }

    /// Opens a datagram session to `target` whose frames go before queued
    /// data. New goes out with the first datagram.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_control(&self, target: Destination) -> Result<ControlSession, MuxError> {
        let session = self.allocate(target, None)?;
        self.carrier
            .with_sessions(|table| table.attends(session.id()));
        session.attach(Box::new(Nowhere), Nowhere::handle());
        Ok(ControlSession {
            session,
            opened: false,
        })
    }

    /// Carries `link` to `target` in a session of its own, on the calling
    /// thread, until both directions have ended.
    ///
    /// # Errors
    /// If no session could be opened the link is given back, untouched. Any
    /// other failure is the session's: both halves were aborted.
    pub fn dispatch(
        &self,
        target: &Destination,
        link: Link,
    ) -> Result<Result<(), MuxError>, (MuxError, Link)> {
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
    ) -> Result<Result<(), MuxError>, (MuxError, Link)> {
        match self.allocate(target.clone(), origin) {
            Ok(session) => Ok(self.run(&session, link)),
            Err(e) => Err((e, link)),
        }
    }

    fn allocate(
        &self,
        target: Destination,
        origin: Option<Origin>,
    ) -> Result<Arc<Session>, MuxError> {
        let strategy = &self.options.strategy;
        let session = self.carrier.with_sessions(|table| {
            let make = |id| Session::new(id, target, origin, self.carrier.clone());
            table.allocate(strategy, make).cloned()
        })?;
        debug!("session {} to {}", session.name(), session.target());
        self.carrier.ask_if_quiet();
        Ok(session)
    }

    fn run(&self, session: &Arc<Session>, link: Link) -> Result<(), MuxError> {
        let mut reader = link.reader;
        session.attach(link.writer, reader.handle());
        let wait = self.options.first_payload_wait;
        if fetch_input(session, reader.as_mut(), wait).is_err() {
            session.source_failed();
        }
        session.wait()
    }

    /// Sessions ever made.
    pub fn total_connections(&self) -> u32 {
        self.carrier.with_sessions(|table| table.total())
    }

    /// Sessions open now.
    pub fn active_connections(&self) -> u32 {
        self.carrier.with_sessions(|table| table.len() as u32)
    }

    /// Sessions that somebody uses: neither the worker's own, nor datagrams'
    /// that have gone quiet.
    pub fn busy_connections(&self) -> usize {
        self.carrier.busy_sessions()
    }

    /// Marks the worker so that pickers prefer others; it ends at the idle
    /// check that finds no session open. It still takes sessions itself, for
    /// there may be no other.
    pub fn drain(&self) {
        self.carrier.draining().retire();
    }

    /// Whether it was told to drain, by this side or by the peer.
    pub fn is_draining(&self) -> bool {
        self.carrier.draining().is_retired() || self.peer_drains()
    }

    /// Whether the peer wants no more sessions: it is about to end.
    pub(crate) fn peer_drains(&self) -> bool {
        self.carrier.peer().is_draining()
    }

    /// Whether others are to be preferred for now: the peer has been silent
    /// for too long, or a session holds the carrier up.
    pub fn is_doubtful(&self) -> bool {
        self.carrier.peer().is_suspect() || self.carrier.peer().is_held_up()
    }

    /// Whether the peer takes longer to answer than it should. It is not in
    /// doubt for that, but who answers is better.
    pub(crate) fn is_overdue(&self) -> bool {
        self.carrier.is_overdue()
    }

    /// Whether the peer may yet turn out to be a muxcool peer. Until then it is
    /// told nothing that others do not understand.
    pub(crate) fn is_unknown(&self) -> bool {
        self.carrier.options().extensions && !self.carrier.peer().has_spoken()
    }

    /// When something was last received.
    pub(crate) fn last_heard(&self) -> Instant {
        self.carrier.peer().last_heard()
    }

    /// Whether the peer has said that it speaks the extensions.
    pub fn has_muxcool_peer(&self) -> bool {
        !self.carrier.peer().is_plain()
    }

    /// Asks the peer for an answer, ahead of queued data, and says how long it
    /// took. Every member of the family answers. Callers who come while an
    /// answer is awaited share the next one, which is to a question that leaves
    /// after they have come.
    ///
    /// # Errors
    /// [`MuxError::TimedOut`] after `limit`, [`MuxError::CarrierLost`].
    pub fn ping(&self, limit: Duration) -> Result<Duration, MuxError> {
        self.carrier.ping(limit)
    }

    /// Whether it will take no session ever again: closed, draining, or with
    /// its ids or its lifetime of sessions used up.
    pub fn is_closing(&self) -> bool {
        self.is_draining() || self.is_used_up()
    }

    /// Whether it cannot take a session ever again, whether it drains or not.
    pub fn is_used_up(&self) -> bool {
        match self.check() {
            Ok(()) | Err(MuxError::SessionLimit) => false,
            Err(_) => true,
        }
    }

    /// Whether it would refuse a session now, or others are to be preferred.
    pub fn is_full(&self) -> bool {
        self.is_doubtful() || !self.has_place()
    }

    /// Whether it takes a session now, for want of a better one.
    pub(super) fn has_place(&self) -> bool {
        !self.is_draining() && self.check().is_ok()
    }

    fn check(&self) -> Result<(), MuxError> {
        let strategy = &self.options.strategy;
        Ok(self.carrier.with_sessions(|table| table.check(strategy))?)
    }

    /// Whether its carrier has ended.
    pub fn is_closed(&self) -> bool {
        self.carrier.closed().is_done()
    }

    /// What it does and has done.
    pub fn stats(&self) -> WorkerStats {
        self.carrier.stats(self.is_closing())
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

impl Drop for ClientWorker {
    fn drop(&mut self) {
        self.carrier.end(Cause::Closed("not wanted any more"));
    }
}

impl std::fmt::Debug for ClientWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stats = self.stats();
        f.debug_struct("ClientWorker")
            .field("carrier", &self.carrier.number())
            .field("stats", &stats)
            .finish()
    }
}

/// Body of `mux-out-N`.
fn fetch_output(carrier: &Arc<Carrier>, reader: Box<dyn Reader>) {
    carrier.read_loop(reader, OpensNothing);
}

/// A client's peer opens no sessions: its New is skipped with its data.
struct OpensNothing;

impl Role for OpensNothing {
    fn open(
        &mut self,
        _: &Arc<Carrier>,
        _: u16,
        _: Destination,
        _: Option<Box<Origin>>,
    ) -> Option<Arc<Session>> {
        None
    }

    fn refuse(&mut self, _: &Carrier, _: u16) {}
}

/// A session for short datagrams of the carrier's own, such as heartbeats.
/// Nothing that the peer sends on it is looked at. Dropping it ends it.
pub struct ControlSession {
    session: Arc<Session>,
    opened: bool,
}

impl ControlSession {
    /// Sends one datagram, ahead of queued data and without waiting.
    ///
    /// # Errors
    /// [`LinkError::WouldBlock`] when too much is queued, [`LinkError::Reset`]
    /// when the session is over.
    pub fn try_send(&mut self, datagram: &[u8]) -> Result<(), LinkError> {
        self.session.send_control(!self.opened, datagram)?;
        self.opened = true;
        Ok(())
    }

    /// Whether the peer, or the carrier's end, has ended it.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }
}

/// V2Ray's bridge never answers the End of a control session.
impl Drop for ControlSession {
    fn drop(&mut self) {
        self.session.leave();
    }
}

impl std::fmt::Debug for ControlSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlSession({})", self.session.name())
    }
}

/// Body of `mux-mon-N`: ends the carrier when during a whole period no session
/// was open or made (A24), if it may end at all.
fn monitor(carrier: &Arc<Carrier>, clock: &Clock, may_end: impl Fn() -> bool) {
    let mut seen = u32::MAX;
    loop {
        select! {
            recv(carrier.closed().event()) -> _ => return,
            recv(clock.after(IDLE_CHECK)) -> _ => {}
        }
        if may_end() && carrier.with_sessions(|table| table.close_if_idle(seen)) {
            return carrier.end(Cause::Closed("idle"));
        }
        seen = carrier.with_sessions(|table| table.total());
    }
}

/// Sends a session what `reader` delivers: New, with the first payload if it
/// is at hand, then the rest, then End.
fn fetch_input(
    session: &Arc<Session>,
    reader: &mut dyn Reader,
    first_payload_wait: Duration,
) -> Result<(), LinkError> {
    match reader.read_timeout(first_payload_wait) {
        Ok(Some(first)) => session.send_new(Some(first))?,
        Ok(None) => {
            session.send_new(None)?;
            return session.end_local();
        }
        Err(LinkError::TimedOut) => session.send_new(None)?,
        Err(e) => return Err(e),
    }
    while let Some(buf) = reader.read()? {
        session.send(buf)?;
    }
    session.end_local()
}
