//! Bounds on a listener's connections, and on their handshakes.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use muxcool::limits::{
    CONNECTIONS, CONNECTIONS_PER_SOURCE, MAX_HANDSHAKE, MAX_THREADS, OWN_ROUNDS,
};
use muxcool::link::{DispatchError, Dispatcher, Link, Outbound, Request};
use muxcool::net::Address;
use muxcool::proxy::{Inbound, InboundContext, ProxyError, dokodemo, http, socks};
use muxcool::transport::stream::{Connection, Handshake};
use muxcool::transport::tcp::{Server, ServerLimits};
use muxcool::transport::udp::Seat;

use crate::loopback::{PATIENCE, Peer, Site, Target, freedom, idle};
use crate::mux_support::logs;
use crate::mux_support::scene::scene;
use crate::mux_support::tasks::{names, wait_until};

/// Sends everything out by freedom.
struct Out(Arc<dyn Outbound>);

impl Dispatcher for Out {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        self.0.dispatch(request, link)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.0.connect(request)
    }
}

fn context() -> InboundContext {
    InboundContext {
        tag: "in".into(),
        dispatcher: Arc::new(Out(freedom())),
        handshake: 10 * PATIENCE,
        idle: idle(),
        access: None,
    }
}

fn serve<I: Inbound + 'static>(
    limits: ServerLimits,
    inbound: impl FnOnce(InboundContext) -> I,
) -> Server {
    let inbound = inbound(context());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let handler = move |visitor| drop(inbound.serve(Connection::accepted(visitor, 10 * PATIENCE)));
    Server::start_with(listener, "lim", limits, handler).unwrap()
}

fn socks(limits: ServerLimits) -> Server {
    serve(limits, |context| {
        let local = SocketAddr::from(([127, 0, 0, 1], 1080));
        socks::Inbound::new(context, &socks::InboundOptions::default(), local)
    })
}

/// To a target of the test's, without a handshake.
fn door(limits: ServerLimits, target: SocketAddr) -> Server {
    serve(limits, |context| {
        let options = dokodemo::InboundOptions {
            address: Address::from(target.ip()),
            port: target.port(),
            tcp: true,
            udp: false,
        };
        dokodemo::Inbound::new(context, &options)
    })
}

fn visit(server: &Server) -> Peer {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Peer(stream)
}

/// The server has closed or reset the connection without a word.
#[track_caller]
fn assert_closed(peer: &mut Peer) {
    match peer.0.read(&mut [0]) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

fn ask_socks(peer: &mut Peer, target: SocketAddr) {
    let mut request = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01".to_vec();
    request.extend(target.port().to_be_bytes());
    peer.send(request);
    peer.expect(b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38");
}

fn echo(peer: &mut Peer) {
    peer.send(b"hello");
    peer.expect(b"hello");
}

/// Of places and of threads one source leaves an eighth to others.
const _: () = assert!(CONNECTIONS_PER_SOURCE <= CONNECTIONS / 8 * 7);
const _: () = assert!(2 * CONNECTIONS_PER_SOURCE <= MAX_THREADS / 8 * 7);

#[test]
fn connections_beyond_the_bound_are_closed_and_the_others_stay() {
    let _scene = scene();
    let by_source = ServerLimits {
        connections_per_source: 2,
        ..ServerLimits::default()
    };
    let in_all = ServerLimits {
        connections: 2,
        ..ServerLimits::default()
    };
    let target = Target::echo();
    for limits in [by_source, in_all] {
        logs::start();
        let server = door(limits, target);
        let mut peers = [(); 2].map(|()| visit(&server));
        peers.iter_mut().for_each(echo);
        for _ in 0..50 {
            assert_closed(&mut visit(&server));
        }
        let said = logs::lines().into_iter();
        let said = said.filter(|line| line.contains("too many connections: refused 127.0.0.1"));
        assert!((1..50).contains(&said.count()), "a few lines, not all");
        peers.iter_mut().for_each(echo);

        // One that goes makes room.
        let [first, mut second] = peers;
        drop(first);
        wait_until("its thread ends", || names("in-lim-").len() == 1);
        echo(&mut visit(&server));
        echo(&mut second);
        server.close();
    }
}

/// As many idle strangers as like come and say nothing. The oldest of them
/// are cut, and whoever is honest is served at once.
#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    const STRANGERS: usize = 100;
    let _scene = scene();
    let target = Target::echo();
    let by_source = ServerLimits {
        handshakes_per_source: 4,
        ..ServerLimits::default()
    };
    let in_all = ServerLimits {
        handshakes: 4,
        ..ServerLimits::default()
    };
    for limits in [by_source, in_all] {
        let server = socks(limits);
        let mut strangers: Vec<Peer> = Vec::new();
        for _ in 0..STRANGERS {
            strangers.push(visit(&server));
        }
        let mut honest = visit(&server);
        ask_socks(&mut honest, target);
        echo(&mut honest);
        for stranger in &mut strangers[..STRANGERS - 4] {
            assert_closed(stranger);
        }
        wait_until("their threads end", || names("in-lim-").len() <= 5);
        // Who is through with the handshake is not cut for those who come.
        for _ in 0..STRANGERS {
            visit(&server);
        }
        echo(&mut honest);
        server.close();
    }
}

/// Connections that have nothing to negotiate, or have done so, do not count.
#[test]
fn a_handshake_that_is_over_counts_no_more() {
    let _scene = scene();
    let target = Target::echo();
    let one = ServerLimits {
        handshakes: 1,
        ..ServerLimits::default()
    };
    let door = door(one, target);
    let mut peers = Vec::new();
    for _ in 0..10 {
        let mut peer = visit(&door);
        echo(&mut peer);
        peers.push(peer);
    }
    peers.iter_mut().for_each(echo);
    door.close();

    let socks = socks(one);
    let mut peers = Vec::new();
    for _ in 0..10 {
        let mut peer = visit(&socks);
        ask_socks(&mut peer, target);
        echo(&mut peer); // so that the server, too, is through with it
        peers.push(peer);
    }
    peers.iter_mut().for_each(echo);
    socks.close();

    let http = serve(one, |context| {
        http::Inbound::new(context, http::InboundOptions::default())
    });
    let mut peers = Vec::new();
    for _ in 0..10 {
        let mut peer = visit(&http);
        peer.send(format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
        assert!(peer.head().starts_with("HTTP/1.1 200"));
        echo(&mut peer);
        peers.push(peer);
    }
    peers.iter_mut().for_each(echo);
    // Before its first request is whole, a visitor is in its handshake.
    let mut slow = visit(&http);
    slow.send(b"CONNECT ");
    let _next = visit(&http);
    assert_closed(&mut slow);
    peers.iter_mut().for_each(echo);
    http.close();
}

#[test]
fn a_handshake_has_a_bound_in_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = Arc::new(listener.accept().unwrap().0);
    peer.write_all(&vec![7; MAX_HANDSHAKE + 100]).unwrap();
    let mut handshake = Handshake::new(Connection::dialled(ours, PATIENCE));
    handshake.read_exact(&mut vec![0; MAX_HANDSHAKE]).unwrap();
    let error = handshake.u8().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        handshake.fill_buf().unwrap_err().kind(),
        ErrorKind::InvalidData
    );
}

/// A byte now and then does not put the deadline off.
#[test]
fn a_handshake_that_drips_ends_at_its_deadline() {
    let _scene = scene();
    let limit = Duration::from_millis(100);
    let site = Site::with_handshake(limit, freedom(), |context| {
        let local = SocketAddr::from(([127, 0, 0, 1], 1080));
        socks::Inbound::new(context, &socks::InboundOptions::default(), local)
    });
    let mut dripping = site.visit();
    dripping.send(b"\x05\xff"); // 255 methods are to come
    let drip = thread::spawn(move || {
        while dripping.0.write_all(b"\x00").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    // A drip of one byte a millisecond would have lasted past it.
    assert!(matches!(site.end(), Err(ProxyError::Timeout)));
    drip.join().unwrap();
    assert!(site.requests.is_empty());
}

/// Whoever asks a proxy for the proxy itself is not served through as many
/// connections as there can be.
#[test]
fn a_request_does_not_go_round_in_circles() {
    let _scene = scene();
    logs::start();
    let few = ServerLimits {
        connections: 5 * OWN_ROUNDS,
        ..ServerLimits::default()
    };
    let proxy = serve(few, |context| {
        let options = http::InboundOptions {
            allow_transparent: true,
            ..http::InboundOptions::default()
        };
        http::Inbound::new(context, options)
    });
    let mut visitor = visit(&proxy);
    visitor.send(format!(
        "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
        proxy.local_addr()
    ));
    assert!(visitor.head().starts_with("HTTP/1.1 503"));
    let said = logs::lines();
    assert!(said.iter().any(|line| line.contains("come back here")));
    assert!(
        !said
            .iter()
            .any(|line| line.contains("too many connections"))
    );
    proxy.close();
}

/// Each header of a datagram within a datagram asks the relay for the relay.
#[test]
fn a_datagram_does_not_go_round_in_circles() {
    const HEADERS: usize = 3 * OWN_ROUNDS;
    let _scene = scene();
    logs::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let relay = socket.local_addr().unwrap();
    let options = socks::InboundOptions {
        udp: true,
        ..socks::InboundOptions::default()
    };
    let flows = socks::prepare_udp(context(), &options, Seat::New(socket)).unwrap();
    flows.open();
    let header = [&[0, 0, 0, 1, 127, 0, 0, 1][..], &relay.port().to_be_bytes()].concat();
    let visitor = UdpSocket::bind("127.0.0.1:0").unwrap();
    visitor.send_to(&header.repeat(HEADERS), relay).unwrap();
    wait_until("it is refused", || {
        logs::lines()
            .iter()
            .any(|line| line.contains("come back here"))
    });
    wait_until("its flow ends", || flows.live() == OWN_ROUNDS);
    assert_eq!(flows.stats().opened, OWN_ROUNDS as u64 + 1);
    flows.close();
}

#[test]
fn a_chain_of_inbounds_is_no_circle() {
    let _scene = scene();
    let mut target = Target::echo();
    let mut doors = Vec::new();
    for _ in 0..OWN_ROUNDS {
        let door = door(ServerLimits::default(), target);
        target = door.local_addr();
        doors.push(door);
    }
    echo(&mut visit(doors.last().unwrap()));
    doors.iter().for_each(Server::close);
}
