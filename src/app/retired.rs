//! Waits for those who still use what a configuration does not have any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use parking_lot::Mutex;

use super::drain::Words;
use super::leaving::Leaving;
use crate::limits::{CLOSE_GRACE, DRAIN_HANDSHAKES, DRAIN_LOOK, JOIN_DEADLINE};
use crate::mux::Left;
use crate::sync::{Crew, Done};

/// The parts that are to go. A thread `retired` closes each when nobody uses it
/// any more, or its time is up; there is one as long as there is such a part.
#[derive(Default)]
pub(super) struct Retired {
    shared: Arc<Shared>,
    crew: Crew,
}

#[derive(Default)]
struct Shared {
    list: Mutex<List>,
    closed: Done,
}

#[derive(Default)]
struct List {
    all: Vec<Arc<Retiree>>,
    is_watched: bool,
}

struct Retiree {
    part: Box<dyn Leaving>,
    /// How long it may wait for what replaces it, and then for its users.
    limit: Duration,
    added: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when it has been draining.
    since: Option<Instant>,
    was_over: bool,
}

impl Retired {
    /// Waits for those who use the parts, `limit` at the most.
    pub(super) fn add(&self, parts: Vec<Box<dyn Leaving>>, limit: Duration) {
        let retirees = parts.into_iter().map(|part| Retiree {
            part,
            limit,
            added: Instant::now(),
            state: Mutex::default(),
        });
        let mut list = self.shared.list.lock();
        list.all.extend(retirees.map(Arc::new));
        let is_due = !list.all.is_empty() && !list.is_watched;
        list.is_watched |= is_due;
        drop(list);
        if is_due {
            self.watch();
        }
    }

    /// What is left of all, and how many connections of inbounds are their
    /// carriers.
    pub(super) fn left(&self, with_handshakes: bool) -> (Left, usize) {
        let all = self.shared.list.lock().all.clone();
        let left = all.iter().map(|one| one.part.drain(with_handshakes)).sum();
        let carriers = all.iter().map(|one| one.part.carriers()).sum();
        (left, carriers)
    }

    /// Ends all, and waits for their threads.
    pub(super) fn close(&self) {
        self.shared.closed.signal();
        let left = self.crew.join(CLOSE_GRACE + JOIN_DEADLINE);
        if !left.is_empty() {
            warn!("threads that did not end: {}", left.join(", "));
        }
        let all = std::mem::take(&mut self.shared.list.lock().all);
        all.iter().for_each(|one| one.part.close());
    }

    fn watch(&self) {
        let inner = self.shared.clone();
        if let Err(e) = self.crew.spawn("retired", move || inner.watch()) {
            warn!("what the configuration has no more ends with the program: {e}");
            self.shared.list.lock().is_watched = false;
        }
    }
}

impl Shared {
    /// Body of `retired`.
    fn watch(&self) {
        loop {
            let all = self.list.lock().all.clone();
            let over: Vec<_> = all.into_iter().filter(|one| one.is_over()).collect();
            over.iter().for_each(|one| one.part.close());
            if self.forget(&over) || self.closed.wait_timeout(DRAIN_LOOK) {
                return;
            }
        }
    }

    /// Returns whether none is left, in which case the thread has to end.
    fn forget(&self, over: &[Arc<Retiree>]) -> bool {
        let mut list = self.list.lock();
        let is_over = |one: &Arc<Retiree>| over.iter().any(|other| Arc::ptr_eq(one, other));
        list.all.retain(|one| !is_over(one));
        list.is_watched = !list.all.is_empty();
        !list.is_watched
    }
}

impl Retiree {
    /// Whether nobody uses it any more, or its time is up. Nothing may be left
    /// at one look only, between two places where a connection counts.
    fn is_over(&self) -> bool {
        let mut state = self.state.lock();
        if state.since.is_none() && !self.may_begin() {
            return false;
        }
        let passed = state.since.get_or_insert_with(Instant::now).elapsed();
        drop(state); // to look may take the locks of others
        let left = self.part.drain(passed < DRAIN_HANDSHAKES);
        let was_over = std::mem::replace(&mut self.state.lock().was_over, left.is_none());
        let is_over = was_over && left.is_none();
        let is_late = passed >= self.limit;
        match (is_over, is_late) {
            (true, _) => info!(
                "{}: nobody uses its old settings any more",
                self.part.name()
            ),
            (false, true) => warn!("{}: cutting {}", self.part.name(), Words(left)),
            (false, false) => {}
        }
        is_over || is_late
    }

    fn may_begin(&self) -> bool {
        self.part.may_begin() || self.added.elapsed() >= self.limit
    }
}
