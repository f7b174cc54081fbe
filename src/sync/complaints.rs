use std::fmt;
use std::time::Instant;

use parking_lot::Mutex;

use crate::limits::{LOG_INTERVAL, LOG_LINES};

/// Lines for the log about one cause that a peer can bring about as often as
/// it likes: at most [`LOG_LINES`] in [`LOG_INTERVAL`], or one.
///
/// ```
/// # use muxcool::sync::Complaints;
/// # static REFUSALS: Complaints = Complaints::new();
/// # let peer = "192.0.2.1";
/// if let Some(unsaid) = REFUSALS.turn() {
///     log::warn!("refused {peer}{unsaid}");
/// }
/// ```
#[derive(Debug)]
pub struct Complaints {
    lines: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

/// How many lines were left out before this one; prints as nothing if none
/// were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsaid(pub u64);

impl Complaints {
    /// Nothing has been said yet.
    pub const fn new() -> Self {
        Self::with_lines(LOG_LINES)
    }

    /// The same for what says the same again and again: one line in
    /// [`LOG_INTERVAL`].
    pub const fn rare() -> Self {
        Self::with_lines(1)
    }

    const fn with_lines(lines: u32) -> Self {
        let state = State {
            since: None,
            said: 0,
            unsaid: 0,
        };
        Self {
            lines,
            state: Mutex::new(state),
        }
    }

    /// Whether a line may be written now; `None` counts it as left out.
    pub fn turn(&self) -> Option<Unsaid> {
        self.turn_at(Instant::now())
    }

    fn turn_at(&self, now: Instant) -> Option<Unsaid> {
        let mut state = self.state.lock();
        let is_recent = |since| now.saturating_duration_since(since) < LOG_INTERVAL;
        if !state.since.is_some_and(is_recent) {
            state.since = Some(now);
            state.said = 0;
        }
        if state.said >= self.lines {
            state.unsaid += 1;
            return None;
        }
        state.said += 1;
        Some(Unsaid(std::mem::take(&mut state.unsaid)))
    }
}

impl Default for Complaints {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more like this before)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_cause_is_a_few_lines_and_a_number() {
        let complaints = Complaints::new();
        let start = Instant::now();
        let said = (0..10_000).filter_map(|_| complaints.turn_at(start));
        assert_eq!(said.collect::<Vec<_>>(), [Unsaid(0); LOG_LINES as usize]);

        let next = start + LOG_INTERVAL;
        let unsaid = 10_000 - u64::from(LOG_LINES);
        assert_eq!(complaints.turn_at(next), Some(Unsaid(unsaid)));
        assert_eq!(complaints.turn_at(next), Some(Unsaid(0)));
    }

    #[test]
    fn what_is_always_the_same_is_said_once_in_a_while() {
        let complaints = Complaints::rare();
        let start = Instant::now();
        assert_eq!(complaints.turn_at(start), Some(Unsaid(0)));
        assert_eq!(complaints.turn_at(start), None);
        assert_eq!(complaints.turn_at(start + LOG_INTERVAL / 2), None);
        assert_eq!(complaints.turn_at(start + LOG_INTERVAL), Some(Unsaid(2)));
    }

    #[test]
    fn what_comes_now_and_then_is_always_said() {
        let complaints = Complaints::new();
        let start = Instant::now();
        for turn in 0..100 {
            let now = start + LOG_INTERVAL / LOG_LINES * turn;
            assert_eq!(complaints.turn_at(now), Some(Unsaid(0)), "{turn}");
        }
    }

    #[test]
    fn what_was_left_out_is_told_in_words() {
        assert_eq!(format!("no{}", Unsaid(0)), "no");
        assert_eq!(format!("no{}", Unsaid(7)), "no (7 more like this before)");
    }
}
