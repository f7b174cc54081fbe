//! A bulk transfer, observed while it runs.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{failure::Failure, service, visitor};
use crate::support;

/// How long a transfer may take until its first bytes arrive.
const FIRST_BYTES: Duration = Duration::from_secs(5);

/// What a transfer has moved before it is measured.
const WARM: u64 = 16 * 1024 * 1024;

/// How long it may warm up; a slow one counts as warm then.
const WARMING: Duration = Duration::from_millis(500);

/// A transfer by a thread of its own, until it is dropped.
pub struct Bulk {
    stream: TcpStream,
    arrived: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Bulk {
    /// Reads what an endless source sends.
    pub fn download(door: SocketAddr) -> Result<Self, Failure> {
        let arrived = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&arrived);
        Self::start(door, arrived, move |stream| service::take(stream, &counted))
    }

    /// Writes without end to a sink, which counts what arrives.
    pub fn upload(door: SocketAddr, arrived: Arc<AtomicU64>) -> Result<Self, Failure> {
        let sent = AtomicU64::new(0);
        Self::start(door, arrived, move |stream| {
            service::send(stream, u64::MAX, &sent)
        })
    }

    /// Bytes that have arrived.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// 10^6 bytes per second that arrive during the time from now.
    pub fn rate(&self, during: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.arrived());
        thread::sleep(during);
        let bytes = self.arrived() - before;
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6
    }

    fn start(
        door: SocketAddr,
        arrived: Arc<AtomicU64>,
        transfer: impl FnOnce(&TcpStream) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, Failure> {
        let stream = visitor::enter(door)?;
        // It may be made to wait; dropping it is what ends it.
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let its_own = stream.try_clone()?;
        let bulk = Self {
            stream,
            arrived,
            thread: Some(thread::spawn(move || transfer(&its_own))),
        };
        bulk.wait_until_it_flows()?;
        Ok(bulk)
    }

    fn wait_until_it_flows(&self) -> Result<(), Failure> {
        self.wait_for(1, FIRST_BYTES)
            .map_err(|()| "the bulk transfer does not begin")?;
        let _ = self.wait_for(WARM, WARMING);
        Ok(())
    }

    fn wait_for(&self, bytes: u64, bound: Duration) -> Result<(), ()> {
        support::eventually(Instant::now() + bound, || {
            if self.arrived() < bytes {
                Err(())
            } else {
                Ok(())
            }
        })
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
