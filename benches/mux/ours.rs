//! Our mux under load.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use muxcool::buf::Buf;
use muxcool::link::{DispatchError, Dispatcher, Link, Request};
use muxcool::mux::{ClientOptions, ClientWorker, MuxServer, MuxStream, ServerWorker};
use muxcool::net::Destination;
use muxcool::sync::Crew;

use crate::load::Load;

/// Bound of a wait for the streams' threads; reached only by a defect.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that a reader takes at once.
const READ: usize = 32 * 1024;

/// Streams that are open, each with a thread on either side.
pub struct Streams {
    start: Vec<Sender<u64>>,
    finished: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    carrier: Carrier,
}

impl Streams {
    pub fn open(links: (Link, Link), load: Load) -> Self {
        let carrier = Carrier::new(links, load);
        let (finish, finished) = bounded(load.streams);
        let start_one = |_| {
            let (start, started) = bounded(1);
            let (stream, finish) = (carrier.open(), finish.clone());
            let thread = thread::spawn(move || ask(stream, load, &started, &finish));
            (start, thread)
        };
        let (start, threads) = (0..load.streams).map(start_one).unzip();
        Self {
            start,
            finished,
            threads,
            carrier,
        }
    }

    /// How long it takes until every stream has done `rounds` rounds.
    pub fn run(&mut self, rounds: u64) -> Duration {
        let begin = Instant::now();
        for start in &self.start {
            start.send(rounds).expect("a stream's thread");
        }
        for _ in &self.start {
            self.finished
                .recv_timeout(PATIENCE)
                .expect("streams that go on");
        }
        begin.elapsed()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.start.clear();
        self.carrier.client.close(); // so that none of them can wait for ever
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How long it takes to open `count` sessions, one after the other, each with
/// one round and an orderly end of both directions.
pub fn sessions(links: (Link, Link), count: u64) -> Duration {
    time_sessions(&Carrier::new(links, Load::PING), count)
}

/// The same with a server that takes each session to a dispatcher, on a thread
/// that has been used before.
pub fn dispatched_sessions((near, far): (Link, Link), count: u64) -> Duration {
    let echo = Arc::new(Echo(Load::PING));
    let server = ServerWorker::start(far, echo, Request::new(target())).expect("a server");
    let client = ClientWorker::new(near, ClientOptions::default()).expect("a client");
    let carrier = Carrier {
        client,
        server: None,
    };
    let took = time_sessions(&carrier, count);
    drop(carrier);
    server.close();
    took
}

fn time_sessions(carrier: &Carrier, count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        one_session(carrier).expect("a whole session");
    }
    begin.elapsed()
}

fn one_session(carrier: &Carrier) -> io::Result<()> {
    let mut stream = carrier.open_with(&[0xA5; 64]);
    stream.read_exact(&mut [0; 64])?;
    stream.shutdown(Shutdown::Write)?;
    let rest = stream.read(&mut [0])?;
    assert_eq!(rest, 0);
    Ok(())
}

/// A client, and a server that answers every stream.
struct Carrier {
    client: ClientWorker,
    server: Option<JoinHandle<()>>,
}

impl Carrier {
    fn new((near, far): (Link, Link), load: Load) -> Self {
        let server = MuxServer::new(far).expect("a server");
        let client = ClientWorker::new(near, ClientOptions::default()).expect("a client");
        Self {
            client,
            server: Some(thread::spawn(move || serve(&server, load))),
        }
    }

    fn open(&self) -> MuxStream {
        self.client.open(target()).expect("a session")
    }

    fn open_with(&self, first: &[u8]) -> MuxStream {
        let opened = self.client.open_with(target(), first);
        opened.expect("a session")
    }
}

fn target() -> Destination {
    Destination::tcp("echo.example", 7).expect("a valid name")
}

/// Answers every session by itself.
struct Echo(Load);

impl Dispatcher for Echo {
    fn dispatch(&self, _: &Request, mut link: Link) -> Result<(), DispatchError> {
        let mut left = self.0.request();
        while let Some(buf) = link.reader.read()? {
            left -= buf.len();
            if left == 0 {
                let reply = Buf::copy_of(&[0x5A; 64][..self.0.reply]);
                link.writer.write(&mut VecDeque::from([reply]))?;
                left = self.0.request();
            }
        }
        Ok(link.writer.close()?)
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("only answers"))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.client.close();
        let _ = self.server.take().map(JoinHandle::join);
    }
}

fn ask(mut stream: MuxStream, load: Load, started: &Receiver<u64>, finish: &Sender<()>) {
    let message = vec![0xA5; load.message];
    for rounds in started {
        for _ in 0..rounds {
            round(&mut stream, load, &message).expect("a live carrier");
        }
        let _ = finish.send(());
    }
}

fn round(stream: &mut MuxStream, load: Load, message: &[u8]) -> io::Result<()> {
    for _ in 0..load.messages {
        stream.write_all(message)?;
    }
    stream.read_exact(&mut [0; 64][..load.reply])
}

/// Ends with the carrier, once all streams have.
fn serve(server: &MuxServer, load: Load) {
    let streams = Crew::new();
    while let Ok((_, stream)) = server.accept() {
        // An error is the carrier's end, which the client's side sees too.
        let answers = move || drop(answer(stream, load));
        streams.spawn("answers", answers).expect("a thread");
    }
    streams.join(PATIENCE);
}

fn answer(mut stream: MuxStream, load: Load) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    while read_request(&mut stream, &mut buffer, load.request())? {
        stream.write_all(&[0x5A; 64][..load.reply])?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Reads one round's bytes; `false` at the end of the stream.
fn read_request(stream: &mut MuxStream, buffer: &mut [u8], mut left: usize) -> io::Result<bool> {
    while left > 0 {
        match stream.read(buffer)? {
            0 => return Ok(false),
            len => left -= len,
        }
    }
    Ok(true)
}
