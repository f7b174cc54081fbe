//! What a session has of something that the whole process counts.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One session's part of a number of the process's. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Part {
    all: &'static AtomicUsize,
    own: usize,
}

impl Part {
    /// None of `all` yet.
    pub(super) fn of(all: &'static AtomicUsize) -> Self {
        Self { all, own: 0 }
    }

    pub(super) fn own(&self) -> usize {
        self.own
    }

    pub(super) fn add(&mut self, more: usize) {
        self.own += more;
        self.all.fetch_add(more, Ordering::Relaxed);
    }

    /// At the most what it has.
    pub(super) fn sub(&mut self, less: usize) {
        let less = less.min(self.own);
        self.own -= less;
        self.all.fetch_sub(less, Ordering::Relaxed);
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
}
