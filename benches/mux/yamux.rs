//! The `yamux` crate, libp2p's.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::io::{BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use crate::theirs::{Library, Orders};

/// Bytes that a socket's buffers hold.
const BUFFER: usize = 64 * 1024;

/// yamux reads and writes a frame's head by itself: on a bare socket it is two
/// system calls a frame on either side, and slower in nearly every case.
type Socket = BufReader<BufWriter<Compat<TcpStream>>>;

pub struct Yamux;

impl Library for Yamux {
    type Stream = Stream;

    async fn drive(socket: TcpStream, mut orders: Orders<Stream>) {
        let mut connection = connection(socket, Mode::Client);
        poll_fn(|cx| {
            take_orders(&mut connection, &mut orders, cx);
            // Drives the connection; the peer opens no streams, so it is ready
            // only at the end.
            connection.poll_next_inbound(cx).map(drop)
        })
        .await;
    }

    async fn accept(socket: TcpStream, mut take: impl FnMut(Stream)) {
        let mut connection = connection(socket, Mode::Server);
        while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
            take(stream);
        }
    }
}

fn connection(socket: TcpStream, mode: Mode) -> Connection<Socket> {
    let writer = BufWriter::with_capacity(BUFFER, socket.compat());
    let socket = BufReader::with_capacity(BUFFER, writer);
    Connection::new(socket, Config::default(), mode)
}

fn take_orders(
    connection: &mut Connection<Socket>,
    orders: &mut Orders<Stream>,
    cx: &mut Context<'_>,
) {
    while let Poll::Ready(Some(order)) = orders.poll_next_unpin(cx) {
        // Pending only beyond 256 streams that the peer has not answered.
        if let Poll::Ready(Ok(stream)) = connection.poll_new_outbound(cx) {
            let _ = order.send(stream);
        }
    }
}
