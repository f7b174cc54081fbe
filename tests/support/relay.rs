//! A relay between two programs that breaks their connections at a given byte.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

/// Most bytes that pass at once.
const CHUNK: usize = 64 * 1024;

/// How often a write that does not get on looks whether it is still wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From who has dialled.
    There = 0,
    Back = 1,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::There, Self::Back];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both ends get a reset.
    Reset,
    /// Both ends get an orderly end, and what they still send is lost.
    Fin,
    /// The receiving end of this way gets an orderly end; the other way goes
    /// on.
    HalfClose,
    /// This way is not read any more; the other one goes on.
    Stop,
    /// Nothing passes any more, not even an end.
    Freeze,
}

/// A fault that happens once so many bytes have passed this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    pub way: Way,
    pub after: u64,
    pub fault: Fault,
}

/// The relay. Dropping it resets its connections and joins its threads.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    chunk: usize,
    /// `None` once the relay is stopping.
    open: Mutex<Option<Vec<Arc<Pair>>>>,
    /// For connections that are yet to come.
    next: Mutex<VecDeque<Trip>>,
    made: AtomicUsize,
    tripped: AtomicUsize,
    passed: [AtomicU64; 2],
}

/// One connection's sockets on both sides.
struct Pair {
    /// Where each way comes from.
    sources: [TcpStream; 2],
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Bytes that have passed each way.
    passed: [u64; 2],
    trip: Option<Trip>,
    stopped: [bool; 2],
    /// What comes is thrown away: the receiving end has been told of an end.
    ended: [bool; 2],
    cut: bool,
}

impl Relay {
    /// Listens, and connects each visitor to `target`.
    pub fn start(target: SocketAddr) -> Self {
        Self::with_chunk(target, CHUNK)
    }

    /// The same, with `chunk` bytes at the most in each write.
    pub fn with_chunk(target: SocketAddr, chunk: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a relay");
        let address = listener.local_addr().expect("address of a relay");
        let shared = Arc::new(Shared {
            target,
            chunk,
            open: Mutex::new(Some(Vec::new())),
            next: Mutex::default(),
            made: AtomicUsize::new(0),
            tripped: AtomicUsize::new(0),
            passed: Default::default(),
        });
        let inner = Arc::clone(&shared);
        Self {
            address,
            shared,
            acceptor: Some(thread::spawn(move || inner.accept_all(&listener))),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were made through it so far.
    pub fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// Trips that connections have met.
    pub fn tripped(&self) -> usize {
        self.shared.tripped.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.with_open(|open| open.len())
    }

    /// Bytes that have passed, of all connections.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::SeqCst)
    }

    /// Lays the trip for one of the next connections: each gets one, in order.
    pub fn trip_next(&self, trip: Trip) {
        self.shared.next.lock().expect("trips").push_back(trip);
    }

    /// Lays the trip on each connection that is open, counting from now.
    pub fn trip(&self, trip: Trip) {
        self.shared.with_open(|open| {
            for pair in open {
                pair.lay(trip);
            }
        });
    }

    /// Does it at once to each connection that is open, on its way back if it
    /// is about one way. Returns how many were open.
    pub fn inflict(&self, fault: Fault) -> usize {
        let pairs = self.shared.with_open(|open| open.clone());
        for pair in &pairs {
            let way = Way::Back;
            pair.suffer(Trip {
                way,
                after: 0,
                fault,
            });
        }
        pairs.len()
    }

    /// Forgets trips that no connection has met.
    pub fn clear(&self) {
        self.shared.next.lock().expect("trips").clear();
        self.shared.with_open(|open| {
            for pair in open {
                pair.state.lock().expect("state").trip = None;
            }
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let open = self.shared.open.lock().expect("open connections").take();
        for pair in open.into_iter().flatten() {
            pair.cut();
        }
        let _ = TcpStream::connect(self.address); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn with_open<T: Default>(&self, act: impl FnOnce(&mut Vec<Arc<Pair>>) -> T) -> T {
        let mut open = self.open.lock().expect("open connections");
        open.as_mut().map(act).unwrap_or_default()
    }

    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|threads| {
            for near in listener.incoming() {
                match near.and_then(|near| self.admit(near)) {
                    Ok(Some(pair)) => threads.spawn(move || self.carry(&pair)),
                    Ok(None) => break,
                    Err(_) => continue, // the target is away: the visitor is refused
                };
            }
        });
    }

    /// `None` if the relay is stopping.
    fn admit(&self, near: TcpStream) -> io::Result<Option<Arc<Pair>>> {
        if self.open.lock().expect("open connections").is_none() {
            return Ok(None);
        }
        let far = TcpStream::connect(self.target)?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            end.set_write_timeout(Some(LOOK_AGAIN))?;
        }
        let pair = Arc::new(Pair {
            sources: [near, far],
            state: Mutex::new(State {
                passed: [0; 2],
                trip: None,
                stopped: [false; 2],
                ended: [false; 2],
                cut: false,
            }),
            changed: Condvar::new(),
        });
        if let Some(trip) = self.next.lock().expect("trips").pop_front() {
            pair.lay(trip);
        }
        self.made.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock().expect("open connections");
        let Some(open) = open.as_mut() else {
            return Ok(None);
        };
        open.push(Arc::clone(&pair));
        Ok(Some(pair))
    }

    fn carry(&self, pair: &Arc<Pair>) {
        thread::scope(|threads| {
            threads.spawn(|| self.copy(pair, Way::There));
            self.copy(pair, Way::Back);
        });
        self.with_open(|open| open.retain(|other| !Arc::ptr_eq(other, pair)));
    }

    fn copy(&self, pair: &Pair, way: Way) {
        if self.copy_to_end(pair, way).is_err() {
            pair.cut();
        }
    }

    fn copy_to_end(&self, pair: &Pair, way: Way) -> io::Result<()> {
        let mut from = &pair.sources[way as usize];
        let mut bytes = vec![0; self.chunk];
        loop {
            pair.wait_until_wanted(way)?;
            if pair.is_due(way, 0) {
                self.trip_over(pair);
                continue;
            }
            let length = from.read(&mut bytes)?;
            pair.wait_until_wanted(way)?;
            if length == 0 {
                return pair.end(way);
            }
            self.pass(pair, way, &bytes[..length])?;
        }
    }

    /// Writes what came, up to the trip if there is one.
    fn pass(&self, pair: &Pair, way: Way, bytes: &[u8]) -> io::Result<()> {
        let (before, after) = bytes.split_at(pair.room(way, bytes.len()));
        pair.write(way, before)?;
        let passed = &self.passed[way as usize];
        passed.fetch_add(before.len() as u64, Ordering::SeqCst);
        if pair.is_due(way, before.len() as u64) {
            self.trip_over(pair);
            pair.wait_until_wanted(way)?;
            return pair.write(way, after);
        }
        Ok(())
    }

    fn trip_over(&self, pair: &Pair) {
        let trip = pair.state.lock().expect("state").trip.take();
        if let Some(trip) = trip {
            self.tripped.fetch_add(1, Ordering::SeqCst);
            pair.suffer(trip);
        }
    }
}

impl Pair {
    /// Counts from what has passed so far.
    fn lay(&self, trip: Trip) {
        let mut state = self.state.lock().expect("state");
        let after = state.passed[trip.way as usize] + trip.after;
        state.trip = Some(Trip { after, ..trip });
        drop(state);
        self.changed.notify_all();
    }

    /// How many of these bytes come before the trip.
    fn room(&self, way: Way, length: usize) -> usize {
        let state = self.state.lock().expect("state");
        match state.trip {
            Some(trip) if trip.way == way => {
                let left = trip.after.saturating_sub(state.passed[way as usize]);
                usize::try_from(left).map_or(length, |left| left.min(length))
            }
            _ => length,
        }
    }

    /// Whether the trip is due now that `more` bytes have passed.
    fn is_due(&self, way: Way, more: u64) -> bool {
        let mut state = self.state.lock().expect("state");
        state.passed[way as usize] += more;
        let passed = state.passed[way as usize];
        let due = |trip: Trip| trip.way == way && passed >= trip.after;
        state.trip.is_some_and(due)
    }

    fn suffer(&self, trip: Trip) {
        match trip.fault {
            Fault::Reset => self.cut(),
            Fault::Fin => self.finish(&Way::BOTH),
            Fault::HalfClose => self.finish(&[trip.way]),
            Fault::Stop => self.change(|state| state.stopped[trip.way as usize] = true),
            Fault::Freeze => self.change(|state| state.stopped = [true; 2]),
        }
    }

    fn finish(&self, ways: &[Way]) {
        for way in ways {
            self.change(|state| state.ended[*way as usize] = true);
            let _ = self.sink(*way).shutdown(Shutdown::Write);
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("state"));
        self.changed.notify_all();
    }

    fn sink(&self, way: Way) -> &TcpStream {
        &self.sources[1 - way as usize]
    }

    /// Closing the sockets sends a reset then; to shut down their sending sides
    /// would send an orderly end before it.
    fn cut(&self) {
        self.change(|state| state.cut = true);
        for socket in &self.sources {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Waits while this way is stopped; fails once it is cut.
    fn wait_until_wanted(&self, way: Way) -> io::Result<()> {
        let state = self.state.lock().expect("state");
        let stopped = |state: &mut State| state.stopped[way as usize] && !state.cut;
        let state = self.changed.wait_while(state, stopped).expect("state");
        match state.cut {
            true => Err(ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }

    fn is_ended(&self, way: Way) -> bool {
        self.state.lock().expect("state").ended[way as usize]
    }

    fn end(&self, way: Way) -> io::Result<()> {
        match self.is_ended(way) {
            true => Ok(()),
            false => self.sink(way).shutdown(Shutdown::Write),
        }
    }

    fn write(&self, way: Way, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && !self.is_ended(way) {
            match self.sink(way).write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait_until_wanted(way)?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
