//! What goes in at one end comes out at the other.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use super::shapes::{Shape, Tunnel};
use super::support::{
    PATIENCE,
    bytes::KeyedBytes,
    client::{self, Datagrams, Entry},
    target::{BANNER, Order, TcpTarget, UdpEcho},
    threads::ThreadCheck,
};

const STREAMS: u64 = 24;
const STREAM_BYTES: u64 = 256 * 1024;

/// Streams that all run at the same time, both ways, each with bytes of its
/// own, by all inbounds.
pub fn parallel_streams(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::known_bytes();
    let tunnel = Tunnel::open(shape, &[target.address()]);
    let entries = tunnel.entries(0, target.address());
    thread::scope(|threads| {
        for key in 0..STREAMS {
            let (entries, tunnel, to) = (&entries, &tunnel, target.address());
            threads.spawn(move || {
                let stream = match entries.get(key as usize % 3) {
                    Some(entry) => entry.connect(),
                    None => http_connect(tunnel.web(), to),
                };
                let order = Order {
                    key,
                    upload: STREAM_BYTES,
                    download: STREAM_BYTES,
                };
                let placed = stream.and_then(|stream| client::place(order, stream));
                placed.unwrap_or_else(|error| panic!("stream {key}: {error}"));
            });
        }
    });
    drop((tunnel, target));
    threads.finish();
}

const DATAGRAMS: u64 = 100;
const DATAGRAM_BYTES: usize = 1200;

/// Datagrams under way at once: few enough for every queue on the path.
const WINDOW: u64 = 4;

pub fn datagrams(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = UdpEcho::start();
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for entry in tunnel.entries(0, target.address()) {
        let flow = entry.datagrams().expect("UDP flow");
        for first in (0..DATAGRAMS).step_by(WINDOW as usize) {
            exchange_window(&flow, first, &entry);
        }
    }
    drop((tunnel, target));
    threads.finish();
}

/// Both ends are ours: they take larger ones than V2Ray does, once each has
/// heard so of the other.
pub fn large_datagrams(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = UdpEcho::start();
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for entry in tunnel.entries(0, target.address()) {
        let flow = entry.datagrams().expect("UDP flow");
        for (key, size) in (0..).zip([1, 2049, 8192, 60_000]) {
            let datagram = KeyedBytes::vec(key, size);
            flow.send(&datagram).expect("send a datagram");
            let back = flow.receive();
            let back = back.unwrap_or_else(|e| panic!("{size} bytes by {entry:?}: {e}"));
            assert!(back == datagram, "{size} bytes by {entry:?} differ");
        }
    }
    drop((tunnel, target));
    threads.finish();
}

fn exchange_window(flow: &Datagrams, first: u64, entry: &Entry) {
    let keys = first..first + WINDOW;
    let sent: HashSet<Vec<u8>> = keys.map(|k| KeyedBytes::vec(k, DATAGRAM_BYTES)).collect();
    for datagram in &sent {
        flow.send(datagram).expect("send a datagram");
    }
    let mut back = HashSet::new();
    while back.len() < sent.len() {
        match flow.receive() {
            Ok(datagram) => assert!(back.insert(datagram), "a datagram came twice"),
            Err(error) => panic!("{} from {first} by {entry:?} came: {error}", back.len()),
        }
    }
    assert_eq!(back, sent, "datagrams from {first} by {entry:?}");
}

/// A server that speaks first, to a visitor that waits for it.
pub fn banner_first(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::banner();
    let tunnel = Tunnel::open(shape, &[target.address()]);
    for entry in tunnel.entries(0, target.address()) {
        let mut stream = entry.connect().expect("connect");
        let mut banner = vec![0; BANNER.len()];
        stream.read_exact(&mut banner).expect("a banner");
        assert_eq!(banner, BANNER, "banner by {entry:?}");
        client::echo(&mut stream, b"HELO visitor\r\n").expect("dialogue");
    }
    drop((tunnel, target));
    threads.finish();
}

const PAGE_KEY: u64 = 80;
const PAGE_BYTES: usize = 300_000;

/// Plain requests, two on one connection, and by CONNECT.
pub fn pages_through_the_http_proxy(shape: Shape) {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::start(serve_pages);
    let tunnel = Tunnel::open(shape, &[]);
    let to = target.address();

    let mut kept = visit(tunnel.web());
    for _ in 0..2 {
        let head = format!(
            "GET http://{to}/page HTTP/1.1\r\nHost: {to}\r\nProxy-Connection: keep-alive\r\n\r\n"
        );
        kept.write_all(head.as_bytes()).expect("a request");
        assert_eq!(read_page(&mut BufReader::new(&kept)), page());
    }

    let mut through = http_connect(tunnel.web(), to).expect("CONNECT");
    let head = format!("GET /page HTTP/1.1\r\nHost: {to}\r\n\r\n");
    through.write_all(head.as_bytes()).expect("a request");
    assert_eq!(read_page(&mut BufReader::new(&through)), page());
    drop((kept, through, tunnel, target));
    threads.finish();
}

fn page() -> Vec<u8> {
    KeyedBytes::vec(PAGE_KEY, PAGE_BYTES)
}

/// Answers each request for the page on a connection.
fn serve_pages(mut visitor: TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(visitor.try_clone()?);
    while let Some(head) = read_head(&mut requests)? {
        assert!(head.starts_with("GET /page HTTP/1.1\r\n"), "{head}");
        write!(
            visitor,
            "HTTP/1.1 200 OK\r\nContent-Length: {PAGE_BYTES}\r\n\r\n"
        )?;
        visitor.write_all(&page())?;
    }
    Ok(())
}

/// `None` at the end of the stream.
fn read_head(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn read_page(from: &mut impl BufRead) -> Vec<u8> {
    let head = read_head(from).expect("an answer").expect("a whole head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = vec![0; PAGE_BYTES];
    from.read_exact(&mut body).expect("a whole body");
    body
}

/// A tunnel to `target` through the HTTP proxy.
pub fn http_connect(proxy: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = visit(proxy);
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0]; // and nothing of what follows
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(stream),
        false => Err(io::Error::other(String::from_utf8_lossy(&answer))),
    }
}

fn visit(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}
