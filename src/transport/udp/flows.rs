use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info, warn};
use parking_lot::Mutex;

use super::flow::{Flow, Key, Refused, Table};
use super::halves::datagram_idle;
use super::options::FlowLimits;
use super::port::{Host, Port};
use super::socket::bind_beside;
use super::stats::{Counters, FlowStats};
use crate::buf::Buf;
use crate::error::chain;
use crate::limits::JOIN_DEADLINE;
use crate::link::{DispatchError, Link};
use crate::net::{Destination, Origin, canonical};
use crate::pipe::PipeError;
use crate::sync::{Complaints, Crew, Done};
use crate::transport::tcp::Idle;

/// What an inbound makes of its datagrams.
pub trait Service: Send + Sync {
    /// Where a visitor's datagram goes, and its payload; `None` drops it.
    fn open<'a>(&self, datagram: &'a [u8]) -> Option<(Destination, &'a [u8])>;

    /// What stands in front of each reply from `target`.
    fn reply_header(&self, target: &Destination) -> Vec<u8>;

    /// Carries one flow, on the calling thread, to the end.
    ///
    /// # Errors
    /// As [`Dispatcher::dispatch`](crate::link::Dispatcher::dispatch).
    fn serve(&self, origin: Origin, target: Destination, link: Link) -> Result<(), DispatchError>;
}

/// Where [`Flows`] receive.
pub enum Seat<'a> {
    /// On a socket of their own.
    New(UdpSocket),
    /// On that of others, who keep the flows that they have.
    Of(&'a Flows),
}

/// A UDP socket with a thread `in-TAG-udp` that receives, and for each visitor
/// and target a link on a thread `udp-TAG-n` of its own.
///
/// The receiving thread waits for no flow: a datagram that finds its flow's
/// queue full is dropped. A flow without a packet either way for
/// [`UDP_IDLE`](crate::limits::UDP_IDLE) ends. Sources of datagrams can be
/// forged, so where there are too many flows one that was never answered gives
/// way; those that were stay. Closing this, or dropping it, ends all flows and
/// waits for their threads.
pub struct Flows {
    shared: Arc<Shared>,
    port: Arc<Port>,
}

pub(super) struct Shared {
    tag: String,
    pub(super) socket: Arc<UdpSocket>,
    service: Box<dyn Service>,
    idle: Idle,
    limits: FlowLimits,
    closed: Done,
    crew: Crew,
    failures: Complaints,
    refusals: Complaints,
    cuts: Complaints,
    pub(super) table: Mutex<Table>,
    pub(super) counters: Counters,
}

impl Flows {
    /// Serves what arrives at `socket`, within the default limits. A flow may
    /// be idle for as long as a datagram flow may and `idle.times.both` says.
    /// An inbound without a tag goes by its port.
    ///
    /// # Errors
    /// When the receiving thread cannot be started.
    pub fn start(
        socket: UdpSocket,
        tag: &str,
        idle: &Idle,
        service: impl Service + 'static,
    ) -> io::Result<Self> {
        Self::start_with(socket, tag, idle, FlowLimits::default(), service)
    }

    /// As [`start`](Self::start), within limits of the caller's.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        socket: UdpSocket,
        tag: &str,
        idle: &Idle,
        limits: FlowLimits,
        service: impl Service + 'static,
    ) -> io::Result<Self> {
        let flows = Self::prepare(Seat::New(socket), tag, idle, limits, service)?;
        flows.open();
        Ok(flows)
    }

    /// As [`start_with`](Self::start_with), but nothing is received until it is
    /// [opened](Self::open), which cannot fail.
    ///
    /// # Errors
    /// As `start`.
    pub fn prepare(
        seat: Seat<'_>,
        tag: &str,
        idle: &Idle,
        limits: FlowLimits,
        service: impl Service + 'static,
    ) -> io::Result<Self> {
        let port = match seat {
            Seat::New(socket) => {
                let tag = name(tag, socket.local_addr()?);
                Port::start(socket, &tag)?
            }
            Seat::Of(other) => other.port.clone(),
        };
        let shared = Arc::new(Shared {
            tag: name(tag, port.local_addr()),
            socket: port.socket().clone(),
            service: Box::new(service),
            idle: datagram_idle(idle),
            limits,
            closed: Done::new(),
            crew: Crew::new(),
            failures: Complaints::new(),
            refusals: Complaints::rare(),
            cuts: Complaints::rare(),
            table: Mutex::default(),
            counters: Counters::default(),
        });
        Ok(Self { shared, port })
    }

    /// Takes all datagrams from now on but those of flows that others have on
    /// the same socket.
    pub fn open(&self) {
        self.port.put_in_charge(self.shared.clone());
    }

    /// Receives at `address`, although `others` have its port on addresses that
    /// overlap: one of its own, or all. A datagram comes to who has the closest.
    ///
    /// # Errors
    /// What the system says, such as [`io::ErrorKind::AddrInUse`].
    pub fn bind_beside(address: SocketAddr, others: &[&Self]) -> io::Result<UdpSocket> {
        let others: Vec<_> = others.iter().map(|other| &**other.port.socket()).collect();
        bind_beside(address, &others)
    }

    /// The address that it receives on.
    pub fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    /// Flows that have a thread now.
    pub fn live(&self) -> usize {
        self.shared.table.lock().threads()
    }

    /// Flows that have had a packet, either way, within `time`.
    pub fn busy(&self, time: Duration) -> usize {
        self.shared.table.lock().busy(time)
    }

    /// Makes no more flows; those that are there go on.
    pub fn stop_accepting(&self) {
        self.shared.table.lock().stop();
    }

    /// What has happened so far.
    pub fn stats(&self) -> FlowStats {
        self.shared.counters.read()
    }

    /// Stops receiving, ends all flows, and waits for their threads.
    pub fn close(&self) {
        if !self.shared.closed.signal() {
            return;
        }
        let mut left = self.port.leave(&self.shared);
        let flows = self.shared.table.lock().close();
        flows.iter().for_each(|flow| flow.reset());
        drop(flows);
        left.extend(self.shared.crew.join(JOIN_DEADLINE));
        if !left.is_empty() {
            warn!(
                "[{}] threads that did not end: {}",
                self.shared.tag,
                left.join(", ")
            );
        }
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.close();
    }
}

impl Host for Shared {
    fn take(self: Arc<Self>, source: SocketAddr, datagram: &[u8]) {
        let Some((target, payload)) = self.service.open(datagram) else {
            self.counters.malformed.add_one();
            return;
        };
        let key = Key { source, target };
        if let Err(why) = self.deliver(key, payload) {
            self.counters.refused.add_one();
            self.complain(source, &why);
        }
    }

    fn goes_on_with(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        let Some((target, payload)) = self.service.open(datagram) else {
            return false;
        };
        let found = self.table.lock().find(&Key { source, target });
        found.is_some_and(|flow| self.offer(&flow, payload))
    }
}

impl Shared {
    fn complain(&self, source: SocketAddr, why: &OpenError) {
        if matches!(why, OpenError::Refused(Refused::Closed)) {
            return;
        }
        if let Some(unsaid) = self.refusals.turn() {
            let (tag, source) = (&self.tag, canonical(source));
            warn!("[{tag}] datagrams of {source} are refused: {why}{unsaid}");
        }
    }

    /// Puts the datagram into its flow's queue. If that flow has just ended, a
    /// new one takes it.
    fn deliver(self: &Arc<Self>, key: Key, payload: &[u8]) -> Result<(), OpenError> {
        let found = self.table.lock().find(&key);
        if let Some(flow) = found {
            if self.offer(&flow, payload) {
                return Ok(());
            }
            flow.finish();
        }
        let (thread, link) = self.open(key)?;
        // Before anyone reads the queue or can end it, so that it is taken.
        self.offer(&thread.flow, payload);
        self.start_flow(thread, link)
    }

    /// Returns whether the flow is still there; its queue may be full.
    fn offer(&self, flow: &Flow, payload: &[u8]) -> bool {
        match flow.take(Buf::copy_of(payload)) {
            Ok(()) => {
                self.counters.taken.add_one();
                true
            }
            Err(PipeError::Full) => {
                self.counters.overflowed.add_one();
                true
            }
            Err(_) => false,
        }
    }

    fn open(self: &Arc<Self>, key: Key) -> Result<(FlowThread, Link), OpenError> {
        let (id, cut) = self.table.lock().admit(key.source, &self.limits)?;
        if let Some(cut) = cut {
            self.cut(&cut);
        }
        let header = self.service.reply_header(&key.target);
        let (flow, queue) = Flow::new(id, key, header, self.limits.queue, self);
        let link = flow.link(queue);
        let server = self.clone();
        Ok((FlowThread { server, flow }, link))
    }

    /// Ends a flow whose place another one has.
    fn cut(&self, flow: &Flow) {
        flow.reset();
        self.counters.cut.add_one();
        if let Some(unsaid) = self.cuts.turn() {
            let (tag, source) = (&self.tag, canonical(flow.key().source));
            info!("[{tag}] too many flows: the oldest unanswered, of {source}, is cut{unsaid}");
        }
    }

    fn start_flow(&self, thread: FlowThread, link: Link) -> Result<(), OpenError> {
        let listed = self.table.lock().list(&thread.flow);
        listed?;
        thread.flow.watch(&self.idle);
        let name = format!("udp-{}-{}", self.tag, thread.flow.id());
        Ok(self.crew.spawn(&name, move || thread.run(link))?)
    }
}

fn name(tag: &str, local: SocketAddr) -> String {
    match tag {
        "" => local.port().to_string(),
        tag => tag.to_owned(),
    }
}

/// Why a datagram got no flow.
enum OpenError {
    Refused(Refused),
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Refused(Refused::Closed) => f.write_str("no more are taken"),
            OpenError::Refused(Refused::Full) => f.write_str("too many flows"),
            OpenError::Refused(Refused::OfSource) => f.write_str("too many flows of this source"),
            OpenError::Thread(e) => write!(f, "no thread: {e}"),
        }
    }
}

impl From<Refused> for OpenError {
    fn from(why: Refused) -> Self {
        OpenError::Refused(why)
    }
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        OpenError::Thread(e)
    }
}

/// A flow's thread; dropping this gives its place back, also when it was never
/// started.
struct FlowThread {
    server: Arc<Shared>,
    flow: Arc<Flow>,
}

impl FlowThread {
    fn run(&self, link: Link) {
        self.server.counters.opened.add_one();
        let Key { source, target } = self.flow.key();
        let (tag, source) = (&self.server.tag, canonical(*source));
        debug!("[{tag}] datagrams from {source} to {target}");
        let origin = Origin::new(source, self.server.socket.local_addr().ok());
        match self.server.service.serve(origin, target.clone(), link) {
            Ok(()) => debug!("[{tag}] no more datagrams from {source} to {target}"),
            Err(e) => {
                if let Some(unsaid) = self.server.failures.turn() {
                    let why = chain(&e);
                    info!("[{tag}] datagrams from {source} to {target} ended: {why}{unsaid}");
                }
            }
        }
    }
}

impl Drop for FlowThread {
    fn drop(&mut self) {
        self.flow.reset();
        self.server.table.lock().forget_thread(&self.flow);
    }
}
