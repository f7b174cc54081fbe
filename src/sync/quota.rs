use std::sync::Arc;
use std::time::Duration;

use super::Done;
use super::shim::{Receiver, Sender, bounded, select};

/// A bound on how many of something there are at once. What is there holds a
/// [`Share`].
///
/// It is a channel with as many slots: a share is a slot that is taken, so
/// that one can wait for it together with other events.
#[derive(Debug)]
pub struct Quota {
    take: Sender<()>,
    give_back: Receiver<()>,
    limit: usize,
}

/// The same one.
impl PartialEq for Quota {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// One place of a [`Quota`]; dropping it gives the place back.
#[derive(Debug)]
pub struct Share(Arc<Quota>);

impl Quota {
    /// A quota of `limit` places, at least one.
    pub fn new(limit: usize) -> Arc<Self> {
        let limit = limit.max(1);
        let (take, give_back) = bounded(limit);
        Arc::new(Self {
            take,
            give_back,
            limit,
        })
    }

    /// How many places there are.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many of them are taken.
    pub fn taken(&self) -> usize {
        self.take.len()
    }

    /// A place, if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Share> {
        let taken = self.take.try_send(());
        taken.ok().map(|()| Share(self.clone()))
    }

    /// A place; waits for one to become free, `limit` at the most.
    pub fn take_timeout(self: &Arc<Self>, limit: Duration) -> Option<Share> {
        let taken = self.take.send_timeout((), limit);
        taken.ok().map(|()| Share(self.clone()))
    }

    /// A place; if none is free, waits for one, or until `done` happens.
    pub fn take_unless(self: &Arc<Self>, done: &Done) -> Option<Share> {
        if let Some(share) = self.try_take() {
            return Some(share);
        }
        select! {
            send(self.take, ()) -> taken => taken.ok().map(|()| Share(self.clone())),
            recv(done.event()) -> _ => None,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = self.0.give_back.try_recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::JOIN_DEADLINE;

    #[test]
    fn there_are_as_many_places_as_it_has() {
        let quota = Quota::new(2);
        let first = quota.try_take();
        let second = quota.try_take();
        assert!(first.is_some() && second.is_some());
        assert!(quota.try_take().is_none());
        assert!(quota.take_timeout(Duration::ZERO).is_none());
        drop(first);
        assert_eq!(quota.taken(), 1);
        assert!(quota.take_timeout(Duration::ZERO).is_some());
        drop(second);
        assert_eq!(quota.taken(), 0);
    }

    #[test]
    fn whoever_waits_gets_the_place_that_becomes_free() {
        let quota = Quota::new(1);
        let held = quota.try_take();
        std::thread::scope(|scope| {
            let wait = || quota.take_timeout(JOIN_DEADLINE).is_some();
            let waiters = [0; 3].map(|_| scope.spawn(wait));
            drop(held);
            for waiter in waiters {
                assert!(waiter.join().unwrap());
            }
        });
    }

    #[test]
    fn the_event_ends_the_wait() {
        let quota = Quota::new(1);
        let _held = quota.try_take();
        let done = Done::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| quota.take_unless(&done).is_none());
            done.signal();
            assert!(waiter.join().unwrap());
        });
        let free = Quota::new(1);
        assert!(
            free.take_unless(&done).is_some(),
            "there is nothing to wait for"
        );
    }
}
