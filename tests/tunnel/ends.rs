//! How connections end: an orderly end stays one, and so does a reset.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc::{Sender, channel},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::shapes::{Shape, Tunnel};
use super::support::{
    PATIENCE,
    bytes::{expect_keyed, send_keyed},
    client::{self, Entry},
    target::TcpTarget,
    threads::ThreadCheck,
};
use super::traffic::http_connect;

const UP: u64 = 300_000;
const DOWN: u64 = 1_000_000;

/// The target answers once it has seen the visitor's end, and ends then.
pub fn a_half_close_passes_and_the_answer_arrives_whole(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::start(|mut visitor| {
        expect_keyed(&visitor, 1, UP)?;
        let more = visitor.read(&mut [0])?;
        assert_eq!(more, 0, "after the visitor's end");
        send_keyed(&visitor, 2, DOWN)
    });
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for stream in all_ways(&tunnel, target.address()) {
        send_keyed(&stream, 1, UP).expect("upload");
        stream.shutdown(Shutdown::Write).expect("half-close");
        expect_keyed(&stream, 2, DOWN).expect("answer");
        assert_eq!((&stream).read(&mut [0]).expect("an orderly end"), 0);
    }
    drop((tunnel, target));
    threads.finish();
}

/// A13: a target that breaks off must not look as if it had ended.
pub fn a13_a_targets_reset_is_the_visitors(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::start(|mut visitor| {
        send_keyed(&visitor, 3, UP)?;
        visitor.read_exact(&mut [0])?; // all of it has been read
        reset_on_close(&visitor);
        Ok(())
    });
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for mut stream in all_ways(&tunnel, target.address()) {
        expect_keyed(&stream, 3, UP).expect("first half");
        stream.write_all(b"!").expect("a sign");
        assert_reset(stream.read(&mut [0]));
    }
    drop((tunnel, target));
    threads.finish();
}

pub fn a13_a_visitors_reset_is_the_targets(shape: Shape) {
    let threads = ThreadCheck::begin();
    let (told, outcomes) = channel();
    let target = TcpTarget::start(tell_the_end(told));
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for mut stream in all_ways(&tunnel, target.address()) {
        client::echo(&mut stream, b"hello").expect("echo");
        reset_on_close(&stream);
        drop(stream);
        assert_reset(outcomes.recv_timeout(PATIENCE).expect("an end"));
    }
    drop((tunnel, target));
    threads.finish();
}

/// A29: one connection, and not its carrier with all others.
pub fn a29_a_refused_target_fails_its_visitor_alone(shape: Shape) {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let (_port, nobody) = nobody_listens();
    let tunnel = Tunnel::open(shape, &[echo.address(), nobody]);
    let mut bystander = tunnel.socks(echo.address()).connect().expect("connect");
    client::echo(&mut bystander, b"before").expect("echo");
    let carriers = tunnel.middle.as_ref().map(|middle| middle.made());
    for _ in 0..5 {
        for entry in tunnel.entries(1, nobody) {
            assert_fails(entry.connect(), &entry);
        }
        let tunnelled = http_connect(tunnel.web(), nobody);
        assert_fails(tunnelled, &Entry::Door(tunnel.web()));
    }
    client::echo(&mut bystander, b"after").expect("echo");
    if is_muxed(shape) {
        let now = tunnel.middle.as_ref().map(|middle| middle.made());
        assert_eq!(now, carriers, "carriers were lost");
    }
    drop((bystander, tunnel, echo));
    threads.finish();
}

const OPEN: usize = 50;

pub fn closing_joins_everything_with_50_streams_open(shape: Shape) {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    for near_first in [true, false] {
        let tunnel = Tunnel::open(shape, &[echo.address()]);
        let entries = tunnel.entries(0, echo.address());
        let mut streams: Vec<TcpStream> = (0..OPEN)
            .map(|n| entries[n % entries.len()].connect().expect("connect"))
            .collect();
        for stream in &mut streams {
            client::echo(stream, b"hello").expect("echo");
        }
        match (near_first, &tunnel.far) {
            (false, Some(far)) => far.close(),
            _ => tunnel.near.close(),
        }
        for mut stream in streams {
            assert_reset(stream.read(&mut [0]));
        }
        tunnel.near.close();
        tunnel.near.close();
        drop(tunnel);
    }
    drop(echo);
    threads.finish();
}

/// A stream through every inbound.
fn all_ways(tunnel: &Tunnel, target: SocketAddr) -> Vec<TcpStream> {
    let entries = tunnel.entries(0, target);
    let connected = entries.iter().map(|entry| entry.connect());
    let web = http_connect(tunnel.web(), target);
    let all: io::Result<Vec<TcpStream>> = connected.chain([web]).collect();
    all.expect("connect")
}

/// Echoes, and says how the visitor ended.
fn tell_the_end(
    told: Sender<io::Result<usize>>,
) -> impl Fn(TcpStream) -> io::Result<()> + Send + Sync {
    move |mut visitor| {
        visitor.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = [0; 64];
        loop {
            match visitor.read(&mut bytes) {
                Ok(length) if length > 0 => visitor.write_all(&bytes[..length])?,
                end => {
                    let _ = told.send(end);
                    return Ok(());
                }
            }
        }
    }
}

/// A port that is taken, so that nobody else begins to listen there.
fn nobody_listens() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("a port");
    let address = socket.local_addr().expect("its address");
    (socket, address.as_socket().expect("an IP address"))
}

fn reset_on_close(stream: &TcpStream) {
    let linger = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("linger option");
}

pub fn assert_reset<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let kind = outcome.expect_err("a reset, no orderly end").kind();
    assert_eq!(kind, ErrorKind::ConnectionReset);
}

/// The connection was not made, or breaks before a byte or an end.
fn assert_fails(stream: io::Result<TcpStream>, entry: &Entry) {
    let read = stream.and_then(|mut stream| stream.read(&mut [0]));
    let failure = read.expect_err(&format!("{entry:?} reaches nobody"));
    let slow = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    assert!(!slow.contains(&failure.kind()), "{failure}");
}

fn is_muxed(shape: Shape) -> bool {
    matches!(shape, Shape::Forward(_) | Shape::Reverse(_))
}
