//! Frames that make work and bring nothing.

use std::time::Instant;

use super::MuxError;
use crate::limits::{IDLE_FRAMES, IDLE_FRAMES_TIME};

/// Counts a carrier's frames without any use: empty ones, those for ids that
/// are not open, sessions that are refused, questions. A peer that sends many
/// and hardly anything else is no peer (A2, A6).
#[derive(Debug)]
pub(super) struct IdleFrames {
    since: Instant,
    count: usize,
}

impl IdleFrames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
        }
    }

    /// Counts some more. What time it is matters only at the limit.
    ///
    /// # Errors
    /// [`MuxError::Flood`] when [`IDLE_FRAMES`] came in less than
    /// [`IDLE_FRAMES_TIME`].
    pub(super) fn add(
        &mut self,
        count: usize,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), MuxError> {
        self.count = self.count.saturating_add(count);
        if self.count < IDLE_FRAMES {
            return Ok(());
        }
        let now = now();
        if now.saturating_duration_since(self.since) < IDLE_FRAMES_TIME {
            return Err(MuxError::Flood);
        }
        *self = Self::new(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_in_a_short_time_are_too_many() {
        let start = Instant::now();
        let mut frames = IdleFrames::new(start);
        let nobody = || panic!("the time is not needed");
        frames.add(IDLE_FRAMES - 1, nobody).unwrap();
        frames.add(1, || start + IDLE_FRAMES_TIME).unwrap();
        frames.add(IDLE_FRAMES - 1, nobody).unwrap();
        let early = start + IDLE_FRAMES_TIME + IDLE_FRAMES_TIME / 2;
        assert!(matches!(frames.add(1, || early), Err(MuxError::Flood)));
        assert!(matches!(
            frames.add(usize::MAX, || early),
            Err(MuxError::Flood)
        ));
    }
}
