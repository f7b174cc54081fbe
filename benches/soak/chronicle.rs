//! When something was wrong with a tunnel, and who was there at the time.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::support::program::Kind;

/// What one tunnel goes through.
pub struct Chronicle {
    troubles: Mutex<Vec<Trouble>>,
    /// Who has been at the near and the far end, since when.
    ends: Mutex<Vec<(Instant, [Kind; 2])>>,
}

/// A time in which connections may be lost.
#[derive(Clone, Copy)]
struct Trouble {
    from: Instant,
    /// `None` as long as it lasts.
    until: Option<Instant>,
}

/// What a fault does to those who meet it only after it is known to be over: a
/// reset that is on its way.
const ECHO: Duration = Duration::from_millis(250);

impl Chronicle {
    pub fn begin(kinds: [Kind; 2]) -> Self {
        Self {
            troubles: Mutex::default(),
            ends: Mutex::new(vec![(Instant::now(), kinds)]),
        }
    }

    /// A fault is about to happen.
    pub fn trouble_begins(&self) {
        self.troubles.lock().expect("troubles").push(Trouble {
            from: Instant::now(),
            until: None,
        });
    }

    /// The tunnel is known to be well again.
    pub fn trouble_ends(&self) {
        if let Some(last) = self.troubles.lock().expect("troubles").last_mut() {
            last.until = Some(Instant::now() + ECHO);
        }
    }

    /// From now on these are the ends.
    pub fn ends_are(&self, kinds: [Kind; 2]) {
        let mut ends = self.ends.lock().expect("ends");
        ends.push((Instant::now(), kinds));
    }

    /// Whether there was trouble at any moment between these.
    pub fn is_troubled(&self, from: Instant, until: Instant) -> bool {
        let troubles = self.troubles.lock().expect("troubles");
        let meets = |trouble: &Trouble| {
            trouble.from <= until && trouble.until.is_none_or(|end| end >= from)
        };
        troubles.iter().any(meets)
    }

    /// Whether the near and the far end were ours all the time between these.
    pub fn are_ours(&self, from: Instant, until: Instant) -> [bool; 2] {
        let ends = self.ends.lock().expect("ends");
        let mut ours = [true; 2];
        for (index, (since, kinds)) in ends.iter().enumerate() {
            let replaced = ends.get(index + 1).map(|(at, _)| *at);
            if *since <= until && replaced.is_none_or(|at| at >= from) {
                for (ours, kind) in ours.iter_mut().zip(kinds) {
                    *ours &= *kind == Kind::Muxcool;
                }
            }
        }
        ours
    }
}
