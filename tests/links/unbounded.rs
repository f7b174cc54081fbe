//! Whoever gives `Duration::MAX` for a time waits as long as it takes.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use muxcool::buf::Buf;
use muxcool::link::{Ahead, Reader, Writer};
use muxcool::sync::Timer;
use muxcool::transport::stream::{Connection, Handshake};
use muxcool::transport::tcp::{DialOptions, Idle, IdleTimes, dial, split};
use muxcool::transport::udp;

use crate::ends::{Job, Kind, ends, sockets};
use crate::tasks::wait_until_asleep;

fn idle() -> Idle {
    Idle {
        timer: Timer::global().unwrap(),
        times: IdleTimes {
            both: Duration::MAX,
            after_read: Duration::MAX,
            after_write: Duration::MAX,
        },
    }
}

/// A reader on which nothing has come, and what makes "late" come: it returns
/// the writers, for the connection is reset without them.
type Waiting = (Box<dyn Reader>, Box<dyn FnOnce() -> Vec<Box<dyn Writer>>>);

fn on(kind: Kind) -> Waiting {
    let (near, mut far) = ends(kind);
    let speak = move || {
        let mut batch = [Buf::copy_of(b"late")].into();
        far.writer.write(&mut batch).unwrap();
        vec![near.writer, far.writer]
    };
    (near.reader, Box::new(speak))
}

fn on_a_layer() -> Waiting {
    let (inner, speak) = on(Kind::Pipe);
    let mut reader = Ahead::of(Some(Buf::copy_of(b"early")), inner);
    let early = reader.read_timeout(Duration::MAX).unwrap().unwrap();
    assert_eq!(early.as_slice(), b"early");
    (reader, speak)
}

fn on_idle_tcp() -> Waiting {
    let (mut peer, ours) = sockets();
    let (reader, writer) = split(Arc::new(ours), Some(&idle()));
    let speak = move || {
        peer.write_all(b"late").unwrap();
        vec![Box::new(writer) as _]
    };
    (Box::new(reader), Box::new(speak))
}

fn on_udp() -> Waiting {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (reader, writer) = udp::connect(peer.local_addr().unwrap(), None, &idle()).unwrap();
    let (near, _) = reader.ends().unwrap();
    let speak = move || {
        peer.send_to(b"late", near).unwrap();
        vec![Box::new(writer) as _]
    };
    (Box::new(reader), Box::new(speak))
}

#[test]
fn a_reader_waits_until_something_comes() {
    for (what, (mut reader, speak)) in [
        ("pipe", on(Kind::Pipe)),
        ("TCP", on(Kind::Tcp)),
        ("TCP with idle times", on_idle_tcp()),
        ("layer", on_a_layer()),
        ("UDP", on_udp()),
    ] {
        let reading = Job::start("reads-for-ever", move || {
            let read = reader.read_timeout(Duration::MAX);
            (read.unwrap().unwrap(), reader)
        });
        wait_until_asleep("reads-for-ever", 1);
        let _writers = speak();
        let (buf, _reader) = reading.finish(what);
        assert_eq!(buf.as_slice(), b"late", "{what}");
    }
}

#[test]
fn a_dial_and_a_handshake_have_all_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = DialOptions {
        timeout: Duration::MAX,
        ..DialOptions::default()
    };
    let stream = dial(&[listener.local_addr().unwrap()], &options).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let connection = Connection::dialled(Arc::new(stream), Duration::MAX);
    let reading = Job::start("negotiates", move || Handshake::new(connection).u8());
    wait_until_asleep("negotiates", 1);
    peer.write_all(b"x").unwrap();
    assert_eq!(reading.finish("handshake").unwrap(), b'x');
}
