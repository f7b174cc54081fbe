//! Short connections: open, a few bytes each way, close.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::visitors::SIZE;
use crate::{
    common::{failure::Failure, visitor},
    support::client,
};

/// Connections that were served.
pub struct Served {
    pub count: f64,
    took: Duration,
}

impl Served {
    pub fn per_second(&self) -> f64 {
        self.count / self.took.as_secs_f64()
    }
}

/// What so many clients get served, each one connection after the other.
/// Fails if one is not served.
pub fn during(door: SocketAddr, clients: usize, time: Duration) -> Result<Served, Failure> {
    let (start, served) = (Instant::now(), AtomicU64::new(0));
    let end = start + time;
    let all: io::Result<()> = thread::scope(|threads| {
        let client = |_| threads.spawn(|| visit_until(end, door, &served));
        let running: Vec<_> = (0..clients).map(client).collect();
        running
            .into_iter()
            .try_for_each(|client| client.join().expect("client"))
    });
    all?;
    Ok(Served {
        count: served.into_inner() as f64,
        took: start.elapsed(),
    })
}

/// How long each of so many connections, one after the other, takes from the
/// first packet until the answer is there.
pub fn times(door: SocketAddr, count: usize) -> io::Result<Vec<Duration>> {
    let time = |_| {
        let start = Instant::now();
        visit(door).map(|()| start.elapsed())
    };
    (0..count).map(time).collect()
}

fn visit_until(end: Instant, door: SocketAddr, served: &AtomicU64) -> io::Result<()> {
    while Instant::now() < end {
        visit(door)?;
        served.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn visit(door: SocketAddr) -> io::Result<()> {
    client::echo(&mut visitor::enter(door)?, &[1; SIZE])
}
