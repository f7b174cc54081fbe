//! How a carrier comes to its end without costing anybody a session.
//!
//! The side that opens sessions ends it: it alone knows that none is on its
//! way. So a server asks for DRAIN, and its client leaves as soon as nothing
//! needs the carrier any more. A plain client does not understand that. Its
//! sessions are served as long as there are any, and then the server ends the
//! carrier itself.

use std::ops::{Add, AddAssign};
use std::sync::Arc;
use std::time::Instant;

use super::carrier::{Carrier, Cause};
use super::session::Session;
use super::table::SessionManager;
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, Ordering};

/// What has not ended yet of something that drains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Streams, and flows of datagrams that have not gone quiet.
    pub connections: usize,
    /// Carriers whose peers have not left them.
    pub carriers: usize,
}

impl Left {
    /// Whether it is nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Add for Left {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            carriers: self.carriers + other.carriers,
        }
    }
}

impl AddAssign for Left {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Left {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// What has been done about a drain of a carrier.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// Its client opens sessions elsewhere as far as it can.
    retired: AtomicBool,
    wanted: AtomicBool,
    told: AtomicBool,
    /// Sessions ever made, if none was in use at the last look.
    unused: Mutex<Option<u32>>,
}

impl Drain {
    /// Sessions are opened elsewhere from now on.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether this side, the server, wants the carrier to end.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

type Table = SessionManager<Arc<Session>>;

impl Carrier {
    /// Asks for no more sessions, and says what is left. To be called until
    /// that is nothing.
    pub(super) fn drain(&self) -> Left {
        self.draining().wanted.store(true, Ordering::SeqCst);
        self.tell_of_drain();
        if self.closed().is_done() {
            return Left::default();
        }
        let is_plain = self.peer().is_plain();
        if is_plain {
            self.end_if_unused();
        }
        Left {
            connections: self.busy_sessions(),
            carriers: usize::from(!is_plain),
        }
    }

    /// Sends DRAIN, once, if that is wanted and the peer understands it.
    pub(super) fn tell_of_drain(&self) {
        let drain = self.draining();
        let is_due = drain.wanted.load(Ordering::SeqCst) && !self.peer().is_plain();
        if is_due && !drain.told.swap(true, Ordering::SeqCst) {
            self.outgoing().drain();
        }
    }

    /// Ends the carrier if it has not been used from one call to the next: what
    /// the peer opened in between may be on its way.
    fn end_if_unused(&self) {
        let now = self.timer().clock().now();
        let mut unused = self.draining().unused.lock();
        let is_over = self.with_sessions(|table| {
            let since = std::mem::replace(&mut *unused, table.unused_since(now));
            since.is_some() && *unused == since && table.close_if(true)
        });
        drop(unused);
        if is_over {
            self.end(Cause::Closed("drained"));
        }
    }

    /// A client leaves a carrier whose peer drains, once nothing needs it.
    pub(super) fn leave_if_drained(&self) {
        if !self.is_client() || !self.peer().is_draining() {
            return;
        }
        let now = self.timer().clock().now();
        let leaves = self.with_sessions(|table| {
            let unused = table.unused_since(now).is_some();
            table.close_if(unused)
        });
        if leaves {
            self.end(Cause::Closed("drained"));
        }
    }

    /// Sessions in use: datagram sessions that are quiet are not.
    pub(super) fn busy_sessions(&self) -> usize {
        let now = self.timer().clock().now();
        self.with_sessions(|table| table.busy(now).count())
    }
}

impl Table {
    fn busy(&self, now: Instant) -> impl Iterator<Item = &Arc<Session>> {
        self.others().filter(move |session| session.is_busy(now))
    }

    /// How many sessions there have been, if none is in use.
    fn unused_since(&self, now: Instant) -> Option<u32> {
        let is_unused = self.busy(now).next().is_none();
        is_unused.then(|| self.total())
    }
}
