use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::source_of;
use crate::sync::{Quota, Share, deadline_in};

/// A bound on how much of something goes on at once: in all, and for one
/// source. More waits for its turn, and what a source has beyond its own bound
/// takes no turn from others.
pub(crate) struct Turns {
    all: Arc<Quota>,
    of_source: usize,
    sources: Mutex<HashMap<IpAddr, Arc<OfSource>>>,
}

/// What goes on for one source.
#[derive(Default)]
struct OfSource {
    busy: Mutex<usize>,
    /// One of them is over.
    over: Condvar,
}

/// What goes on until this is dropped.
pub(crate) struct Turn {
    _place: Option<Place>,
    _share: Share,
}

/// Whoever is among those of a source, or waits to be.
struct Place {
    turns: Arc<Turns>,
    source: IpAddr,
    among: Arc<OfSource>,
    is_busy: bool,
}

impl Turns {
    pub(super) fn new(all: usize, of_source: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Quota::new(all),
            of_source,
            sources: Mutex::default(),
        })
    }

    /// A turn on behalf of `source`, or of this process itself; waits for one,
    /// `limit` at the most.
    pub(super) fn take(self: &Arc<Self>, source: Option<IpAddr>, limit: Duration) -> Option<Turn> {
        let deadline = deadline_in(limit);
        let place = match source {
            None => None,
            Some(source) => Some(self.place(source_of(source), deadline)?),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let share = self.all.take_timeout(left)?;
        Some(Turn {
            _place: place,
            _share: share,
        })
    }

    fn place(self: &Arc<Self>, source: IpAddr, deadline: Instant) -> Option<Place> {
        let among = self.sources.lock().entry(source).or_default().clone();
        let mut place = Place {
            turns: self.clone(),
            source,
            among,
            is_busy: false,
        };
        place.is_busy = place.among.begin(self.of_source, deadline);
        place.is_busy.then_some(place)
    }
}

impl OfSource {
    /// Returns whether one more has begun before `deadline`.
    fn begin(&self, most: usize, deadline: Instant) -> bool {
        let mut busy = self.busy.lock();
        while *busy >= most {
            if self.over.wait_until(&mut busy, deadline).timed_out() {
                return false;
            }
        }
        *busy += 1;
        true
    }

    fn end(&self) {
        *self.busy.lock() -= 1;
        self.over.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_busy {
            self.among.end();
        }
        let mut sources = self.turns.sources.lock();
        let is_last = Arc::strong_count(&self.among) == 2; // the table's, and this
        if is_last {
            sources.remove(&self.source);
        }
    }
}

#[cfg(test)]
impl Turns {
    /// How many go on.
    pub(super) fn taken(&self) -> usize {
        self.all.taken()
    }

    /// All turns that `source` may have at once, as soon as it has none. One
    /// test at a time: those of two sources are more than there are.
    pub(crate) fn take_all_of(self: &Arc<Self>, source: IpAddr) -> impl Sized {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock();
        let one = |_| self.take(Some(source), crate::limits::JOIN_DEADLINE);
        let all = (0..self.of_source).map(one).collect::<Option<Vec<_>>>();
        (all.unwrap(), alone)
    }

    /// Waits until somebody of `source`, which has all its turns, waits for one.
    pub(crate) fn expect_waiting(&self, source: IpAddr) {
        let deadline = Instant::now() + crate::limits::JOIN_DEADLINE;
        let among = || Arc::strong_count(&self.sources.lock()[&source]) - 1; // the table's
        while among() <= self.of_source {
            assert!(Instant::now() < deadline, "nobody waits");
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::limits::JOIN_DEADLINE;

    const ONE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const OTHER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    #[test]
    fn what_a_source_has_too_much_takes_nobodys_turn() {
        let turns = Turns::new(3, 2);
        let held = [ONE, ONE].map(|source| turns.take(source, JOIN_DEADLINE));
        assert!(held.iter().all(Option::is_some));
        assert!(turns.take(ONE, Duration::from_millis(1)).is_none());
        thread::scope(|scope| {
            let waiting = [0; 2].map(|_| scope.spawn(|| turns.take(ONE, JOIN_DEADLINE)));
            for other in [OTHER, None, OTHER] {
                assert!(turns.take(other, JOIN_DEADLINE).is_some());
            }
            drop(held);
            for waiting in waiting {
                assert!(waiting.join().unwrap().is_some());
            }
        });
        assert_eq!(turns.all.taken(), 0);
        assert!(turns.sources.lock().is_empty());
    }

    #[test]
    fn a_turn_that_does_not_come_in_time_leaves_nothing_behind() {
        let turns = Turns::new(2, 1);
        let held = [ONE, None].map(|source| turns.take(source, JOIN_DEADLINE));
        for source in [ONE, OTHER, None] {
            assert!(turns.take(source, Duration::from_millis(1)).is_none());
        }
        drop(held);
        assert_eq!(turns.all.taken(), 0);
        assert!(turns.sources.lock().is_empty());
        assert!(turns.take(ONE, JOIN_DEADLINE).is_some());
    }
}
