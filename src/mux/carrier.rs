//! One link that carries sessions: its writer thread, the loop that reads it,
//! and how it ends. Client and server worker differ in what New means to them.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use log::{debug, info, warn};
use parking_lot::Mutex;

use super::MuxError;
use super::codec::{Event, FrameDecoder};
use super::frame::{FrameError, FrameMetadata, SessionStatus};
use super::outgoing::{Lanes, Outgoing, lanes};
use super::session::Session;
use super::table::SessionManager;
use crate::limits::{CLOSE_GRACE, JOIN_DEADLINE, MAX_FRAME_PAYLOAD};
use crate::link::{Handle, Link, Reader, Writer};
use crate::net::{Destination, Network};
use crate::sync::{Crew, Done};

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

/// What the threads of one carrier share.
pub(super) struct Carrier {
    number: u32,
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
    pub(super) fn start(link: Link) -> io::Result<(Arc<Self>, Box<dyn Reader>)> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let (outgoing, lanes) = lanes();
        let carrier = Arc::new(Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
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
        carrier.spawn(&name, move || inner.write_loop(lanes, writer))?;
        Ok((carrier, link.reader))
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
            datagram: Vec::new(),
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
}

/// The reading side's state: which frame it is in.
struct Demux<'a, R> {
    carrier: &'a Arc<Carrier>,
    role: R,
    current: Current,
    /// The part of a datagram that has arrived, if it came in pieces.
    datagram: Vec<u8>,
}

impl<R: Role> Demux<'_, R> {
    fn run(&mut self, reader: &mut dyn Reader) -> Result<(), MuxError> {
        let mut decoder = FrameDecoder::new();
        while let Some(buf) = reader.read()? {
            let mut input = buf.as_slice();
            while let Some(event) = decoder.next(&mut input)? {
                self.handle(event);
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Frame { metadata, payload } => {
                self.current = self.begin(metadata, payload.is_some());
                if payload == Some(0) {
                    self.payload(&[], 0);
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
                if let Some(session) = self.carrier.session(id) {
                    session.remote_end(metadata.option.has_error);
                }
                Current::Skip
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

    /// Data for an id that is not open is answered with End and skipped.
    fn keep(&self, id: u16, has_data: bool) -> Current {
        let session = self.carrier.session(id);
        if session.is_none() && has_data {
            self.carrier.outgoing.end_now(id, false);
        }
        Current::to(session)
    }

    fn payload(&mut self, bytes: &[u8], left: usize) {
        match &self.current {
            Current::Stream(session) if !bytes.is_empty() => session.deliver(bytes),
            Current::Datagram(session) => {
                let session = session.clone();
                self.datagram_piece(&session, bytes, left);
            }
            Current::Stream(_) | Current::Skip => {}
        }
    }

    fn datagram_piece(&mut self, session: &Arc<Session>, bytes: &[u8], left: usize) {
        if left == 0 && self.datagram.is_empty() {
            return session.deliver(bytes);
        }
        if self.datagram.capacity() == 0 {
            self.datagram.reserve(MAX_FRAME_PAYLOAD);
        }
        self.datagram.extend_from_slice(bytes);
        if left == 0 {
            session.deliver(&self.datagram);
            self.datagram.clear();
        }
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
