//! A thousand busy streams do not keep a program from ending.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use super::rig::{PROMPT, Plan, Rig, Stops};
use crate::support::{
    PATIENCE, bytes::KeyedBytes, program::Kind, target::TcpTarget, tunnel::Shape,
};

/// Of the end that has a visitor's socket for each.
const MANY: usize = 1_000;

/// Of the others, which have less to end.
const SOME: usize = 300;

const DRAIN: Duration = Duration::from_secs(2);

/// What a visitor's socket holds, in bytes. Left to itself it takes megabytes;
/// a thousand of those and the system, short of memory for sockets, drops
/// segments, and with them the one reset that a stream ends with.
const RECEIVED: usize = 128 * 1024;

/// Descriptors that this process and its programs need besides.
const OTHERS: usize = 200;

/// As many as `wanted`, if the limit of descriptors allows it: a stream takes two
/// of them here, and two in a program.
fn streams(wanted: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let limit = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    let limit: usize = limit.unwrap_or(usize::MAX);
    wanted.min(limit.saturating_sub(OTHERS) / 2)
}

/// What all streams are pieces of, round and round. Made once, for a thousand
/// streams of their own would cost more than what is tested.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| KeyedBytes::vec(0, 1 << 20));

/// Sends an endless stream to each visitor, from the position that he names.
fn flood() -> TcpTarget {
    TcpTarget::start(|mut visitor| {
        let mut start = [0; 4];
        visitor.read_exact(&mut start)?;
        let mut position = u32::from_be_bytes(start) as usize;
        loop {
            let piece = BYTES[position..].chunks(16 * 1024).next();
            let piece = piece.expect("a position within");
            visitor.write_all(piece)?;
            position = (position + piece.len()) % BYTES.len();
        }
    })
}

/// A visitor who reads all the time, as one of many on the same thread.
struct Busy {
    stream: TcpStream,
    start: usize,
    bytes: usize,
    end: Option<ErrorKind>,
}

impl Busy {
    /// Each stream has bytes of its own.
    fn new(rig: &Rig, number: usize) -> Self {
        let mut stream = rig.visit();
        let socket = socket2::SockRef::from(&stream);
        socket.set_recv_buffer_size(RECEIVED).expect("a buffer");
        let start = number * 1009 % BYTES.len();
        let position = (start as u32).to_be_bytes();
        stream.write_all(&position).expect("a visitor speaks");
        stream.set_nonblocking(true).expect("non-blocking");
        Self {
            stream,
            start,
            bytes: 0,
            end: None,
        }
    }

    fn read_some(&mut self, space: &mut [u8]) {
        match self.stream.read(space) {
            Ok(0) => panic!("a stream that was cut ends as if it were whole"),
            Ok(len) => {
                self.verify(&space[..len]);
                self.bytes += len;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => self.end = Some(e.kind()),
        }
    }

    fn verify(&self, mut bytes: &[u8]) {
        let mut position = (self.start + self.bytes) % BYTES.len();
        while !bytes.is_empty() {
            let expected = &BYTES[position..];
            let (now, later) = bytes.split_at(bytes.len().min(expected.len()));
            assert!(now == &expected[..now.len()], "foreign bytes");
            (bytes, position) = (later, 0);
        }
    }
}

/// Reads until the streams have had `least` bytes together, or all have ended.
fn read_all(crowd: &mut [Busy], least: usize) {
    let mut space = vec![0; 64 * 1024];
    let deadline = Instant::now() + 3 * PATIENCE;
    let had = |crowd: &[Busy]| crowd.iter().map(|busy| busy.bytes).sum::<usize>();
    let is_open = |busy: &Busy| busy.end.is_none();
    while crowd.iter().any(is_open) && had(crowd) < least {
        let open = crowd.iter_mut().filter(|busy| is_open(busy));
        assert!(Instant::now() < deadline, "{} are open", open.count());
        let open = crowd.iter_mut().filter(|busy| is_open(busy));
        open.for_each(|busy| busy.read_some(&mut space));
    }
}

fn stop_under_load(shape: Shape, stops: Stops, other: Kind, wanted: usize) {
    let count = streams(wanted);
    let target = flood();
    let plan = Plan {
        shape,
        stops,
        other,
    };
    let Some(mut rig) = Rig::start(plan, target.address(), DRAIN.as_secs()) else {
        return;
    };
    let began = Instant::now();
    let mut crowd: Vec<Busy> = (0..count).map(|number| Busy::new(&rig, number)).collect();
    let each = 20_000;
    read_all(&mut crowd, each * count);
    let in_the_beginning = began.elapsed();
    let asked = Instant::now();
    rig.stopping().ask_to_stop();
    let reader = thread::spawn(move || {
        read_all(&mut crowd, usize::MAX);
        crowd
    });
    // To end them all may take as long as to begin them all, on this machine.
    let bound = DRAIN + PROMPT + in_the_beginning;
    let status = rig.stopping().ends_within(bound);
    let took = asked.elapsed();
    assert!(status.success(), "{status}");
    assert!(took >= DRAIN, "nobody was waited for");
    let crowd = reader.join().expect("all streams end with an error");
    for busy in &crowd {
        assert_eq!(busy.end, Some(ErrorKind::ConnectionReset));
    }
    println!("{} streams, ended after {took:.1?}", crowd.len());
    rig.finish();
}

#[test]
fn a_portal_ends_with_all_of_them() {
    stop_under_load(Shape::Reverse, Stops::Near, Kind::Muxcool, MANY);
}

#[test]
fn a_portal_of_a_v2ray_bridge_ends_with_all_of_them() {
    stop_under_load(Shape::Reverse, Stops::Near, Kind::V2ray, SOME);
}

#[test]
fn a_bridge_ends_with_all_of_them() {
    stop_under_load(Shape::Reverse, Stops::Far, Kind::Muxcool, SOME);
}

#[test]
fn a_mux_client_ends_with_all_of_them() {
    stop_under_load(Shape::Forward, Stops::Near, Kind::Muxcool, SOME);
}

#[test]
fn a_mux_server_ends_with_all_of_them() {
    stop_under_load(Shape::Forward, Stops::Far, Kind::Muxcool, SOME);
}
