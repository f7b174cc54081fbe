//! One flow of a [`Flows`](super::Flows), and the table of all of them.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use super::flows::Shared;
use super::options::FlowLimits;
use super::socket::{Sent, Wait, send_to};
use crate::buf::Buf;
use crate::link::{Handle, Interrupt, Link, LinkError, PipeLinkReader, Writer};
use crate::net::Destination;
use crate::pipe::{PipeError, PipeReader, PipeWriter, pipe};
use crate::sync::{Lately, Periodic};
use crate::transport::tcp::{Activity, Expire, Idle, source_of};

/// What a flow is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: SocketAddr,
    pub(super) target: Destination,
}

/// The flows that take datagrams, and the count of those that have a thread.
///
/// A flow that has ended leaves `by_key` at once, so that its visitor can have
/// a new one; it keeps its place until its thread has ended too. One that is cut
/// gives its place away at once.
#[derive(Default)]
pub(super) struct Table {
    stopped: bool,
    closed: bool,
    places: usize,
    sources: HashMap<IpAddr, usize>,
    next: u64,
    by_key: HashMap<Key, Arc<Flow>>,
    /// Those of `by_key` whose target has sent nothing yet, by number, which is
    /// by age.
    unanswered: BTreeMap<u64, Arc<Flow>>,
    /// Those that were cut and whose threads have not ended yet.
    cut: HashSet<u64>,
}

/// Why a flow was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Closed,
    Full,
    OfSource,
}

impl Table {
    pub(super) fn find(&self, key: &Key) -> Option<Arc<Flow>> {
        self.by_key.get(key).cloned()
    }

    /// A number for a new flow, which has a place from now on, and the flow
    /// that is to be reset because it had that place.
    pub(super) fn admit(
        &mut self,
        of: SocketAddr,
        limits: &FlowLimits,
    ) -> Result<(u64, Option<Arc<Flow>>), Refused> {
        if self.closed || self.stopped {
            return Err(Refused::Closed);
        }
        let source = source_of(of.ip());
        let here = self.sources.get(&source).copied().unwrap_or_default();
        if here >= limits.flows_per_source {
            return Err(Refused::OfSource);
        }
        let cut = match self.places < limits.flows {
            true => None,
            false => Some(self.cut_oldest(limits).ok_or(Refused::Full)?),
        };
        *self.sources.entry(source).or_default() += 1;
        self.places += 1;
        self.next += 1;
        Ok((self.next, cut))
    }

    /// Takes its place from the flow that has been without an answer for
    /// longest, if that is long enough. No more threads are left to end than
    /// there are places.
    fn cut_oldest(&mut self, limits: &FlowLimits) -> Option<Arc<Flow>> {
        let oldest = self.unanswered.values().next()?.clone();
        if oldest.began.elapsed() < limits.answer || self.cut.len() >= limits.flows {
            return None;
        }
        self.unlist(&oldest);
        self.give_place_back(oldest.key.source);
        self.cut.insert(oldest.id);
        Some(oldest)
    }

    /// Lets `flow` take datagrams, unless all of them have been ended.
    pub(super) fn list(&mut self, flow: &Arc<Flow>) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        self.by_key.insert(flow.key.clone(), flow.clone());
        self.unanswered.insert(flow.id, flow.clone());
        Ok(())
    }

    /// An admitted flow's thread has ended, or was never started.
    pub(super) fn forget_thread(&mut self, flow: &Flow) {
        if !self.cut.remove(&flow.id) {
            self.give_place_back(flow.key.source);
        }
    }

    fn give_place_back(&mut self, of: SocketAddr) {
        self.places -= 1;
        let source = source_of(of.ip());
        if let Some(here) = self.sources.get_mut(&source) {
            *here -= 1;
            if *here == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Returns the flow, to be dropped without the lock.
    fn unlist(&mut self, flow: &Flow) -> Option<Arc<Flow>> {
        self.unanswered.remove(&flow.id);
        let listed = self.by_key.get(&flow.key)?;
        match listed.id == flow.id {
            true => self.by_key.remove(&flow.key),
            false => None,
        }
    }

    /// Refuses all others from now on, and returns those that are there.
    pub(super) fn close(&mut self) -> Vec<Arc<Flow>> {
        self.closed = true;
        self.unanswered.clear();
        self.by_key.drain().map(|(_, flow)| flow).collect()
    }

    pub(super) fn threads(&self) -> usize {
        self.places + self.cut.len()
    }

    /// Refuses new flows from now on; those that are there go on.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Flows that have had a packet within `time`.
    pub(super) fn busy(&self, time: Duration) -> usize {
        let now = Instant::now();
        let flows = self.by_key.values();
        flows.filter(|flow| flow.moved.is_within(time, now)).count()
    }
}

/// A visitor's conversation with one target.
pub(super) struct Flow {
    id: u64,
    key: Key,
    began: Instant,
    server: Weak<Shared>,
    queue: PipeWriter,
    /// In front of each reply.
    header: Vec<u8>,
    /// The target has sent something.
    answered: AtomicBool,
    /// Replies are no longer wanted; by force or not.
    ended: AtomicBool,
    activity: Activity,
    moved: Lately,
    watch: OnceLock<Periodic>,
}

impl Flow {
    /// A flow whose link is read from the returned end of its queue.
    pub(super) fn new(
        id: u64,
        key: Key,
        header: Vec<u8>,
        queue: usize,
        server: &Arc<Shared>,
    ) -> (Arc<Self>, PipeReader) {
        let (reader, writer) = pipe(queue);
        let now = Instant::now();
        let flow = Self {
            id,
            key,
            began: now,
            server: Arc::downgrade(server),
            queue: writer,
            header,
            answered: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            activity: Activity::default(),
            moved: Lately::new(now),
            watch: OnceLock::new(),
        };
        (Arc::new(flow), reader)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Ends the flow when no packet has gone either way for too long.
    pub(super) fn watch(self: &Arc<Self>, idle: &Idle) {
        let _ = self.watch.set(idle.watch(Arc::downgrade(self)));
    }

    /// The link that goes to the dispatcher.
    pub(super) fn link(self: &Arc<Self>, queue: PipeReader) -> Link {
        let writer = FlowWriter {
            flow: self.clone(),
            closed: false,
        };
        Link::new(PipeLinkReader::new(queue), writer)
    }

    /// Queues a datagram of the visitor; never waits.
    ///
    /// # Errors
    /// [`PipeError::Full`]; anything else says that the flow has ended.
    pub(super) fn take(&self, datagram: Buf) -> Result<(), PipeError> {
        self.queue.try_write(datagram).map_err(|(why, _)| why)?;
        self.packet_moves();
        Ok(())
    }

    fn packet_moves(&self) {
        self.activity.touch();
        self.moved.note(Instant::now());
    }

    /// No more datagrams: the link's reader drains the queue and then sees
    /// the end.
    pub(super) fn finish(&self) {
        self.unlist();
        self.queue.close();
    }

    /// Makes both halves of the link fail.
    pub(super) fn reset(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.unlist();
        self.queue.interrupt();
    }

    fn unlist(&self) {
        let Some(server) = self.server.upgrade() else {
            return;
        };
        let unlisted = server.table.lock().unlist(self);
        drop(unlisted);
    }

    /// From now on it gives way to no other.
    fn note_answer(&self, server: &Shared) {
        // A plain load first: the line stays shared while nothing changes.
        if !self.answered.load(Ordering::Relaxed) && !self.answered.swap(true, Ordering::Relaxed) {
            server.table.lock().unanswered.remove(&self.id);
        }
    }

    fn reply(&self, data: &[u8], wait: Wait) -> Result<(), LinkError> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(LinkError::Reset);
        }
        let server = self.server.upgrade().ok_or(LinkError::Reset)?;
        self.note_answer(&server);
        match send_to(&server.socket, data, self.key.source, wait)? {
            Sent::Whole => self.packet_moves(),
            Sent::Dropped => server.counters.unsent.add_one(),
        }
        Ok(())
    }
}

impl Expire for Flow {
    fn activity(&self) -> &Activity {
        &self.activity
    }

    fn expire(&self) {
        self.finish();
    }
}

/// Sends replies to the visitor, from the port that it sent to.
///
/// A conversation that gets no more replies is over, so closing this half ends
/// the other one, in an orderly way.
struct FlowWriter {
    flow: Arc<Flow>,
    closed: bool,
}

impl FlowWriter {
    fn send(&self, mut datagram: Buf, wait: Wait) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        datagram.prepend(&self.flow.header);
        self.flow.reply(datagram.as_slice(), wait)
    }
}

impl Writer for FlowWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(datagram) = batch.pop_front() {
            self.send(datagram, Wait::Yes)?;
        }
        Ok(())
    }

    /// Never [`LinkError::WouldBlock`]: a datagram that finds no room is gone.
    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        self.send(Buf::copy_of(data), Wait::No)?;
        Ok(data.len())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        self.flow.finish();
        Ok(())
    }

    fn abort(&mut self) {
        self.flow.reset();
    }

    fn handle(&self) -> Handle {
        Arc::new(Reset(self.flow.clone()))
    }
}

impl Drop for FlowWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.flow.reset();
        }
    }
}

struct Reset(Arc<Flow>);

impl Interrupt for Reset {
    fn interrupt(&self) {
        self.0.reset();
    }
}
