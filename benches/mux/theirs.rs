//! Multiplexers of the asynchronous kind under load: each side of a carrier on
//! one thread, with a tokio runtime of its own that runs the connection and a
//! task per stream.

use std::convert::Infallible;
use std::io;
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use crate::load::Load;

/// Bytes that a reader takes at once.
const READ: usize = 32 * 1024;

/// What a sample, or the end of a carrier, takes at the most, unless the library
/// hangs: then its row has no figure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who wants a stream.
pub type Orders<S> = mpsc::UnboundedReceiver<oneshot::Sender<S>>;

/// A library, and how its users drive it.
pub trait Library: 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The client's side of a carrier, until that ends: opens streams on demand.
    fn drive(
        socket: tokio::net::TcpStream,
        orders: Orders<Self::Stream>,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// The server's side, until the carrier ends: hands over each stream.
    fn accept(
        socket: tokio::net::TcpStream,
        take: impl FnMut(Self::Stream) + Send,
    ) -> impl Future<Output = ()>;
}

/// Streams that are open, each with a task on either side.
pub struct Streams<L: Library> {
    streams: Vec<L::Stream>,
    load: Load,
    carrier: Carrier<L>,
}

impl<L: Library> Streams<L> {
    pub fn open(ends: (TcpStream, TcpStream), load: Load) -> Self {
        let carrier = Carrier::new(ends, load);
        let streams = (0..load.streams)
            .map(|_| carrier.run(carrier.open()))
            .collect();
        Self {
            streams,
            load,
            carrier,
        }
    }

    /// How long it takes until every stream has done `rounds` rounds.
    pub fn run(&mut self, rounds: u64) -> Duration {
        let load = self.load;
        let streams = std::mem::take(&mut self.streams);
        let begin = Instant::now();
        self.streams = self.carrier.run(async move {
            let start = |stream| tokio::spawn(ask(stream, load, rounds));
            let tasks: Vec<_> = streams.into_iter().map(start).collect();
            let mut streams = Vec::new();
            for task in tasks {
                streams.push(task.await.expect("a stream's task"));
            }
            streams
        });
        begin.elapsed()
    }
}

/// How long it takes to open `count` sessions, one after the other, each with
/// one round and an orderly end of both directions.
pub fn sessions<L: Library>(ends: (TcpStream, TcpStream), count: u64) -> Duration {
    let carrier = Carrier::<L>::new(ends, Load::PING);
    let begin = Instant::now();
    carrier.run(async {
        for _ in 0..count {
            let stream = carrier.open().await;
            one_session(stream).await.expect("a whole session");
        }
    });
    begin.elapsed()
}

async fn one_session(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    round(&mut stream, Load::PING, &[0xA5; 64]).await?;
    stream.close().await?;
    let rest = stream.read(&mut [0]).await?;
    assert_eq!(rest, 0);
    Ok(())
}

/// A client, and a server that answers every stream. The client's side runs
/// on the calling thread, whenever that is in the runtime.
///
/// The order of the fields matters: the server ends with the client's socket.
struct Carrier<L: Library> {
    runtime: Runtime,
    wanted: mpsc::UnboundedSender<oneshot::Sender<L::Stream>>,
    _server: Server,
}

impl<L: Library> Carrier<L> {
    fn new((near, far): (TcpStream, TcpStream), load: Load) -> Self {
        let runtime = runtime();
        let (wanted, orders) = mpsc::unbounded();
        runtime.spawn(async { L::drive(of_runtime(near), orders).await });
        Self {
            runtime,
            wanted,
            _server: Server::start::<L>(far, load),
        }
    }

    /// # Panics
    /// When it takes longer than [`PATIENCE`].
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(PATIENCE, work).await };
        let done = self.runtime.block_on(bounded);
        done.unwrap_or_else(|_| panic!("hangs: nothing for {} s", PATIENCE.as_secs()))
    }

    async fn open(&self) -> L::Stream {
        let (order, opened) = oneshot::channel();
        self.wanted.unbounded_send(order).expect("a live carrier");
        opened.await.expect("a live carrier")
    }
}

/// The server's thread, and what it drops when it ends.
struct Server {
    thread: Option<JoinHandle<()>>,
    alive: Receiver<Infallible>,
}

impl Server {
    fn start<L: Library>(socket: TcpStream, load: Load) -> Self {
        let (life, alive) = bounded(0);
        let side = move || {
            let _life: Sender<Infallible> = life;
            runtime().block_on(async {
                // An error is the carrier's end, which the client's side sees too.
                let take = |stream| drop(tokio::spawn(answer(stream, load)));
                L::accept(of_runtime(socket), take).await;
            });
        };
        let thread = Some(thread::spawn(side));
        Self { thread, alive }
    }
}

/// A thread that hangs is left alone.
impl Drop for Server {
    fn drop(&mut self) {
        if self.alive.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected) {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Call it inside a runtime.
fn of_runtime(socket: TcpStream) -> tokio::net::TcpStream {
    socket.set_nonblocking(true).expect("a usable socket");
    tokio::net::TcpStream::from_std(socket).expect("a usable socket")
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, load: Load, rounds: u64) -> S {
    let message = vec![0xA5; load.message];
    for _ in 0..rounds {
        let done = round(&mut stream, load, &message).await;
        done.expect("a live carrier");
    }
    stream
}

async fn round(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    load: Load,
    message: &[u8],
) -> io::Result<()> {
    for _ in 0..load.messages {
        stream.write_all(message).await?;
    }
    stream.read_exact(&mut [0; 64][..load.reply]).await
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, load: Load) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    while read_request(&mut stream, &mut buffer, load.request()).await? {
        stream.write_all(&[0x5A; 64][..load.reply]).await?;
    }
    stream.close().await
}

/// Reads one round's bytes; `false` at the end of the stream.
async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    mut left: usize,
) -> io::Result<bool> {
    while left > 0 {
        match stream.read(buffer).await? {
            0 => return Ok(false),
            len => left -= len,
        }
    }
    Ok(true)
}
