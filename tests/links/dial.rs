//! Dialling, on loopback only.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use muxcool::net::Address;
use muxcool::transport::tcp::{DialOptions, dial, resolve};
use socket2::{Domain, SockRef, Socket, Type};

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens, as long as the socket is kept.
fn refusing() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn the_first_target_that_answers_is_taken() {
    let (_refusing, bad) = refusing();
    let (listener, good) = listen();
    let stream = dial(&[bad, good], &DialOptions::default()).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
    let (_, source) = listener.accept().unwrap();
    assert_eq!(source, stream.local_addr().unwrap());
}

#[test]
fn a_connection_is_tuned() {
    let (_listener, address) = listen();
    let stream = dial(&[address], &DialOptions::default()).unwrap();
    assert!(stream.nodelay().unwrap());
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    // It would end a connection whose peer only pauses.
    assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    assert_eq!(stream.read_timeout().unwrap(), None);
}

#[test]
fn a_refusal_is_reported() {
    let (_refusing, bad) = refusing();
    let error = dial(&[bad], &DialOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = dial(&[], &DialOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn the_local_address_can_be_chosen() {
    let (listener, address) = listen();
    let local = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));
    let options = DialOptions {
        local: Some(local),
        ..DialOptions::default()
    };
    let _stream = dial(&[address], &options).unwrap();
    let (_, source) = listener.accept().unwrap();
    assert_eq!(source.ip(), local);
}

/// A listener that accepts nobody answers no more once its backlog is full.
#[test]
fn a_target_that_does_not_answer_is_given_up() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let options = DialOptions {
        timeout: Duration::from_millis(100),
        ..DialOptions::default()
    };
    let mut waiting: Vec<TcpStream> = Vec::new();
    let error = loop {
        assert!(waiting.len() < 20, "the backlog does not fill");
        match dial(&[full], &options) {
            Ok(stream) => waiting.push(stream),
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // Its share of the time leaves enough for the next target.
    let (_listener, good) = listen();
    let stream = dial(&[full, good], &options).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
}

#[test]
fn names_and_addresses_are_resolved() {
    let ip: IpAddr = "::1".parse().unwrap();
    let found = resolve(&Address::Ip(ip), 80).unwrap();
    assert_eq!(found, [SocketAddr::new(ip, 80)]);
}
