use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::limits::{ROUND_TRIP_AGE, ROUND_TRIPS};
use crate::link::{DispatchError, Health, Link, Outbound, Request};

/// An outbound that leads to a server, of which it notes how it does.
///
/// The round trip is the shortest time in which any of the last connections was
/// made: with one round trip to the server, or a few if there is more to agree
/// upon. It is forgotten after [`ROUND_TRIP_AGE`].
pub struct Observed {
    inner: Arc<dyn Outbound>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    connects: VecDeque<(Instant, Duration)>,
    failed: Option<Instant>,
}

impl Observed {
    /// Looks at the connections of `inner`, whose own way of dispatching must
    /// be to connect and relay.
    pub fn new(inner: Arc<dyn Outbound>) -> Self {
        Self {
            inner,
            record: Mutex::default(),
        }
    }
}

impl Record {
    fn note(&mut self, outcome: &Result<Link, DispatchError>, began: Instant, now: Instant) {
        match outcome {
            Ok(_) => {
                self.failed = None;
                self.connects.push_back((now, now - began));
                self.connects
                    .drain(..self.connects.len().saturating_sub(ROUND_TRIPS));
            }
            Err(DispatchError::Unreachable(_) | DispatchError::Other(_)) => self.failed = Some(now),
            // What is wrong with a request says nothing of the server.
            Err(_) => {}
        }
    }

    fn health(&self, now: Instant) -> Health {
        let recent = self.connects.iter();
        let recent = recent.filter(|(at, _)| now.duration_since(*at) < ROUND_TRIP_AGE);
        Health {
            round_trip: recent.map(|(_, took)| *took).min(),
            failed: self.failed,
        }
    }
}

impl Outbound for Observed {
    fn tag(&self) -> &str {
        self.inner.tag()
    }

    fn heeds_allowed(&self) -> bool {
        self.inner.heeds_allowed()
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let began = Instant::now();
        let outcome = self.inner.connect(request);
        self.record.lock().note(&outcome, began, Instant::now());
        outcome
    }

    fn health(&self) -> Option<Health> {
        Some(self.record.lock().health(Instant::now()))
    }

    fn close(&self) {
        self.inner.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::limits::SESSION_PIPE;
    use crate::link::pair;

    fn made() -> Result<Link, DispatchError> {
        Ok(pair(SESSION_PIPE).0)
    }

    fn failed() -> Result<Link, DispatchError> {
        Err(DispatchError::Unreachable(io::ErrorKind::TimedOut.into()))
    }

    #[test]
    fn the_shortest_recent_time_counts() {
        let (mut record, start) = (Record::default(), Instant::now());
        assert_eq!(record.health(start), Health::default());
        let ms = Duration::from_millis;
        for took in [30, 10, 20] {
            record.note(&made(), start, start + ms(took));
        }
        let later = start + ms(50);
        assert_eq!(record.health(later).round_trip, Some(ms(10)));
        for _ in 0..ROUND_TRIPS {
            record.note(&made(), later, later + ms(40));
        }
        assert_eq!(record.connects.len(), ROUND_TRIPS);
        assert_eq!(record.health(later + ms(40)).round_trip, Some(ms(40)));
        let old = later + ms(40) + ROUND_TRIP_AGE;
        assert_eq!(record.health(old).round_trip, None);
    }

    #[test]
    fn only_the_server_itself_fails() {
        let (mut record, now) = (Record::default(), Instant::now());
        let refused = Err(DispatchError::Refused("the target says no"));
        record.note(&refused, now, now);
        assert_eq!(record.health(now).failed, None);
        record.note(&failed(), now, now);
        record.note(&refused, now, now);
        assert_eq!(record.health(now).failed, Some(now));
        record.note(&made(), now, now);
        assert_eq!(record.health(now).failed, None);
    }
}
