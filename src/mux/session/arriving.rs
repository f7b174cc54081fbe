//! What arrives of a session, up to the peer's End.

use std::cell::Cell;
use std::sync::Arc;

use log::{debug, info};

use super::{Failure, Session};
use crate::buf::Buf;
use crate::link::{Handle, Writer};
use crate::mux::flow::Received;
use crate::mux::inlet::{ConsumerGone, Inlet, Step};
use crate::mux::wakes::Wakes;
use crate::net::Network;
use crate::sync::shim::atomic::Ordering;
use crate::sync::{Complaints, Done};

/// Sessions that were ended for holding up their carriers.
static STALLED: Complaints = Complaints::new();

impl Session {
    /// Gives what arrives to `consumer`. When nobody wants any more what this
    /// side sends, `source` is interrupted.
    pub(in crate::mux) fn attach(self: &Arc<Self>, consumer: Box<dyn Writer>, source: Handle) {
        *self.source.lock() = Some(source);
        if self.is_over() {
            self.stop_source();
        }
        let step = self.inlet.attach(consumer, &|len| self.consumed(len));
        self.take_step(step);
    }

    /// Happens when the receiving direction has ended, orderly or not.
    pub(in crate::mux) fn received_all(&self) -> &Arc<Done> {
        self.inlet.done()
    }

    /// Called by the carrier's reader, for a piece of a stream or a datagram.
    /// Returns the offset up to which the peer is to be granted payload, if it
    /// is time to tell it. Before it waits for room it wakes whom `wakes` has.
    pub(in crate::mux) fn deliver(self: &Arc<Self>, data: &[u8], wakes: &Wakes) -> Option<u64> {
        self.deliver_by(data.len(), wakes, |inlet, consumed, held_up| {
            inlet.deliver(data, consumed, held_up, wakes)
        })
    }

    /// As [`deliver`](Self::deliver), for a piece of a stream that has a buffer
    /// for itself.
    pub(in crate::mux) fn deliver_buf(self: &Arc<Self>, buf: Buf, wakes: &Wakes) -> Option<u64> {
        self.deliver_by(buf.len(), wakes, |inlet, consumed, held_up| {
            inlet.deliver_buf(buf, consumed, held_up, wakes)
        })
    }

    fn deliver_by(
        self: &Arc<Self>,
        len: usize,
        wakes: &Wakes,
        deliver: impl FnOnce(&Inlet, &dyn Fn(usize), &dyn Fn(bool)) -> Result<Step, ConsumerGone>,
    ) -> Option<u64> {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        match self.count(len) {
            Received::Fine => {}
            Received::BoundFromNow => self.inlet.rely_on_credit(),
            Received::PastCredit => {
                debug!("session {}: peer ignores its credit", self.name());
                self.fail();
                return None;
            }
        }
        let peer = self.carrier.peer();
        let granted = Cell::new(None);
        let consumed = |len| granted.set(self.consume(len).or(granted.get()));
        let held_up = |begins| {
            wakes.send();
            peer.hold_up(begins);
        };
        let step = deliver(&self.inlet, &consumed, &held_up);
        self.take_step(step);
        granted.get()
    }

    fn count(&self, len: usize) -> Received {
        match self.network() {
            Network::Tcp => self.flow.receive(len, self.carrier.peer().is_aware()),
            Network::Udp => {
                self.datagram_moves();
                self.datagrams.received.add(len);
                Received::Fine
            }
        }
    }

    /// The consumer has taken `len` bytes; the peer may be told.
    fn consumed(&self, len: usize) {
        if let Some(offset) = self.consume(len) {
            self.carrier.outgoing().credit(&[(self.id, offset)]);
        }
    }

    /// The consumer has taken `len` bytes. Returns what to grant, if anything.
    fn consume(&self, len: usize) -> Option<u64> {
        if self.network() == Network::Udp {
            return None;
        }
        let peer = self.carrier.peer();
        let offset = self.flow.consume(len, peer);
        offset.filter(|_| !peer.is_plain())
    }

    /// The peer grants payload up to `offset`.
    pub(in crate::mux) fn granted(&self, offset: u64) {
        self.flow.grant(offset);
    }

    /// The peer, plain until now, has said HELLO.
    pub(in crate::mux) fn peer_said_hello(&self, window: u32) {
        if self.network() == Network::Udp {
            return;
        }
        let offset = self.flow.limit_to(window);
        self.carrier.outgoing().credit(&[(self.id, offset)]);
        self.send_due_end();
    }

    fn take_step(self: &Arc<Self>, step: Result<Step, ConsumerGone>) {
        match step {
            Ok(Step::None) => {}
            Ok(Step::Drain(consumer)) => self.drain_elsewhere(consumer),
            Err(ConsumerGone::Failed) => self.fail(),
            Err(ConsumerGone::Stalled) => {
                if let Some(unsaid) = STALLED.turn() {
                    info!(
                        "session {} held its carrier up too long{unsaid}",
                        self.name()
                    );
                }
                self.fail();
            }
        }
        self.settle();
    }

    fn drain_elsewhere(self: &Arc<Self>, consumer: Box<dyn Writer>) {
        let session = self.clone();
        let name = format!("mux-dr-{}", self.name());
        let spawned = self.carrier.spawn(&name, move || {
            let consumed = |len| session.consumed(len);
            if session.inlet.drain(consumer, &consumed).is_err() {
                session.fail();
            }
            session.settle();
        });
        if let Err(e) = spawned {
            debug!("session {}: no thread to drain it: {e}", self.name());
            self.inlet.consumer_lost();
            self.fail();
        }
    }

    /// The peer sent an End.
    ///
    /// Without the error bit it is a half-close (section 13): the answer still
    /// goes out. A second one says that the answer is not wanted either.
    /// Datagram sessions have no half-close.
    pub(in crate::mux) fn remote_end(&self, error: bool) {
        let mut ends = self.ends.lock();
        if error && ends.quiet_after != Some(self.arrived()) {
            drop(ends);
            self.finish(Some(Failure::Peer));
            return;
        }
        let again = std::mem::replace(&mut ends.remote, true);
        let whole = again || self.network() == Network::Udp;
        let local = ends.local;
        ends.local |= whole; // so that only one End leaves (A17)
        drop(ends);
        if whole {
            self.finish(None); // before who reads sees the end, and writes
        }
        self.inlet.finish();
        self.send_due_end();
        if local {
            self.finish(None);
        }
        if whole && !local {
            self.carrier.outgoing().end_now(self.id, false);
            // Only now, for who reads there takes it for a failure.
            self.stop_source();
        }
        self.settle(); // this side may have ended meanwhile
    }
}
