//! The `yamux` crate under load: each side of a carrier on one thread, with a
//! tokio runtime of its own that runs the connection and a task per stream.

use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::runtime::{Builder, Runtime};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use crate::load::Load;

/// Bytes that a reader takes at once.
const READ: usize = 32 * 1024;

/// Bytes that a socket's buffers hold.
const BUFFER: usize = 64 * 1024;

/// yamux reads and writes a frame's head by itself: on a bare socket it is two
/// system calls a frame on either side, and slower in nearly every case.
type Socket = BufReader<BufWriter<Compat<tokio::net::TcpStream>>>;

/// Streams that are open, each with a task on either side.
pub struct Streams {
    streams: Vec<Stream>,
    load: Load,
    carrier: Carrier,
}

impl Streams {
    pub fn open(ends: (TcpStream, TcpStream), load: Load) -> Self {
        let carrier = Carrier::new(ends, load);
        let streams = (0..load.streams)
            .map(|_| carrier.runtime.block_on(carrier.open()))
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
        self.streams = self.carrier.runtime.block_on(async move {
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
pub fn sessions(ends: (TcpStream, TcpStream), count: u64) -> Duration {
    let carrier = Carrier::new(ends, Load::PING);
    let begin = Instant::now();
    carrier.runtime.block_on(async {
        for _ in 0..count {
            let stream = carrier.open().await;
            one_session(stream).await.expect("a whole session");
        }
    });
    begin.elapsed()
}

async fn one_session(mut stream: Stream) -> io::Result<()> {
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
struct Carrier {
    runtime: Runtime,
    wanted: mpsc::UnboundedSender<oneshot::Sender<Stream>>,
    _server: Server,
}

impl Carrier {
    fn new((near, far): (TcpStream, TcpStream), load: Load) -> Self {
        let runtime = runtime();
        let (wanted, orders) = mpsc::unbounded();
        runtime.spawn(drive(near, orders));
        Self {
            runtime,
            wanted,
            _server: Server::start(far, load),
        }
    }

    async fn open(&self) -> Stream {
        let (order, opened) = oneshot::channel();
        self.wanted.unbounded_send(order).expect("a live carrier");
        opened.await.expect("a live carrier")
    }
}

/// The server's thread.
struct Server(Option<JoinHandle<()>>);

impl Server {
    fn start(socket: TcpStream, load: Load) -> Self {
        let side = move || runtime().block_on(serve(socket, load));
        Self(Some(thread::spawn(side)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.take().map(JoinHandle::join);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime")
}

/// Call it inside a runtime.
fn connection(socket: TcpStream, mode: Mode) -> Connection<Socket> {
    socket.set_nonblocking(true).expect("a usable socket");
    let socket = tokio::net::TcpStream::from_std(socket).expect("a usable socket");
    let writer = BufWriter::with_capacity(BUFFER, socket.compat());
    let socket = BufReader::with_capacity(BUFFER, writer);
    Connection::new(socket, Config::default(), mode)
}

/// The client's side of the carrier: opens streams on demand.
async fn drive(socket: TcpStream, mut orders: mpsc::UnboundedReceiver<oneshot::Sender<Stream>>) {
    let mut connection = connection(socket, Mode::Client);
    poll_fn(|cx| {
        take_orders(&mut connection, &mut orders, cx);
        // Drives the connection; the peer opens no streams, so it is ready
        // only at the end.
        connection.poll_next_inbound(cx).map(drop)
    })
    .await;
}

fn take_orders(
    connection: &mut Connection<Socket>,
    orders: &mut mpsc::UnboundedReceiver<oneshot::Sender<Stream>>,
    cx: &mut Context<'_>,
) {
    while let Poll::Ready(Some(order)) = orders.poll_next_unpin(cx) {
        // Pending only beyond 256 streams that the peer has not answered.
        if let Poll::Ready(Ok(stream)) = connection.poll_new_outbound(cx) {
            let _ = order.send(stream);
        }
    }
}

async fn ask(mut stream: Stream, load: Load, rounds: u64) -> Stream {
    let message = vec![0xA5; load.message];
    for _ in 0..rounds {
        let done = round(&mut stream, load, &message).await;
        done.expect("a live carrier");
    }
    stream
}

async fn round(stream: &mut Stream, load: Load, message: &[u8]) -> io::Result<()> {
    for _ in 0..load.messages {
        stream.write_all(message).await?;
    }
    stream.read_exact(&mut [0; 64][..load.reply]).await
}

/// The server's side of the carrier, until that ends.
async fn serve(socket: TcpStream, load: Load) {
    let mut connection = connection(socket, Mode::Server);
    while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        // An error is the carrier's end, which the client's side sees too.
        tokio::spawn(answer(stream, load));
    }
}

async fn answer(mut stream: Stream, load: Load) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    while read_request(&mut stream, &mut buffer, load.request()).await? {
        stream.write_all(&[0x5A; 64][..load.reply]).await?;
    }
    stream.close().await
}

/// Reads one round's bytes; `false` at the end of the stream.
async fn read_request(stream: &mut Stream, buffer: &mut [u8], mut left: usize) -> io::Result<bool> {
    while left > 0 {
        match stream.read(buffer).await? {
            0 => return Ok(false),
            len => left -= len,
        }
    }
    Ok(true)
}
