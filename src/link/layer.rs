use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Handle, LinkError, ReadResult, Reader, Writer};
use crate::sync::{Done, deadline_in};

/// A reader that stands on another. It says what it makes of what that one
/// delivers and is a [`Reader`] thereby: all the rest is passed on.
pub trait Layer: Send {
    /// The reader below.
    type Below: Reader + ?Sized;

    /// What this one stands on.
    fn below(&self) -> &Self::Below;

    /// The same, to be read.
    fn below_mut(&mut self) -> &mut Self::Below;

    /// Delivers what is next. Each call of `more` reads once below, in the way
    /// in which this half is read: as long as it takes, with what is left of a
    /// time, or idling.
    ///
    /// # Errors
    /// Those of `more`, and its own.
    fn next(&mut self, more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult;

    /// Whether all that comes from now on passes unchanged and unseen, so that
    /// the reader below may [forward](Reader::forward) it.
    fn is_clear(&self) -> bool {
        false
    }

    /// How many bytes the reader below should [prefer](Reader::prefer) if this
    /// one is to prefer `len`; `None` is for one that decides it by itself.
    fn preferred(&self, len: usize) -> Option<usize> {
        Some(len)
    }
}

/// Every method is here, so that no layer can forget to pass one on.
#[deny(clippy::missing_trait_methods)]
impl<L: Layer> Reader for L {
    fn read(&mut self) -> ReadResult {
        self.next(|below| below.read())
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        let deadline = deadline_in(wait);
        let mut left = Some(wait);
        self.next(|below| {
            // What brings nothing here may come without end.
            let read = below.read_timeout(left.ok_or(LinkError::TimedOut)?)?;
            left = deadline.checked_duration_since(Instant::now());
            Ok(read)
        })
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> ReadResult {
        self.next(|below| below.read_idling(idle))
    }

    fn prefer(&mut self, len: usize) {
        if let Some(len) = self.preferred(len) {
            self.below_mut().prefer(len);
        }
    }

    fn conclude(&mut self) {
        self.below_mut().conclude();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.below().peer()
    }

    fn handle(&self) -> Handle {
        self.below().handle()
    }

    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        match self.is_clear() {
            true => self.below_mut().forward(sink, other),
            false => Err(sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Nowhere;

    /// Notes what it is told.
    #[derive(Default)]
    struct Ground(Vec<&'static str>);

    impl Reader for Ground {
        fn read(&mut self) -> ReadResult {
            self.0.push("read");
            Ok(None)
        }

        fn read_timeout(&mut self, _wait: Duration) -> ReadResult {
            self.0.push("read_timeout");
            Ok(None)
        }

        fn read_idling(&mut self, _idle: &mut dyn FnMut()) -> ReadResult {
            self.0.push("read_idling");
            Ok(None)
        }

        fn prefer(&mut self, _len: usize) {
            self.0.push("prefer");
        }

        fn conclude(&mut self) {
            self.0.push("conclude");
        }

        fn handle(&self) -> Handle {
            Nowhere::handle()
        }

        fn forward(
            &mut self,
            _sink: Box<dyn Writer>,
            _other: Handle,
        ) -> Result<Arc<Done>, Box<dyn Writer>> {
            self.0.push("forward");
            Ok(Arc::default())
        }
    }

    /// Delivers what the one below does, and wants to see it.
    struct Watching(Ground);

    impl Layer for Watching {
        type Below = Ground;

        fn below(&self) -> &Ground {
            &self.0
        }

        fn below_mut(&mut self) -> &mut Ground {
            &mut self.0
        }

        fn next(&mut self, mut more: impl FnMut(&mut Ground) -> ReadResult) -> ReadResult {
            more(&mut self.0)
        }
    }

    /// Returns whether it forwards.
    fn ask_for_everything(reader: &mut impl Reader) -> bool {
        reader.read().unwrap();
        reader.read_timeout(Duration::ZERO).unwrap();
        reader.read_idling(&mut || ()).unwrap();
        reader.prefer(1);
        reader.conclude();
        reader.forward(Box::new(Nowhere), Nowhere::handle()).is_ok()
    }

    #[test]
    fn all_that_a_layer_says_nothing_of_is_passed_on() {
        let all = ["read", "read_timeout", "read_idling", "prefer", "conclude"];
        let mut watching = Watching(Ground::default());
        assert!(!ask_for_everything(&mut watching), "it would see nothing");
        assert_eq!(watching.0.0, all);
        let mut boxed = Box::new(Ground::default());
        assert!(ask_for_everything(&mut boxed));
        assert_eq!(boxed.0, [&all[..], &["forward"]].concat());
    }
}
