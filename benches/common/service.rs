//! What is behind the tunnel: services that send and that take.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::support::{self, target::TcpTarget};

/// Bytes of one read or write: few calls, as the load shares the processors
/// with what it loads.
pub const BLOCK: usize = 256 * 1024;

/// What sends nothing for so long has stalled.
const QUIET: Duration = Duration::from_millis(200);

/// Sends to each visitor, as fast as it takes it, and reads nothing.
pub struct Source {
    target: TcpTarget,
    sent: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
}

impl Source {
    pub fn endless() -> Self {
        Self::of(u64::MAX)
    }

    /// Sends so many bytes to each, then waits until the visitor ends.
    pub fn of(length: u64) -> Self {
        let (sent, open) = <(Arc<AtomicU64>, Arc<AtomicUsize>)>::default();
        let target = {
            let (sent, open) = (Arc::clone(&sent), Arc::clone(&open));
            TcpTarget::start(move |visitor| {
                let _entry = Entry::make(&open);
                send(&visitor, length, &sent)?;
                io::copy(&mut &visitor, &mut io::sink()).map(drop)
            })
        };
        Self { target, sent, open }
    }

    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// Connections that it still serves.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until nobody is there any more, or until the bound has passed.
    pub fn empty(&self, bound: Duration) {
        let _ = support::eventually(Instant::now() + bound, || {
            if self.open() == 0 { Ok(()) } else { Err(()) }
        });
    }

    /// Waits until `visitors` are there and nobody takes anything any more, or
    /// until the bound has passed.
    pub fn settle(&self, visitors: usize, bound: Duration) {
        let (mut sent, mut since) = (self.sent.load(Ordering::Relaxed), Instant::now());
        let _ = support::eventually(Instant::now() + bound, || {
            let now = self.sent.load(Ordering::Relaxed);
            if now != sent || self.open() < visitors {
                (sent, since) = (now, Instant::now());
            }
            if since.elapsed() < QUIET {
                Err(())
            } else {
                Ok(())
            }
        });
    }
}

/// Takes what comes and counts it.
pub struct Sink {
    target: TcpTarget,
    arrived: Arc<AtomicU64>,
}

impl Sink {
    pub fn start() -> Self {
        let arrived = Arc::<AtomicU64>::default();
        let target = {
            let arrived = Arc::clone(&arrived);
            TcpTarget::start(move |visitor| take(&visitor, &arrived))
        };
        Self { target, arrived }
    }

    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// Bytes so far, of all visitors.
    pub fn arrived(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.arrived)
    }
}

/// Writes so many bytes and counts those that were taken.
pub fn send(mut to: &TcpStream, length: u64, sent: &AtomicU64) -> io::Result<()> {
    let block = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        let count = to.write(&block[..wanted])? as u64;
        sent.fetch_add(count, Ordering::Relaxed);
        left -= count;
    }
    Ok(())
}

/// Reads to the end and counts.
pub fn take(mut from: &TcpStream, arrived: &AtomicU64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            count => arrived.fetch_add(count as u64, Ordering::Relaxed),
        };
    }
}

/// Counts one as long as it lives.
struct Entry<'a>(&'a AtomicUsize);

impl<'a> Entry<'a> {
    fn make(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
