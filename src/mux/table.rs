//! The sessions of one carrier: ids, entries, and whether more may come.

use std::collections::{HashMap, HashSet};

use crate::limits::MAX_SESSION_ID;

/// A carrier's sessions by id. A plain structure: its owner locks it.
#[derive(Debug)]
pub struct SessionManager<S> {
    entries: HashMap<u16, S>,
    /// Ids given out so far; they are never used again (A16).
    last_id: u16,
    /// Sessions ever made.
    total: u32,
    /// Sessions whose End waits for the rest of an answer: they do not count
    /// against the concurrency.
    ending: HashSet<u16>,
    /// Sessions that serve the carrier itself.
    attending: HashSet<u16>,
    closed: bool,
}

/// Why there is no place for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableError {
    /// No session is taken any more.
    Closed,
    /// As many are open as may be.
    Full,
    /// All ids, or as many as may ever be, have been used.
    Exhausted,
    /// The peer used an id that is in use.
    Duplicate,
}

/// Bounds on a client's sessions; 0 stands for no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientStrategy {
    /// Sessions open at once.
    pub max_concurrency: u32,
    /// Sessions ever made on one carrier.
    pub max_connection: u32,
}

impl<S> SessionManager<S> {
    /// A table that takes sessions.
    pub fn new() -> Self {
        Self {
            entries: HashMap::new(),
            last_id: 0,
            total: 0,
            ending: HashSet::new(),
            attending: HashSet::new(),
            closed: false,
        }
    }

    /// Makes a session with a new id, within the bounds of `strategy`. Checking
    /// and taking the place are one step for whoever holds the lock (A19).
    pub fn allocate(
        &mut self,
        strategy: &ClientStrategy,
        make: impl FnOnce(u16) -> S,
    ) -> Result<&S, TableError> {
        self.check(strategy)?;
        self.last_id += 1;
        self.total += 1;
        let id = self.last_id;
        Ok(self.entries.entry(id).insert_entry(make(id)).into_mut())
    }

    /// What [`allocate`](Self::allocate) would say.
    pub fn check(&self, strategy: &ClientStrategy) -> Result<(), TableError> {
        let reached = |limit: u32, count: u32| limit > 0 && count >= limit;
        if self.closed {
            return Err(TableError::Closed);
        }
        if self.last_id >= MAX_SESSION_ID || reached(strategy.max_connection, self.total) {
            return Err(TableError::Exhausted);
        }
        let busy = self.len() - self.ending.len();
        if reached(strategy.max_concurrency, busy as u32) {
            return Err(TableError::Full);
        }
        Ok(())
    }

    /// Enters a session under the id that the peer chose, unless `limit` are
    /// there already.
    pub fn insert(&mut self, id: u16, session: S, limit: usize) -> Result<(), TableError> {
        if self.closed {
            return Err(TableError::Closed);
        }
        if self.entries.contains_key(&id) {
            return Err(TableError::Duplicate);
        }
        if self.entries.len() >= limit {
            return Err(TableError::Full);
        }
        self.total = self.total.saturating_add(1);
        self.entries.insert(id, session);
        Ok(())
    }

    /// The session with this id.
    pub fn get(&self, id: u16) -> Option<&S> {
        self.entries.get(&id)
    }

    /// Takes the session with this id out.
    pub fn remove(&mut self, id: u16) -> Option<S> {
        self.ending.remove(&id);
        self.attending.remove(&id);
        self.entries.remove(&id)
    }

    /// The session has nothing more to send, and only waits for the rest of an
    /// answer.
    pub fn end_is_due(&mut self, id: u16) {
        if self.entries.contains_key(&id) {
            self.ending.insert(id);
        }
    }

    /// The session serves the carrier itself, and is no reason to keep it.
    pub fn attends(&mut self, id: u16) {
        if self.entries.contains_key(&id) {
            self.attending.insert(id);
        }
    }

    /// The sessions that are a reason to keep the carrier.
    pub fn others(&self) -> impl Iterator<Item = &S> {
        let others = self.entries.iter();
        let others = others.filter(|(id, _)| !self.attending.contains(*id));
        others.map(|(_, session)| session)
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.entries.values()
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sessions ever made.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Whether no session is taken any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes no more sessions, and hands out those that are there.
    pub fn close(&mut self) -> Vec<S> {
        self.closed = true;
        self.ending.clear();
        self.attending.clear();
        self.entries.drain().map(|(_, session)| session).collect()
    }

    /// Closes if no session is open and none was made since `total` was read.
    pub fn close_if_idle(&mut self, total: u32) -> bool {
        self.close_if(self.entries.is_empty() && self.total == total)
    }

    /// Takes no more sessions if `closes`. Returns whether it takes none.
    pub fn close_if(&mut self, closes: bool) -> bool {
        self.closed |= closes;
        self.closed
    }
}

impl<S> Default for SessionManager<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNBOUNDED: ClientStrategy = ClientStrategy {
        max_concurrency: 0,
        max_connection: 0,
    };

    #[test]
    fn ids_count_from_1_and_stop_before_65535() {
        let mut table = SessionManager::new();
        for expected in 1..=MAX_SESSION_ID {
            assert_eq!(table.allocate(&UNBOUNDED, |id| id), Ok(&expected));
            table.remove(expected);
        }
        assert_eq!(
            table.allocate(&UNBOUNDED, |id| id),
            Err(TableError::Exhausted)
        );
        assert_eq!(table.total(), u32::from(MAX_SESSION_ID));
    }

    #[test]
    fn the_strategy_bounds_both_counts() {
        let strategy = ClientStrategy {
            max_concurrency: 1,
            max_connection: 2,
        };
        let mut table = SessionManager::new();
        assert_eq!(table.allocate(&strategy, |id| id), Ok(&1));
        assert_eq!(table.allocate(&strategy, |id| id), Err(TableError::Full));
        table.remove(1);
        assert_eq!(table.allocate(&strategy, |id| id), Ok(&2));
        table.remove(2);
        assert_eq!(
            table.allocate(&strategy, |id| id),
            Err(TableError::Exhausted)
        );
    }

    #[test]
    fn a_peers_id_must_be_free() {
        let mut table = SessionManager::new();
        assert_eq!(table.insert(7, 'a', 2), Ok(()));
        assert_eq!(table.insert(7, 'b', 2), Err(TableError::Duplicate));
        assert_eq!(table.insert(0, 'c', 2), Ok(()));
        assert_eq!(table.insert(8, 'd', 2), Err(TableError::Full));
        assert_eq!(table.get(7), Some(&'a'));
    }

    #[test]
    fn a_session_of_the_carriers_own_is_no_reason_to_keep_it() {
        let mut table = SessionManager::new();
        table.attends(1); // who comes later under that id is another
        for id in [1, 2] {
            table.insert(id, id, 9).unwrap();
        }
        table.attends(2);
        assert_eq!(table.others().collect::<Vec<_>>(), [&1]);
        table.remove(2);
        table.insert(2, 2, 9).unwrap();
        assert_eq!(table.others().count(), 2);
    }

    #[test]
    fn a_worker_just_used_is_not_idle() {
        let mut table = SessionManager::new();
        let seen = table.total();
        table.allocate(&UNBOUNDED, |id| id).unwrap();
        table.remove(1);
        assert!(!table.close_if_idle(seen));
        assert!(table.close_if_idle(table.total()));
        assert_eq!(table.allocate(&UNBOUNDED, |id| id), Err(TableError::Closed));
    }
}
