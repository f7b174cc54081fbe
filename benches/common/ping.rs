//! Small exchanges on one connection, timed.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::{bulk::Bulk, failure::Failure, visitor};
use crate::support::client;

/// Bytes each way.
const SIZE: usize = 64;

/// Pause between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);

/// A connection to an echo service.
pub struct Pinger(TcpStream);

impl Pinger {
    /// Connects, and warms the path up by one exchange.
    pub fn enter(door: SocketAddr) -> io::Result<Self> {
        let mut pinger = Self(visitor::enter(door)?);
        pinger.ping()?;
        Ok(pinger)
    }

    /// The round trips of the time from now.
    pub fn pings(&mut self, during: Duration) -> io::Result<Vec<Duration>> {
        let end = Instant::now() + during;
        let mut times = Vec::new();
        while Instant::now() < end {
            times.push(self.ping()?);
            thread::sleep(PAUSE);
        }
        Ok(times)
    }

    /// The transfer's rate and the round trips, both during the time from now.
    pub fn beside(
        &mut self,
        bulk: &Bulk,
        during: Duration,
    ) -> Result<(f64, Vec<Duration>), Failure> {
        let (rate, pings) = thread::scope(|threads| {
            let pings = threads.spawn(|| self.pings(during));
            (bulk.rate(during), pings.join().expect("pinger"))
        });
        let pings = pings.map_err(|error| format!("a ping beside {rate:.0} MB/s: {error}"))?;
        Ok((rate, pings))
    }

    fn ping(&mut self) -> io::Result<Duration> {
        let start = Instant::now();
        client::echo(&mut self.0, &[1; SIZE])?;
        Ok(start.elapsed())
    }
}
