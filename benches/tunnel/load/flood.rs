//! Many streams that flow at the same time, read by one thread.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    crowd::{ANSWER, Order},
    readiness::Readiness,
    visitors::Visitors,
};
use crate::{
    common::{failure::Failure, service::BLOCK},
    support,
};

/// How long it may take until every stream has begun.
const FIRST_BYTES: Duration = Duration::from_secs(30);

const STOP: u64 = u64::MAX;

/// Streams that flow until it is dropped.
pub struct Flood {
    seen: Arc<Seen>,
    /// Its end is the signal.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    arrived: AtomicU64,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Flood {
    /// So many streams from the service behind the door, all of which have
    /// begun.
    pub fn start(door: SocketAddr, streams: usize) -> Result<Self, Failure> {
        Self::of(Visitors::enter(door, streams)?, Order::Endless)
    }

    /// As [`Flood::start`], with visitors who are there.
    pub fn of(visitors: Visitors, order: Order) -> Result<Self, Failure> {
        let streams = visitors.into_streams();
        let count = streams.len();
        let seen = Arc::<Seen>::default();
        let (stop, stopped) = UnixStream::pair()?;
        let readers = Readers::new(streams, order, stopped, Arc::clone(&seen))?;
        let flood = Self {
            seen,
            stop: Some(stop),
            thread: Some(thread::spawn(|| readers.read())),
        };
        flood.wait_until_all_have_begun(count)?;
        Ok(flood)
    }

    /// Bytes of all streams so far.
    pub fn arrived(&self) -> u64 {
        self.seen.arrived.load(Ordering::Relaxed)
    }

    /// 10^6 bytes per second that arrive during the time from now.
    pub fn rate(&self, during: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.arrived());
        thread::sleep(during);
        let bytes = self.arrived() - before;
        bytes as f64 / start.elapsed().as_secs_f64() / 1e6
    }

    /// Fails if a stream has ended, which none should.
    pub fn check(&self) -> Result<(), Failure> {
        match self.seen.ended.load(Ordering::Relaxed) {
            0 => Ok(()),
            ended => Err(format!("{ended} streams have broken").into()),
        }
    }

    fn wait_until_all_have_begun(&self, count: usize) -> Result<(), Failure> {
        let begun = || self.seen.begun.load(Ordering::Relaxed);
        support::eventually(Instant::now() + FIRST_BYTES, || {
            if begun() < count { Err(()) } else { Ok(()) }
        })
        .map_err(|()| {
            let ended = self.seen.ended.load(Ordering::Relaxed);
            let begun = begun();
            format!("of {count} streams only {begun} have begun, and {ended} have broken")
        })?;
        self.check()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Readers {
    readiness: Readiness,
    streams: Vec<Stream>,
    _stopped: UnixStream,
    seen: Arc<Seen>,
}

struct Stream {
    socket: Option<TcpStream>,
    /// Bytes so far.
    came: u64,
    order: Order,
}

impl Readers {
    fn new(
        sockets: Vec<TcpStream>,
        order: Order,
        stopped: UnixStream,
        seen: Arc<Seen>,
    ) -> io::Result<Self> {
        let readiness = Readiness::new()?;
        readiness.add(&stopped, STOP)?;
        for (number, mut socket) in (0..).zip(&sockets) {
            socket.write_all(&[order.byte()])?;
            socket.set_nonblocking(true)?;
            readiness.add(socket, number)?;
        }
        let stream = |socket| Stream {
            socket: Some(socket),
            came: 0,
            order,
        };
        Ok(Self {
            readiness,
            streams: sockets.into_iter().map(stream).collect(),
            _stopped: stopped,
            seen,
        })
    }

    fn read(mut self) {
        let mut block = vec![0; BLOCK];
        while let Ok(ready) = self.readiness.wait() {
            for number in ready {
                if number == STOP {
                    return;
                }
                let stream = usize::try_from(number).ok();
                if let Some(stream) = stream.and_then(|at| self.streams.get_mut(at)) {
                    stream.read(&mut block, &self.seen);
                }
            }
        }
    }
}

impl Stream {
    fn read(&mut self, block: &mut [u8], seen: &Seen) {
        match self.try_read(block) {
            Ok(count) => {
                seen.arrived.fetch_add(count, Ordering::Relaxed);
                if self.came == count {
                    seen.begun.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => {
                self.socket = None;
                seen.ended.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Bytes that came. Orders the next answer when one is whole.
    fn try_read(&mut self, block: &mut [u8]) -> io::Result<u64> {
        let socket = self.socket.as_mut().ok_or(ErrorKind::WouldBlock)?;
        let count = socket.read(block)? as u64;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.came += count;
        if self.order == Order::Answer && self.came.is_multiple_of(ANSWER) {
            socket.write_all(&[self.order.byte()])?;
        }
        Ok(count)
    }
}
