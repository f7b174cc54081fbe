//! One link that carries sessions: its writer thread, the loop that reads it,
//! and how it ends. Client and server worker differ in what New means to them.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use parking_lot::Mutex;

use super::MuxError;
use super::codec::{Event, FrameDecoder};
use super::extension::{Hello, Message};
use super::frame::{FrameError, FrameMetadata, SessionStatus};
use super::inlet::Bounds;
use super::liveness::{Found, Liveness, Verdict};
use super::options::{CarrierOptions, LivenessTimes};
use super::outgoing::{Lanes, Outgoing, lanes};
use super::peer::Peer;
use super::probes::Probe;
use super::session::Session;
use super::stats::{Counters, WorkerStats};
use super::table::SessionManager;
use crate::limits::{
    CLOSE_GRACE, JOIN_DEADLINE, MAX_FRAME_PAYLOAD, MAX_PLAIN_DATAGRAM, PROBE_SESSION,
};
use crate::link::{Handle, Link, Reader, Writer};
use crate::net::{Destination, Network};
use crate::sync::{Crew, Done, Next, Periodic, Timer};

/// What a peer's New means on this end of a carrier.
pub(super) trait Role: Send + 'static {
    /// Opens the session that the peer asks for; `None` if it gets none, and
    /// then its payload is skipped.
    fn open(
        &mut self,
        carrier: &Arc<Carrier>,
        id: u16,
        target: Destination,
    ) -> Option<Arc<Session>>;

    /// The peer asks for a session whose target cannot be read.
    fn refuse(&mut self, carrier: &Carrier, id: u16);
}

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
    counters: Arc<Counters>,
    bounds: Bounds,
    peer: Peer,
    /// Looks whether the peer is still there.
    watch: Mutex<Option<Periodic>>,
    outgoing: Outgoing,
    sessions: Mutex<SessionManager<Arc<Session>>>,
    crew: Crew,
    reader: Handle,
    writer: Handle,
    closed: Done,
    /// Sessions that had ended in an orderly way when the carrier did, and
    /// whose last bytes are still being consumed.
    lingering: Mutex<Vec<Weak<Session>>>,
}

impl Carrier {
    /// Starts the writer thread on `link`. The caller reads, with
    /// [`read_loop`](Self::read_loop).
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub(super) fn start(
        link: Link,
        end: End,
        options: &CarrierOptions,
    ) -> Result<(Arc<Self>, Box<dyn Reader>), MuxError> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        options.check()?;
        let timer = match &options.timer {
            Some(timer) => timer.clone(),
            None => Timer::global().map_err(MuxError::Thread)?,
        };
        let (outgoing, lanes) = lanes();
        if options.extensions && end == End::Client {
            outgoing.greet(hello(options));
        }
        let counters = Arc::<Counters>::default();
        let carrier = Arc::new(Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            end,
            options: options.clone(),
            timer,
            bounds: Bounds::new(options, counters.clone()),
            counters,
            peer: Peer::new(),
            watch: Mutex::new(None),
            outgoing,
            sessions: Mutex::default(),
            crew: Crew::new(),
            reader: link.reader.handle(),
            writer: link.writer.handle(),
            closed: Done::new(),
            lingering: Mutex::default(),
        });
        let inner = carrier.clone();
        let writer = link.writer;
        let name = format!("mux-wr-{}", carrier.number);
        carrier
            .spawn(&name, move || inner.write_loop(lanes, writer))
            .map_err(MuxError::Thread)?;
        if let Some(times) = options.liveness {
            carrier.start_watch(times);
        }
        Ok((carrier, link.reader))
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

    pub(super) fn counters(&self) -> &Counters {
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
            dropped: self.counters.dropped.get(),
        }
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    /// Whether an End sent now could cost the rest of an answer (section 13).
    pub(super) fn peers_end_cuts_answers(&self) -> bool {
        self.end == End::Client && self.peer.is_plain()
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
        let now = self.timer.clock().now();
        let found = Found {
            heard: self.peer.take_heard(),
            answers: self.peer.probes().were_answered(),
            blocked: self.cannot_answer(),
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
            Verdict::Dead => {
                self.end(Cause::Failed(MuxError::Silent));
                Next::Stop
            }
        }
    }

    /// A plain peer that stops reading for one session's sake reads no probe
    /// either. A muxcool peer always reads.
    fn cannot_answer(&self) -> bool {
        self.peer.is_plain() && self.outgoing.is_writing()
    }

    fn probe(&self) {
        let probe = self
            .peer
            .probes()
            .begin(self.peer.is_plain(), Instant::now());
        self.send_probe(probe);
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
        let (number, probe) = probes.ask(self.peer.is_plain(), Instant::now());
        if let Some(probe) = probe {
            self.send_probe(probe);
        }
        probes.wait(number, limit)
    }

    fn answered(&self, probe: Probe) {
        let plain = self.peer.is_plain();
        if let Some(next) = self.peer.probes().answered(probe, plain, Instant::now()) {
            self.send_probe(next);
        }
    }

    /// Acts on what a muxcool peer says in a KeepAlive frame.
    fn obey(&self, data: &[u8]) -> Result<(), MuxError> {
        for message in Message::decode_all(data)? {
            if !matches!(message, Message::Hello(_)) {
                self.peer.become_aware(); // nobody says these to a plain peer
            }
            match message {
                Message::Hello(hello) => self.welcome(hello),
                Message::Credit(credits) => self.take_credits(&credits),
                Message::Ping(nonce) => self.outgoing.pong(nonce),
                Message::Pong(nonce) => self.answered(Probe::Ping(nonce)),
                Message::Drain => self.peer.drain(),
            }
        }
        Ok(())
    }

    /// A second HELLO changes nothing.
    fn welcome(&self, theirs: Hello) {
        if !self.peer.said_hello(theirs) {
            return;
        }
        debug!("carrier {}: the peer is muxcool", self.number);
        match self.end {
            End::Client => self.peer.become_aware(), // it has answered our own
            End::Server => self.outgoing.hello(hello(&self.options)),
        }
        let sessions: Vec<Arc<Session>> =
            self.with_sessions(|table| table.iter().cloned().collect());
        for session in sessions {
            session.peer_said_hello(theirs.window);
        }
        self.probe(); // the first measure of the round trip
    }

    /// Credit for a session that is over came late.
    fn take_credits(&self, credits: &[(u16, u64)]) {
        for (id, offset) in credits {
            if let Some(session) = self.session(*id) {
                session.granted(*offset);
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
    }

    pub(super) fn session(&self, id: u16) -> Option<Arc<Session>> {
        self.sessions.lock().get(id).cloned()
    }

    pub(super) fn closed(&self) -> &Done {
        &self.closed
    }

    /// Body of `mux-wr-N`. Woken by data, and by the end of the lanes.
    fn write_loop(&self, lanes: Lanes, mut writer: Box<dyn Writer>) {
        if let Err(e) = lanes.run(&self.outgoing, writer.as_mut()) {
            writer.abort();
            self.end(Cause::Failed(e.into()));
        }
    }

    /// Reads frames and acts on them until the carrier ends, and ends it.
    /// Woken by data, and by the interrupt that ending the carrier makes.
    pub(super) fn read_loop(self: &Arc<Self>, mut reader: Box<dyn Reader>, role: impl Role) {
        let mut demux = Demux {
            carrier: self,
            role,
            current: Current::Skip,
            pieces: Vec::new(),
        };
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
        self.outgoing.close();
        if matches!(cause, Cause::Failed(_)) {
            self.outgoing.interrupt();
            self.writer.interrupt();
        }
        self.reader.interrupt();
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
fn hello(options: &CarrierOptions) -> Hello {
    Hello {
        window: options.window,
        datagram: MAX_PLAIN_DATAGRAM as u16,
        capabilities: 0,
    }
}

fn log_end(number: u32, cause: &Cause) {
    match cause {
        Cause::Closed(why) => info!("carrier {number} closed: {why}"),
        Cause::PeerEnded => info!("carrier {number} ended by the peer"),
        Cause::Failed(e) => info!("carrier {number} lost: {}", crate::error::chain(e)),
    }
}

/// Where the payload of the current frame goes.
enum Current {
    Skip,
    Stream(Arc<Session>),
    Datagram(Arc<Session>),
    /// What muxcool peers tell each other.
    Signals,
}

/// The reading side's state: which frame it is in.
struct Demux<'a, R> {
    carrier: &'a Arc<Carrier>,
    role: R,
    current: Current,
    /// The part that has arrived of a payload that is wanted whole.
    pieces: Vec<u8>,
}

impl<R: Role> Demux<'_, R> {
    fn run(&mut self, reader: &mut dyn Reader) -> Result<(), MuxError> {
        let mut decoder = FrameDecoder::new();
        while let Some(buf) = reader.read()? {
            self.carrier.peer.hear();
            self.carrier.counters.received.add(buf.len());
            let mut input = buf.as_slice();
            while let Some(event) = decoder.next(&mut input)? {
                self.handle(event)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), MuxError> {
        match event {
            Event::Frame { metadata, payload } => {
                self.current = self.begin(metadata, payload.is_some());
                match payload {
                    Some(0) => self.payload(&[], 0),
                    _ => Ok(()),
                }
            }
            Event::Payload { bytes, left } => self.payload(bytes, left),
        }
    }

    /// Acts on a frame's head; says where its payload goes.
    fn begin(&mut self, metadata: Result<FrameMetadata, FrameError>, has_data: bool) -> Current {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(e) => {
                self.refuse(&e);
                return Current::Skip;
            }
        };
        let id = metadata.session_id;
        match (metadata.status, metadata.target) {
            (SessionStatus::New, Some(target)) => {
                Current::to(self.role.open(self.carrier, id, target))
            }
            (SessionStatus::Keep, _) => self.keep(id, has_data),
            (SessionStatus::End, _) => {
                self.end(id, metadata.option.has_error);
                Current::Skip
            }
            (SessionStatus::KeepAlive, _) if id == 0 && self.carrier.options.extensions => {
                Current::Signals
            }
            (SessionStatus::New | SessionStatus::KeepAlive, _) => Current::Skip,
        }
    }

    /// A session without a usable target is refused; its carrier lives (A28).
    fn refuse(&mut self, error: &FrameError) {
        if let FrameError::BadTarget { session_id, .. } = error {
            let name = format!("{}/{session_id}", self.carrier.number);
            debug!("session {name} refused: {}", crate::error::chain(error));
            self.role.refuse(self.carrier, *session_id);
        }
    }

    fn end(&self, id: u16, error: bool) {
        if let Some(session) = self.carrier.session(id) {
            session.remote_end(error);
        } else if id == PROBE_SESSION {
            self.carrier.answered(Probe::Plain);
        }
    }

    /// Data for an id that is not open is answered with End and skipped.
    fn keep(&self, id: u16, has_data: bool) -> Current {
        let session = self.carrier.session(id);
        if session.is_none() && has_data {
            self.carrier.outgoing.end_now(id, false);
        }
        Current::to(session)
    }

    fn payload(&mut self, bytes: &[u8], left: usize) -> Result<(), MuxError> {
        match &self.current {
            Current::Skip => {}
            Current::Stream(session) => {
                if !bytes.is_empty() {
                    session.deliver(bytes);
                }
            }
            Current::Datagram(session) => {
                let session = session.clone();
                self.whole(bytes, left, |datagram| {
                    session.deliver(datagram);
                    Ok(())
                })?;
            }
            Current::Signals => {
                let carrier = self.carrier.clone();
                self.whole(bytes, left, |data| carrier.obey(data))?;
            }
        }
        Ok(())
    }

    /// Collects the pieces of one frame's payload, and acts once it is whole.
    fn whole(
        &mut self,
        bytes: &[u8],
        left: usize,
        act: impl FnOnce(&[u8]) -> Result<(), MuxError>,
    ) -> Result<(), MuxError> {
        if left == 0 && self.pieces.is_empty() {
            return act(bytes);
        }
        if self.pieces.capacity() == 0 {
            self.pieces.reserve(MAX_FRAME_PAYLOAD);
        }
        self.pieces.extend_from_slice(bytes);
        if left > 0 {
            return Ok(());
        }
        let acted = act(&self.pieces);
        self.pieces.clear();
        acted
    }
}

impl Current {
    fn to(session: Option<Arc<Session>>) -> Self {
        match session {
            None => Current::Skip,
            Some(session) if session.network() == Network::Udp => Current::Datagram(session),
            Some(session) => Current::Stream(session),
        }
    }
}
