//! A listener's threads: they start, they end, and nothing keeps them.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use muxcool::link::relay;
use muxcool::transport::stream::{Connection, Handshake};
use muxcool::transport::tcp::{Server, Visitor, split};

use crate::ends::{Job, drain, flood, receive_bare, tcp_link};
use crate::tasks::{PATIENCE, names, wait_until};

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A thread has left its owner a moment before the system has forgotten it.
fn wait_until_gone(prefix: &str) {
    wait_until(prefix, || names(prefix).is_empty());
}

fn visit(server: &Server) -> TcpStream {
    let peer = TcpStream::connect(server.local_addr()).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn echo(visitor: Visitor) {
    let (mut reader, mut writer) = split(visitor.stream, None);
    let _ = muxcool::link::copy(&mut reader, &mut writer);
}

#[test]
fn each_visitor_has_a_thread_named_after_the_tag() {
    let server = Server::start(listen(), "nm", echo).unwrap();
    let mut peers = [visit(&server), visit(&server)];
    for peer in &mut peers {
        peer.write_all(b"x").unwrap();
        peer.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(names("in-nm"), ["in-nm", "in-nm-1", "in-nm-2"]);
    let [first, _second] = peers;
    drop(first);
    wait_until("one leaves", || names("in-nm-").len() == 1);
    server.close();
    wait_until_gone("in-nm");
}

/// What a handler may be stuck in when the server closes. The peer neither
/// reads nor writes unless the case says so.
struct Case {
    tag: &'static str,
    handler: fn(Visitor, &Sender<()>),
    peer: fn(&TcpStream),
}

const STUCK: [Case; 7] = [
    Case {
        tag: "rd",
        handler: |visitor, started| {
            let (mut reader, _writer) = split(visitor.stream, None);
            let _ = started.send(());
            assert!(drain(&mut reader).is_err(), "a clean end");
        },
        peer: |_| {},
    },
    Case {
        tag: "wr",
        handler: |visitor, started| {
            let (_reader, mut writer) = split(visitor.stream, None);
            let _ = started.send(());
            flood(&mut writer);
        },
        peer: |_| {},
    },
    Case {
        tag: "rdmax", // never waits, for the peer keeps sending
        handler: |visitor, started| {
            let (mut reader, _writer) = split(visitor.stream, None);
            let _ = started.send(());
            assert!(drain(&mut reader).is_err(), "a clean end");
        },
        peer: |peer| {
            let peer = peer.try_clone().unwrap();
            thread::spawn(move || while (&peer).write_all(&[7; 60_000]).is_ok() {});
        },
    },
    Case {
        tag: "wrmax", // never waits, for the peer keeps reading
        handler: |visitor, started| {
            let (_reader, mut writer) = split(visitor.stream, None);
            let _ = started.send(());
            flood(&mut writer);
        },
        peer: |peer| {
            let mut peer = peer.try_clone().unwrap();
            thread::spawn(move || receive_bare(&mut peer));
        },
    },
    Case {
        tag: "hsrd",
        handler: |visitor, started| {
            let mut handshake = Handshake::new(Connection::accepted(visitor, 10 * PATIENCE));
            let _ = started.send(());
            assert!(handshake.u8().is_err());
        },
        peer: |_| {},
    },
    Case {
        tag: "hswr",
        handler: |visitor, started| {
            let mut handshake = Handshake::new(Connection::accepted(visitor, 10 * PATIENCE));
            let _ = started.send(());
            assert!(handshake.write_all(&vec![0; 64 << 20]).is_err());
        },
        peer: |_| {},
    },
    Case {
        tag: "rl",
        handler: |visitor, started| {
            let (far, _kept) = crate::ends::sockets();
            let near = split(visitor.stream, None);
            let near = muxcool::link::Link::new(near.0, near.1);
            let _ = started.send(());
            assert!(relay(near, tcp_link(far)).is_err());
        },
        peer: |_| {},
    },
];

#[test]
fn closing_wakes_every_handler_joins_its_thread_and_resets_the_peer() {
    for Case { tag, handler, peer } in STUCK {
        let (tell, told) = bounded(1);
        let server = Server::start(listen(), tag, move |visitor| handler(visitor, &tell));
        let server = server.unwrap();
        let mut visitor = visit(&server);
        peer(&visitor);
        told.recv_timeout(PATIENCE).unwrap();
        let closing = Job::start("closes", move || server.close());
        closing.finish(tag);
        wait_until_gone(&format!("in-{tag}"));
        let (_, end) = receive_bare(&mut visitor);
        // Where another thread reads it is told instead; then writing fails.
        if tag != "wrmax" && tag != "rdmax" {
            assert_eq!(end, Some(ErrorKind::ConnectionReset), "{tag}");
        }
    }
}

#[test]
fn a_cut_connection_never_ends_cleanly_at_the_peer() {
    for _ in 0..40 {
        let server = Server::start(listen(), "cut", |visitor| {
            let (_reader, mut writer) = split(visitor.stream, None);
            flood(&mut writer);
        });
        let server = server.unwrap();
        let mut visitor = visit(&server);
        visitor.read_exact(&mut [0]).unwrap();
        let download = Job::start("download", move || receive_bare(&mut visitor));
        drop(server);
        if let (_, None) = download.finish("the peer") {
            panic!("a clean end");
        }
    }
}

#[test]
fn closing_again_or_dropping_is_harmless() {
    let server = Server::start(listen(), "twice", echo).unwrap();
    server.close();
    server.close();
    drop(server);
    wait_until_gone("in-twice");
}

#[test]
fn a_closed_server_accepts_nobody() {
    let server = Server::start(listen(), "gone", echo).unwrap();
    let address = server.local_addr();
    server.close();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let again = TcpListener::bind(address);
    assert!(again.is_ok(), "the port is free: {again:?}");
}

/// Visitors that arrive while the server closes are served or refused, and
/// their threads end too.
#[test]
fn closing_under_a_rush_leaves_no_thread() {
    for _ in 0..5 {
        let server = Server::start(listen(), "rush", echo).unwrap();
        let address = server.local_addr();
        let rush = Job::start("rushes", move || {
            let mut peers = Vec::new();
            while let Ok(peer) = TcpStream::connect(address) {
                peers.push(peer);
            }
            peers.len()
        });
        wait_until("visitors", || names("in-rush-").len() > 3);
        server.close();
        wait_until_gone("in-rush");
        assert!(rush.finish("the rush") > 3);
    }
}

#[test]
fn a_handler_that_panics_ends_its_own_connection_only() {
    let server = Server::start(listen(), "pnc", |visitor| {
        let mut handshake = Handshake::new(Connection::accepted(visitor, PATIENCE));
        assert_eq!(handshake.u8().unwrap(), b'o', "on purpose");
        let mut link = handshake.finish(None);
        let _ = muxcool::link::copy(link.reader.as_mut(), link.writer.as_mut());
    });
    let server = server.unwrap();
    let mut bad = visit(&server);
    bad.write_all(b"b").unwrap();
    receive_bare(&mut bad);
    let mut good = visit(&server);
    good.write_all(b"ok").unwrap();
    good.read_exact(&mut [0]).unwrap();
    wait_until("the panicked one leaves", || names("in-pnc-").len() == 1);
}

#[test]
fn a_handler_may_close_its_own_server() {
    let slot: Arc<parking_lot::Mutex<Option<Server>>> = Arc::default();
    let (inner, (tell, told)) = (slot.clone(), bounded(1));
    let server = Server::start(listen(), "self", move |_| {
        let server = inner.lock().take();
        drop(server);
        let _ = tell.send(());
    });
    let mut guard = slot.lock();
    let peer = visit(guard.insert(server.unwrap()));
    drop(guard);
    told.recv_timeout(PATIENCE).unwrap();
    wait_until_gone("in-self");
    drop(peer);
}

#[test]
fn accepted_connections_send_small_writes_at_once() {
    let (tell, told) = bounded(1);
    let server = Server::start(listen(), "opt", move |visitor| {
        let _ = tell.send(visitor.stream.nodelay());
    });
    let server = server.unwrap();
    let _peer = visit(&server);
    assert!(told.recv_timeout(PATIENCE).unwrap().unwrap());
    wait_until_gone("in-opt-");
}
