//! One link that carries sessions: its writer thread, its peer, and how it
//! ends.

mod status;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use log::{debug, info, warn};

use super::MuxError;
use super::bounds::Bounds;
use super::demux::{Demux, Role};
use super::drain::Drain;
use super::extension::{Hello, Message, Messages, Said};
use super::liveness::{Found, Liveness, Verdict};
use super::options::{CarrierOptions, LivenessTimes};
use super::outgoing::Outgoing;
use super::peer::Peer;
use super::probes::Probe;
use super::roster::Totals;
use super::session::Session;
use super::stats::{Counters, WorkerStats};
use super::table::SessionManager;
use crate::limits::{CLOSE_GRACE, JOIN_DEADLINE, MAX_FRAME_PAYLOAD, MEASURED_AGAIN, QUIET_PEER};
use crate::link::{Handle, Link, Reader};
use crate::sync::shim::Mutex;
use crate::sync::{Crew, Done, Next, Periodic, Timer};

/// Why a carrier ended. The first cause is kept.
#[derive(Debug)]
pub(super) enum Cause {
    /// This side wanted it.
    Closed(&'static str),
    /// The peer ended it.
    PeerEnded,
    /// It failed.
    Failed(MuxError),
}

/// Which end of the carrier this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It opens sessions, and says HELLO first.
    Client,
    /// It takes them.
    Server,
}

/// What the threads of one carrier share.
pub(super) struct Carrier {
    number: u32,
    end: End,
    options: CarrierOptions,
    timer: Timer,
    since: Instant,
    /// The other end of the connection below.
    address: Option<SocketAddr>,
    counters: Arc<Counters>,
    /// What its roster knows of what it has done.
    counted: Mutex<Totals>,
    bounds: Bounds,
    peer: Peer,
    /// Looks whether the peer is still there.
    watch: Mutex<Option<Periodic>>,
    outgoing: Outgoing,
    sessions: Mutex<SessionManager<Arc<Session>>>,
    crew: Crew,
    reader: Handle,
    writer: Handle,
    /// Whether it ended in order, once it has: told by its first cause.
    in_order: OnceLock<bool>,
    closed: Done,
    /// All sessions have been told of the end.
    told: Done,
    drain: Drain,
    /// Sessions that the peer had ended in an orderly way when the carrier
    /// ended, and whose last bytes are still being consumed.
    lingering: Mutex<Vec<Weak<Session>>>,
}

impl Carrier {
    /// Starts the writer thread on `link`. The caller reads, with
    /// [`read_loop`](Self::read_loop).
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub(super) fn start(
        mut link: Link,
        end: End,
        options: &CarrierOptions,
    ) -> Result<(Arc<Self>, Box<dyn Reader>), MuxError> {
        options.check()?;
        let timer = match &options.timer {
            Some(timer) => timer.clone(),
            None => Timer::global().map_err(MuxError::Thread)?,
        };
        link.writer.hold_little();
        let writer = link.writer.handle();
        let outgoing = Outgoing::new(link.writer);
        if options.extensions && end == End::Client {
            outgoing.greet(hello(options, end));
        }
        let address = link.reader.peer();
        let carrier = Arc::new(Self::new(
            (link.reader.handle(), writer, address),
            end,
            options,
            timer,
            outgoing,
        ));
        carrier.start_writer()?;
        options.roster.enter(&carrier);
        if let Some(times) = options.liveness {
            carrier.start_watch(times);
        }
        Ok((carrier, link.reader))
    }

    fn new(
        (reader, writer, address): (Handle, Handle, Option<SocketAddr>),
        end: End,
        options: &CarrierOptions,
        timer: Timer,
        outgoing: Outgoing,
    ) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let counters = Arc::<Counters>::default();
        let now = timer.clock().now();
        Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            end,
            options: options.clone(),
            peer: Peer::new(now),
            timer,
            since: now,
            address,
            bounds: Bounds::new(options, counters.clone()),
            counters,
            counted: Mutex::default(),
            watch: Mutex::new(None),
            outgoing,
            sessions: Mutex::default(),
            crew: Crew::new(),
            reader,
            writer,
            in_order: OnceLock::new(),
            closed: Done::new(),
            told: Done::new(),
            drain: Drain::default(),
            lingering: Mutex::default(),
        }
    }

    fn start_writer(self: &Arc<Self>) -> Result<(), MuxError> {
        let carrier = self.clone();
        let name = format!("mux-wr-{}", self.number);
        self.spawn(&name, move || carrier.write_loop())
            .map_err(MuxError::Thread)
    }

    pub(super) fn count_received(&self, len: usize) {
        self.counters.received.add(len);
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn options(&self) -> &CarrierOptions {
        &self.options
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Whether it takes no more sessions is the worker's to say.
    pub(super) fn stats(&self, closing: bool) -> WorkerStats {
        let (total, active, parked) = self.with_sessions(|table| {
            let parked = table.iter().map(|session| session.parked()).sum();
            (table.total(), table.len() as u32, parked)
        });
        WorkerStats {
            total,
            active,
            closing,
            sent: self.outgoing.sent(),
            received: self.counters.received.get(),
            round_trip: self.peer.round_trip(),
            parked,
            held_up: self.peer.is_held_up(),
            hold_ups: self.counters.hold_ups.get(),
            stalled: self.counters.stalled.get(),
            credit_waits: self.counters.credit_waits.get(),
            dropped: self.counters.dropped.get(),
        }
    }

    pub(super) fn draining(&self) -> &Drain {
        &self.drain
    }

    pub(super) fn is_client(&self) -> bool {
        self.end == End::Client
    }

    /// Whether the peer was told that it may say where sessions come from.
    pub(super) fn hears_origins(&self) -> bool {
        self.end == End::Server && self.options.origins && !self.peer.is_plain()
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Whether an End sent now could cost the rest of an answer (section 13).
    pub(super) fn peers_end_cuts_answers(&self) -> bool {
        self.is_client() && self.peer.is_plain()
    }

    fn start_watch(self: &Arc<Self>, times: LivenessTimes) {
        let mut liveness = Liveness::new(times, self.timer.clock().now());
        let carrier = Arc::downgrade(self);
        let watch = self.timer.schedule(times.probe, move || {
            carrier
                .upgrade()
                .map_or(Next::Stop, |carrier| carrier.look(&mut liveness))
        });
        *self.watch.lock() = Some(watch);
    }

    fn look(&self, liveness: &mut Liveness) -> Next {
        self.leave_if_drained();
        let now = self.timer.clock().now();
        let found = Found {
            heard: self.peer.last_heard(),
            held_up: self.peer.is_held_up(),
            answers: self.peer.answers(),
            blocked: self.cannot_answer(),
            stuck_at: self.outgoing.stuck_at(),
        };
        match liveness.look(found, now) {
            Verdict::Fine(wait) => Next::After(wait),
            Verdict::Probe(wait) => {
                self.probe();
                Next::After(wait)
            }
            Verdict::Suspect(wait) => {
                if self.peer.become_suspect() {
                    warn!(
                        "carrier {}: peer is silent, others are preferred",
                        self.number
                    );
                }
                Next::After(wait)
            }
            Verdict::Dead => self.give_up(MuxError::Silent),
            Verdict::Unread => self.give_up(MuxError::Unread),
        }
    }

    fn give_up(&self, why: MuxError) -> Next {
        self.end(Cause::Failed(why));
        Next::Stop
    }

    /// A plain peer that stops reading for one session's sake reads no probe
    /// either. A muxcool peer always reads.
    fn cannot_answer(&self) -> bool {
        self.peer.is_plain() && self.outgoing.is_writing()
    }

    fn probe(&self) {
        let (plain, now) = (self.peer.is_plain(), self.now());
        if let Some(probe) = self.peer.probes().begin(plain, now) {
            self.send_probe(probe);
        }
    }

    /// Asks a peer that has been silent for a moment whether it is there, for
    /// somebody is about to depend on it.
    pub(super) fn ask_if_quiet(&self) {
        let (plain, now) = (self.peer.is_plain(), self.now());
        let silence = now.saturating_duration_since(self.peer.last_heard());
        if self.options.liveness.is_none() || silence < QUIET_PEER {
            return;
        }
        if let Some(probe) = self.peer.probes().begin_if_none(plain, now) {
            self.send_probe(probe);
        }
    }

    /// Measures the round trip to a muxcool peer again while much flows, for
    /// nobody asks then whether it is there. The first measure may have met a
    /// queue, or a busy machine, and windows follow the shortest.
    pub(super) fn measure(&self) {
        if self.peer.is_plain() {
            return;
        }
        let probes = self.peer.probes();
        if let Some(probe) = probes.begin_if_none_within(MEASURED_AGAIN, self.now()) {
            self.send_probe(probe);
        }
    }

    /// Whether the peer takes longer to answer than it should: it need not be
    /// gone, but others are better. A muxcool peer whose answer waits behind its
    /// data does not.
    pub(super) fn is_overdue(&self) -> bool {
        let Some(since) = self.peer.probes().awaited_since() else {
            return false;
        };
        let since = match self.peer.is_plain() {
            true => since,
            false => since.max(self.peer.last_heard()),
        };
        let usual = self.peer.round_trip().unwrap_or_default();
        let waited = self.now().saturating_duration_since(since);
        self.peer.probes().were_answered() && waited > QUIET_PEER.max(4 * usual)
    }

    fn now(&self) -> Instant {
        self.timer.clock().now()
    }

    fn send_probe(&self, probe: Probe) {
        match probe {
            Probe::Ping(nonce) => self.outgoing.ping(nonce),
            Probe::Plain => self.outgoing.probe(),
        }
    }

    /// Measures a round trip.
    pub(super) fn ping(&self, limit: Duration) -> Result<Duration, MuxError> {
        let probes = self.peer.probes();
        let (number, probe) = probes.ask(self.peer.is_plain(), self.now());
        if let Some(probe) = probe {
            self.send_probe(probe);
        }
        probes.wait(number, limit)
    }

    pub(super) fn answered(&self, probe: Probe) {
        let plain = self.peer.is_plain();
        if let Some(next) = self.peer.probes().answered(probe, plain, self.now()) {
            self.send_probe(next);
        }
    }

    /// Acts on what a muxcool peer says in a KeepAlive frame. Returns how many
    /// messages, or frames without any, move nothing on.
    pub(super) fn obey(&self, data: &[u8]) -> Result<usize, MuxError> {
        for said in Messages::of(data) {
            said?; // before any is acted on
        }
        let (mut any, mut idle) = (false, 0);
        for said in Messages::of(data).flatten() {
            any = true;
            idle += usize::from(!said.moves_on());
            self.obey_one(said);
        }
        Ok(idle + usize::from(!any))
    }

    fn obey_one(&self, said: Said<'_>) {
        if !matches!(said, Said::Other(Message::Hello(_))) {
            self.peer.become_aware(); // nobody says these to a plain peer
        }
        match said {
            Said::Credit(credits) => self.take_credits(credits),
            Said::Other(message) => match message {
                Message::Hello(hello) => self.welcome(hello),
                Message::Credit(credits) => self.take_credits(credits),
                Message::Ping(nonce) => self.outgoing.pong(nonce),
                Message::Pong(nonce) => self.answered(Probe::Ping(nonce)),
                Message::Drain => {
                    self.peer.drain();
                    self.leave_if_drained();
                }
            },
        }
    }

    /// A second HELLO changes nothing.
    fn welcome(&self, theirs: Hello) {
        if !self.peer.said_hello(theirs) {
            return;
        }
        debug!("carrier {}: the peer is muxcool", self.number);
        match self.end {
            End::Client => self.peer.become_aware(), // it has answered our own
            End::Server => self.outgoing.hello(hello(&self.options, self.end)),
        }
        self.tell_of_drain();
        let sessions: Vec<Arc<Session>> =
            self.with_sessions(|table| table.iter().cloned().collect());
        for session in sessions {
            session.peer_said_hello(theirs.window);
        }
        self.probe(); // the first measure of the round trip
    }

    /// Credit for a session that is over came late.
    fn take_credits(&self, credits: impl IntoIterator<Item = (u16, u64)>) {
        for (id, offset) in credits {
            if let Some(session) = self.session(id) {
                session.granted(offset);
            }
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Starts a thread that belongs to this carrier.
    pub(super) fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.crew.spawn(name, body)
    }

    /// Uses the session table, under its lock: `act` must not wait.
    pub(super) fn with_sessions<T>(
        &self,
        act: impl FnOnce(&mut SessionManager<Arc<Session>>) -> T,
    ) -> T {
        act(&mut self.sessions.lock())
    }

    /// Takes `session` out of the table, unless its id stands for another one
    /// by now: a peer may use an id again that both sides have ended (A17).
    pub(super) fn remove(&self, session: &Session) {
        let mut sessions = self.sessions.lock();
        let entry = sessions.get(session.id());
        if !entry.is_some_and(|entry| std::ptr::eq(&**entry, session)) {
            return;
        }
        let entry = sessions.remove(session.id());
        drop(sessions); // before the entry
        drop(entry);
        self.leave_if_drained();
    }

    pub(super) fn session(&self, id: u16) -> Option<Arc<Session>> {
        self.sessions.lock().get(id).cloned()
    }

    pub(super) fn closed(&self) -> &Done {
        &self.closed
    }

    /// How it has ended, if it has: in order or not.
    pub(super) fn over(&self) -> Option<MuxError> {
        Some(match self.in_order.get()? {
            true => MuxError::Closed,
            false => MuxError::CarrierLost,
        })
    }

    /// Body of `mux-wr-N`. Woken by what others leave to it, and by the end of
    /// the lanes; after a failure by the carrier's end, or in [`CLOSE_GRACE`].
    fn write_loop(&self) {
        if let Err(e) = self.outgoing.run() {
            // A peer that has ended the carrier takes nothing more. If so, the
            // reader knows it as soon as the peer has sent what it had queued.
            self.closed.wait_timeout(CLOSE_GRACE);
            self.end(Cause::Failed(e.into()));
            self.told.wait(); // by the reader, if that was first to find out
            self.writer.interrupt(); // whoever has it: something is missing
            self.outgoing.discard();
        }
    }

    /// Reads frames and acts on them until the carrier ends, and ends it.
    /// Woken by data, and by the interrupt that ending the carrier makes.
    pub(super) fn read_loop(self: &Arc<Self>, mut reader: Box<dyn Reader>, role: impl Role) {
        // The role goes last: who waits for what it hands out is to learn why
        // there is no more.
        let mut demux = Demux::new(self, role);
        let cause = match demux.run(reader.as_mut()) {
            Ok(()) => Cause::PeerEnded,
            Err(e) => Cause::Failed(e),
        };
        self.end(cause);
    }

    /// Ends the carrier: no session is taken, those that are open are lost,
    /// the reader is freed, what was queued leaves. Idempotent, waits for
    /// nothing.
    pub(super) fn end(&self, cause: Cause) {
        let _ = self.in_order.set(!matches!(cause, Cause::Failed(_)));
        if !self.closed.signal() {
            return;
        }
        log_end(self.number, &cause);
        debug!("carrier {}: {}", self.number, self.stats(true));
        let watch = self.watch.lock().take();
        drop(watch);
        self.peer.probes().end();
        let lost = self.sessions.lock().close();
        *self.lingering.lock() = lost.iter().map(Arc::downgrade).collect();
        for session in &lost {
            session.lose_carrier();
        }
        self.told.signal();
        if matches!(cause, Cause::Failed(_)) {
            self.outgoing.interrupt();
            self.writer.interrupt();
        } else {
            self.outgoing.close();
        }
        self.reader.interrupt();
        self.leave_roster();
    }

    /// Ends the carrier and waits for its threads.
    pub(super) fn end_and_join(&self, why: &'static str) {
        self.end(Cause::Closed(why));
        if self.crew.join(CLOSE_GRACE).is_empty() {
            return;
        }
        // A peer that does not read must not keep the writer.
        self.outgoing.interrupt();
        self.writer.interrupt();
        // Nor may a consumer that does not read keep its drainer.
        let lingering = std::mem::take(&mut *self.lingering.lock());
        for session in lingering.iter().filter_map(Weak::upgrade) {
            session.stop_consumer();
        }
        let left = self.crew.join(JOIN_DEADLINE);
        if !left.is_empty() {
            warn!(
                "carrier {}: threads that did not end: {}",
                self.number,
                left.join(", ")
            );
        }
    }

    /// Waits for the carrier's end.
    pub(super) fn wait_closed(&self, limit: Option<Duration>) -> bool {
        match limit {
            Some(limit) => self.closed.wait_timeout(limit),
            None => {
                self.closed.wait();
                true
            }
        }
    }
}

/// What this end says of itself.
fn hello(options: &CarrierOptions, end: End) -> Hello {
    let capabilities = match end {
        End::Server if options.origins => Hello::ORIGINS,
        _ => 0,
    };
    Hello {
        window: options.window,
        datagram: MAX_FRAME_PAYLOAD as u16,
        capabilities,
    }
}

fn log_end(number: u32, cause: &Cause) {
    match cause {
        Cause::Closed(why) => info!("carrier {number} closed: {why}"),
        Cause::PeerEnded => info!("carrier {number} ended by the peer"),
        Cause::Failed(e) => info!("carrier {number} lost: {}", crate::error::chain(e)),
    }
}
