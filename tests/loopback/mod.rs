//! What the tests of proxy handlers share: an inbound on a port of its own, a
//! dispatcher that takes note of requests, and scripted targets.
//!
//! Each test file compiles its own copy and uses a part of it, hence no
//! warnings about the rest.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use muxcool::buf::Buf;
use muxcool::limits::HANDSHAKE;
use muxcool::link::{
    DispatchError, Dispatcher, Link, LinkError, Outbound, Reader, Request, Writer,
};
use muxcool::net::{Destination, Network};
use muxcool::proxy::{Inbound, InboundContext, ProxyError, freedom};
use muxcool::sync::Timer;
use muxcool::transport::stream::Connection;
use muxcool::transport::tcp::{Idle, IdleTimes, Server};
use socket2::{Domain, SockRef, Socket, Type};

/// Bound of every wait for something that comes at once when all is well.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long something that must not come is waited for.
pub const A_WHILE: Duration = Duration::from_millis(50);

/// Times that no test lives to see.
pub fn idle() -> Idle {
    let long = Duration::from_secs(600);
    Idle {
        timer: Timer::global().unwrap(),
        times: IdleTimes {
            both: long,
            after_read: long,
            after_write: long,
        },
    }
}

pub fn freedom() -> Arc<dyn Outbound> {
    Arc::new(freedom::Outbound::new(
        "direct".into(),
        freedom::OutboundOptions::default(),
        idle(),
    ))
}

/// Sends everything to one outbound, and tells of each request.
struct Through {
    outbound: Arc<dyn Outbound>,
    seen: Sender<Request>,
}

impl Dispatcher for Through {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let _ = self.seen.send(request.clone());
        self.outbound.dispatch(request, link)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let _ = self.seen.send(request.clone());
        self.outbound.connect(request)
    }
}

/// An inbound in front of an outbound.
pub struct Site {
    pub server: Server,
    pub address: SocketAddr,
    /// The requests that it passed on.
    pub requests: Receiver<Request>,
    /// How its connections ended.
    pub ended: Receiver<Result<(), ProxyError>>,
}

impl Site {
    pub fn new<I: Inbound + 'static>(
        outbound: Arc<dyn Outbound>,
        inbound: impl FnOnce(InboundContext) -> I,
    ) -> Self {
        Self::with_handshake(HANDSHAKE, outbound, inbound)
    }

    pub fn with_handshake<I: Inbound + 'static>(
        handshake: Duration,
        outbound: Arc<dyn Outbound>,
        inbound: impl FnOnce(InboundContext) -> I,
    ) -> Self {
        let (seen, requests) = unbounded();
        let (tell, ended) = unbounded();
        let inbound = inbound(InboundContext {
            tag: "in".into(),
            dispatcher: Arc::new(Through { outbound, seen }),
            handshake,
            idle: idle(),
            access: None,
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, "in", move |visitor| {
            let _ = tell.send(inbound.serve(Connection::accepted(visitor, handshake)));
        });
        let server = server.unwrap();
        let address = server.local_addr();
        Self {
            server,
            address,
            requests,
            ended,
        }
    }

    pub fn visit(&self) -> Peer {
        Peer::new(TcpStream::connect(self.address).unwrap())
    }

    pub fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    pub fn end(&self) -> Result<(), ProxyError> {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }
}

/// A socket in the hands of a test.
#[derive(Debug)]
pub struct Peer(pub TcpStream);

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// As many bytes as `expected` has are these.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut len = 0;
        while len < got.len() {
            match self.0.read(&mut got[len..]) {
                Ok(more @ 1..) => len += more,
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&got[..len])),
            }
        }
        let text = String::from_utf8_lossy;
        assert_eq!(text(&got), text(expected));
    }

    /// The next `len` bytes.
    #[track_caller]
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            other => panic!("{other:?} instead of the end"),
        }
    }

    /// An end, or a reset: which, depends on whether all was read that was sent.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("{other:?} instead of an end"),
        }
    }

    #[track_caller]
    pub fn expect_reset(&mut self) {
        match self.0.read(&mut [0]) {
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("{other:?} instead of a reset"),
        }
    }

    /// Everything up to the end, or to a reset.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let clean = self.0.read_to_end(&mut bytes).is_ok();
        (bytes, clean)
    }

    #[track_caller]
    pub fn expect_silence(&mut self) {
        self.0.set_read_timeout(Some(A_WHILE)).unwrap();
        let read = self.0.read(&mut [0]);
        let kind = read.expect_err("something came").kind();
        assert_eq!(kind, std::io::ErrorKind::WouldBlock);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// A head up to and with its empty line.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn end(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    pub fn reset(self) {
        SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Where connections go; the test itself plays the target.
pub struct Target {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Target {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Answers with what it is told, and ends when told so.
    pub fn echo() -> SocketAddr {
        let target = Self::new();
        let address = target.address;
        thread::spawn(move || {
            while let Ok((mut stream, _)) = target.listener.accept() {
                thread::spawn(move || {
                    let mut reader = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut reader, &mut stream);
                });
            }
        });
        address
    }

    #[track_caller]
    pub fn accept(&self) -> Peer {
        let listener = self.listener.try_clone().unwrap();
        let (tell, told) = unbounded();
        thread::spawn(move || tell.send(listener.accept()));
        let (stream, _) = told.recv_timeout(PATIENCE).unwrap().unwrap();
        Peer::new(stream)
    }

    pub fn destination(&self) -> Destination {
        (Network::Tcp, self.address).into()
    }
}

/// A port that nobody listens on. It stays taken, for it is one of those that
/// other tests are given.
pub fn closed_port() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

pub fn write(writer: &mut dyn Writer, bytes: &[u8]) {
    writer.write(&mut [Buf::copy_of(bytes)].into()).unwrap();
}

/// Everything that comes, and how it ends.
pub fn read_to_end(reader: &mut dyn Reader) -> (Vec<u8>, Result<(), LinkError>) {
    let mut bytes = Vec::new();
    loop {
        match reader.read_timeout(PATIENCE) {
            Ok(Some(buf)) => bytes.extend_from_slice(buf.as_slice()),
            Ok(None) => return (bytes, Ok(())),
            Err(e) => return (bytes, Err(e)),
        }
    }
}

/// Reads until that many bytes are there.
#[track_caller]
pub fn read_exactly(reader: &mut dyn Reader, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let buf = reader
            .read_timeout(PATIENCE)
            .unwrap()
            .expect("an early end");
        bytes.extend_from_slice(buf.as_slice());
    }
    assert_eq!(bytes.len(), len);
    bytes
}
