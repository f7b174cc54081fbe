//! A slow link: a relay on loopback that delays and paces what passes.
//!
//! It stands for a path with a bottleneck: what arrives faster than the
//! bottleneck sends waits in its buffer, and a sender that has filled the
//! buffer blocks. Nothing is lost. Bytes are stamped with the time at which
//! they reach the other end when they enter, so a late thread delays them but
//! slows nothing down.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::target::TcpTarget;

#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// From one end to the other: half a round trip.
    pub delay: Duration,
    /// Bytes per second each way, shared by all connections.
    pub rate: u64,
    /// Bytes of one connection, each way, that may be under way or waiting for
    /// the bottleneck.
    pub queue: usize,
}

impl Profile {
    /// A link of this round trip and rate. Its queue is twice their product,
    /// what is under way included, as in a router whose buffer is neither
    /// scarce nor excessive.
    pub fn new(round_trip: Duration, rate: u64) -> Self {
        Self {
            delay: round_trip / 2,
            rate,
            queue: (2.0 * round_trip.as_secs_f64() * rate as f64) as usize,
        }
    }
}

/// The relay. Dropping it cuts its connections and joins its threads.
pub struct SlowLink {
    far_ends: Arc<FarEnds>,
    relay: TcpTarget,
}

impl SlowLink {
    /// Listens, and connects each visitor to `target`.
    pub fn start(profile: Profile, target: SocketAddr) -> Self {
        let far_ends = Arc::new(FarEnds::default());
        let (there, back) = (Bottleneck::new(profile), Bottleneck::new(profile));
        let relay = {
            let far_ends = Arc::clone(&far_ends);
            TcpTarget::start(move |near| {
                let far = far_ends.connect(target)?;
                join(&near, &far, &there, &back)
            })
        };
        Self { far_ends, relay }
    }

    pub fn address(&self) -> SocketAddr {
        self.relay.address()
    }
}

impl Drop for SlowLink {
    /// The relay's own drop ends the near sockets.
    fn drop(&mut self) {
        self.far_ends.cut();
    }
}

/// The connections to the target; `None` once the relay is stopping.
struct FarEnds(Mutex<Option<Vec<TcpStream>>>);

impl Default for FarEnds {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl FarEnds {
    fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(target)?;
        let mut open = self.0.lock().expect("far ends");
        let open = open.as_mut().ok_or(io::ErrorKind::Interrupted)?;
        open.push(stream.try_clone()?);
        Ok(stream)
    }

    fn cut(&self) {
        let open = self.0.lock().expect("far ends").take();
        for stream in open.into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// One direction of the link.
struct Bottleneck {
    profile: Profile,
    /// When it will have sent all that has entered.
    busy_until: Mutex<Instant>,
}

impl Bottleneck {
    fn new(profile: Profile) -> Self {
        Self {
            profile,
            busy_until: Mutex::new(Instant::now()),
        }
    }

    /// When bytes that enter now reach the other end.
    fn arrival(&self, length: usize) -> Instant {
        let sending = Duration::from_secs_f64(length as f64 / self.profile.rate as f64);
        let mut busy_until = self.busy_until.lock().expect("bottleneck");
        *busy_until = (*busy_until).max(Instant::now()) + sending;
        *busy_until + self.profile.delay
    }

    /// Carries one connection's bytes until `from` ends or one of them fails.
    fn carry(&self, from: &TcpStream, to: &TcpStream) {
        let queue = Queue::new(self.profile.queue);
        thread::scope(|threads| {
            threads.spawn(|| self.collect(from, &queue));
            if deliver(&queue, to).is_err() {
                queue.give_up();
                let _ = from.shutdown(Shutdown::Both);
            }
        });
    }

    /// The end of the stream travels as an empty piece.
    fn collect(&self, mut from: &TcpStream, queue: &Queue) {
        let mut bytes = vec![0; READ];
        loop {
            let length = from.read(&mut bytes).unwrap_or(0);
            let piece = bytes[..length].to_vec();
            if !queue.push(self.arrival(length), piece) || length == 0 {
                return;
            }
        }
    }
}

/// Most bytes that one read takes, and so the steps of the pacing: half a
/// millisecond at 125 MB/s.
const READ: usize = 64 * 1024;

/// Receive buffer of the relay's sockets. Left to itself the system grows it
/// by megabytes, which would be a second queue in front of ours.
const RECEIVE_BUFFER: usize = 1024 * 1024;

fn join(
    near: &TcpStream,
    far: &TcpStream,
    there: &Bottleneck,
    back: &Bottleneck,
) -> io::Result<()> {
    for end in [near, far] {
        end.set_nodelay(true)?;
        SockRef::from(end).set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    thread::scope(|threads| {
        threads.spawn(|| there.carry(near, far));
        back.carry(far, near);
    });
    Ok(())
}

fn deliver(queue: &Queue, mut to: &TcpStream) -> io::Result<()> {
    loop {
        let (arrival, bytes) = queue.pop();
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if bytes.is_empty() {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&bytes)?;
    }
}

/// What is under way, bounded in bytes.
struct Queue {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    given_up: bool,
}

impl Queue {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for room; whether somebody still wants the piece.
    fn push(&self, arrival: Instant, bytes: Vec<u8>) -> bool {
        let state = self.state.lock().expect("queue");
        let full = |state: &mut State| state.bytes > self.limit && !state.given_up;
        let mut state = self.changed.wait_while(state, full).expect("queue");
        state.bytes += bytes.len();
        state.pieces.push_back((arrival, bytes));
        self.changed.notify_all();
        !state.given_up
    }

    fn pop(&self) -> (Instant, Vec<u8>) {
        let state = self.state.lock().expect("queue");
        let empty = |state: &mut State| state.pieces.is_empty();
        let mut state = self.changed.wait_while(state, empty).expect("queue");
        let piece = state.pieces.pop_front().expect("a piece was there");
        state.bytes -= piece.1.len();
        self.changed.notify_all();
        piece
    }

    fn give_up(&self) {
        self.state.lock().expect("queue").given_up = true;
        self.changed.notify_all();
    }
}
