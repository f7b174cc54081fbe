//! The instruments of the whole-program tests notice what they are there to
//! notice.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    panic::{self, AssertUnwindSafe},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use support::{
    PATIENCE,
    bytes::{KeyedBytes, expect_keyed},
    client::{self, Entry},
    ports::{free_port, is_free, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::{BANNER, Order, TcpTarget, UdpEcho},
    threads::ThreadCheck,
};

const ORDER: Order = Order {
    key: 7,
    upload: 100_000,
    download: 50_000,
};

#[test]
fn keyed_bytes_tell_every_fault() {
    let _turn = ThreadCheck::begin();
    let right = KeyedBytes::vec(7, 4096);
    let check = |bytes: &[u8]| expect_keyed(bytes, 7, 4096);
    assert!(check(&right).is_ok());

    let mut altered = right.clone();
    altered[4095] ^= 1;
    let mut swapped = right.clone();
    swapped[1024..3072].rotate_left(1024);
    let doubled = [&right[..8], &right].concat();
    let foreign = KeyedBytes::vec(8, 4096);
    for (fault, bytes) in [
        ("altered", altered.as_slice()),
        ("swapped", &swapped),
        ("doubled", &doubled),
        ("foreign", &foreign),
        ("cut", &right[..4095]),
    ] {
        assert!(check(bytes).is_err(), "{fault}");
    }
}

#[test]
fn an_order_is_filled() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::known_bytes();
    let stream = Entry::Door(target.address()).connect().expect("connect");
    client::place(ORDER, stream).expect("order");
    drop(target);
    threads.finish();
}

#[test]
fn the_service_notices_a_wrong_upload() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::known_bytes();
    let mut stream = Entry::Door(target.address()).connect().expect("connect");
    stream.write_all(&ORDER.encode()).expect("order");
    stream.write_all(&vec![0; 100_000]).expect("upload");
    assert_eq!(last_byte(stream), Some(Order::WRONG));
    drop(target);
    threads.finish();
}

#[test]
fn the_client_notices_a_wrong_download() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::echo();
    let stream = Entry::Door(target.address()).connect().expect("connect");
    assert!(client::place(ORDER, stream).is_err());
    drop(target);
    threads.finish();
}

#[test]
fn targets_answer_without_a_tunnel() {
    let threads = ThreadCheck::begin();
    let banner = TcpTarget::banner();
    let mut stream = Entry::Door(banner.address()).connect().expect("connect");
    let mut first = vec![0; BANNER.len()];
    stream.read_exact(&mut first).expect("banner");
    assert_eq!(first, BANNER);
    client::echo(&mut stream, b"HELO").expect("dialogue");

    let udp = UdpEcho::start();
    let flow = Entry::Door(udp.address()).datagrams().expect("UDP flow");
    flow.send(b"datagram").expect("send");
    assert_eq!(flow.receive().expect("receive"), b"datagram");
    drop((banner, udp));
    threads.finish();
}

#[test]
fn a_thread_that_stays_is_named() {
    let threads = ThreadCheck::begin();
    let (release, wait) = mpsc::channel::<()>();
    let forgotten = thread::Builder::new()
        .name("forgotten".to_owned())
        .spawn(move || wait.recv())
        .expect("spawn");
    let patience = Duration::from_millis(200);
    assert!(threads.leftover(patience).contains(&"forgotten".to_owned()));
    drop(release);
    let _ = forgotten.join();
    threads.finish();
}

#[test]
fn a_shared_port_is_not_free() {
    let _turn = ThreadCheck::begin();
    let port = free_port();
    assert_ne!(port, free_port());
    assert!(is_free(port));
    let _holder = share(port);
    assert!(!is_free(port));
}

#[test]
fn a_second_listener_on_a_programs_port_is_noticed() {
    let _turn = ThreadCheck::begin();
    if !v2ray_or_skip() {
        return;
    }
    let port = free_port();
    let _holder = share(port);
    let config = json!({
        "inbounds": [{ "listen": "127.0.0.1", "port": port, "protocol": "socks" }],
        "outbounds": [{ "protocol": "blackhole" }],
    });
    let start = AssertUnwindSafe(|| drop(Program::start(Kind::V2ray, "proxy", &config)));
    let failure = panic::catch_unwind(start).expect_err("the clash went unnoticed");
    let message = failure.downcast_ref::<String>().expect("a message");
    assert!(message.contains("has another listener"), "{message}");
}

/// A listener that lets others share its port, as V2Ray's do.
fn share(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.bind(&loopback(port).into()).expect("bind");
    socket.listen(1).expect("listen");
    socket
}

/// Reads to the end of the stream while the peer may still be writing.
fn last_byte(mut stream: TcpStream) -> Option<u8> {
    stream.shutdown(Shutdown::Write).expect("shut down");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    all.pop()
}
