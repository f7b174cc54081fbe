//! What the tests make links of, and what they do with their ends.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::bounded;
use muxcool::buf::Buf;
use muxcool::link::{Link, LinkError, Reader, Writer, pair};
use muxcool::transport::tcp::split;

use crate::tasks::PATIENCE;

/// Two sockets that are connected. Reads on the first fail after a while.
pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    dialled.set_read_timeout(Some(PATIENCE)).unwrap();
    (dialled, accepted)
}

/// What a link runs on.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Pipes of a few KiB.
    Pipe,
    /// A connection over loopback.
    Tcp,
}

/// What may stand on either side of a relay.
pub const SIDES: [(Kind, Kind); 4] = [
    (Kind::Pipe, Kind::Pipe),
    (Kind::Pipe, Kind::Tcp),
    (Kind::Tcp, Kind::Pipe),
    (Kind::Tcp, Kind::Tcp),
];

/// The two ends of a link.
pub fn ends(kind: Kind) -> (Link, Link) {
    match kind {
        Kind::Pipe => pair(4 * 1024),
        Kind::Tcp => {
            let (a, b) = sockets();
            (tcp_link(a), tcp_link(b))
        }
    }
}

pub fn tcp_link(stream: TcpStream) -> Link {
    let (reader, writer) = split(Arc::new(stream), None);
    Link::new(reader, writer)
}

/// `len` bytes without a short period, different for each `seed`.
pub fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Writes all of `data` in pieces of changing sizes.
pub fn send(writer: &mut dyn Writer, data: &[u8]) -> Result<(), LinkError> {
    let sizes = [1, 300, 2_048, 9_000, 32_768].into_iter().cycle();
    let mut rest = data;
    for size in sizes {
        let (piece, more) = rest.split_at(size.min(rest.len()));
        writer.write(&mut VecDeque::from([Buf::copy_of(piece)]))?;
        if more.is_empty() {
            return Ok(());
        }
        rest = more;
    }
    Ok(())
}

/// What came until the end, and the end.
pub struct Received {
    pub data: Vec<u8>,
    pub end: Result<(), LinkError>,
}

/// Reads to the end; fails the test rather than wait for ever.
pub fn receive(reader: &mut dyn Reader) -> Received {
    let mut data = Vec::new();
    loop {
        match reader.read_timeout(PATIENCE) {
            Ok(Some(buf)) => data.extend_from_slice(buf.as_slice()),
            Ok(None) => return Received { data, end: Ok(()) },
            Err(LinkError::TimedOut) => panic!("nothing comes, and no end"),
            Err(e) => return Received { data, end: Err(e) },
        }
    }
}

/// Reads to the end as long as it takes, as the program does.
pub fn drain(reader: &mut dyn Reader) -> Result<(), LinkError> {
    while reader.read()?.is_some() {}
    Ok(())
}

/// What came through a bare socket until the end, and the kind of error if it
/// was one.
pub fn receive_bare(stream: &mut TcpStream) -> (usize, Option<ErrorKind>) {
    let mut chunk = [0; 16 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (total, None),
            Ok(len) => total += len,
            Err(e) => return (total, Some(e.kind())),
        }
    }
}

/// Writes until the writer fails.
pub fn flood(writer: &mut dyn Writer) -> LinkError {
    let block = content(1, 8 * 1024);
    loop {
        if let Err(e) = send(writer, &block) {
            return e;
        }
    }
}

/// A thread that is expected to end soon.
pub struct Job<T> {
    told: crossbeam_channel::Receiver<T>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Job<T> {
    pub fn start(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Self {
        let (tell, told) = bounded(1);
        let work = move || {
            let _ = tell.send(body());
        };
        let thread = thread::Builder::new().name(name.into()).spawn(work);
        Self {
            told,
            thread: thread.unwrap(),
        }
    }

    /// Waits for its outcome, but not for ever.
    pub fn finish(self, what: &str) -> T {
        let outcome = match self.told.recv_timeout(PATIENCE) {
            Ok(outcome) => outcome,
            Err(e) if e.is_timeout() => panic!("{what}: still waits"),
            Err(_) => std::panic::resume_unwind(self.thread.join().unwrap_err()),
        };
        self.thread.join().unwrap();
        outcome
    }
}
