use std::sync::atomic::{AtomicU64, Ordering};

/// What has happened to flows so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Flows that were made.
    pub opened: u64,
    /// Flows that were cut, unanswered, so that another could be made.
    pub cut: u64,
    /// Datagrams that went into their flow's queue.
    pub taken: u64,
    /// Datagrams for which no flow could be made.
    pub refused: u64,
    /// Datagrams that the service could not make sense of.
    pub malformed: u64,
    /// Datagrams that found their flow's queue full.
    pub overflowed: u64,
    /// Replies that could not be sent.
    pub unsent: u64,
}

/// What becomes [`FlowStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: Counter,
    pub(super) cut: Counter,
    pub(super) taken: Counter,
    pub(super) refused: Counter,
    pub(super) malformed: Counter,
    pub(super) overflowed: Counter,
    pub(super) unsent: Counter,
}

impl Counters {
    pub(super) fn read(&self) -> FlowStats {
        FlowStats {
            opened: self.opened.get(),
            cut: self.cut.get(),
            taken: self.taken.get(),
            refused: self.refused.get(),
            malformed: self.malformed.get(),
            overflowed: self.overflowed.get(),
            unsent: self.unsent.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
