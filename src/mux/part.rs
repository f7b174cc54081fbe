//! What a session has of something that the whole process counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One session's part of a number of the process's. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Part {
    all: &'static AtomicUsize,
    /// What the carrier's sessions have together, if that counts.
    carriers: Option<Arc<AtomicUsize>>,
    own: usize,
}

impl Part {
    /// None of `all` yet.
    pub(super) fn of(all: &'static AtomicUsize) -> Self {
        Self {
            all,
            carriers: None,
            own: 0,
        }
    }

    /// None yet of `all`, nor of what a carrier's sessions have.
    pub(super) fn of_carrier(all: &'static AtomicUsize, carriers: Arc<AtomicUsize>) -> Self {
        Self {
            carriers: Some(carriers),
            ..Self::of(all)
        }
    }

    pub(super) fn own(&self) -> usize {
        self.own
    }

    pub(super) fn add(&mut self, more: usize) {
        self.own += more;
        self.all.fetch_add(more, Ordering::Relaxed);
        if let Some(carriers) = &self.carriers {
            carriers.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// At the most what it has.
    pub(super) fn sub(&mut self, less: usize) {
        let less = less.min(self.own);
        self.own -= less;
        self.all.fetch_sub(less, Ordering::Relaxed);
        if let Some(carriers) = &self.carriers {
            carriers.fetch_sub(less, Ordering::Relaxed);
        }
    }

    pub(super) fn set(&mut self, own: usize) {
        self.add(own.saturating_sub(self.own));
        self.sub(self.own.saturating_sub(own));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.sub(self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_sum_of_its_parts() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let all = || ALL.load(Ordering::Relaxed);
        let mut first = Part::of(&ALL);
        let mut second = Part::of(&ALL);
        first.add(10);
        second.set(7);
        assert_eq!((all(), first.own(), second.own()), (17, 10, 7));
        first.sub(4);
        second.set(3);
        assert_eq!((all(), first.own(), second.own()), (9, 6, 3));
        second.sub(100);
        assert_eq!((all(), second.own()), (6, 0));
        drop(first);
        assert_eq!(all(), 0);
    }

    #[test]
    fn what_a_carriers_sessions_have_is_counted_for_it_as_well() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let carriers = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let part = |of: usize| Part::of_carrier(&ALL, carriers[of].clone());
        let counts = || {
            let [one, other] = carriers.each_ref().map(|c| c.load(Ordering::Relaxed));
            (ALL.load(Ordering::Relaxed), one, other)
        };
        let (mut first, mut second, mut third) = (part(0), part(0), part(1));
        first.add(5);
        second.add(3);
        third.add(2);
        assert_eq!(counts(), (10, 8, 2));
        first.sub(1);
        drop(second);
        assert_eq!(counts(), (6, 4, 2));
    }
}
