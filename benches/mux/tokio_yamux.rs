//! The `tokio-yamux` crate: the multiplexer of the tentacle network framework.

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_yamux::{Config, Session, StreamHandle};

use crate::theirs::{Library, Orders};

/// On a bare socket, as in its own examples: it has buffers of its own.
pub struct TokioYamux;

impl Library for TokioYamux {
    type Stream = Compat<StreamHandle>;

    async fn drive(socket: TcpStream, mut orders: Orders<Self::Stream>) {
        let mut session = Session::new_client(socket, Config::default());
        let mut control = session.control();
        // Drives the session; the peer opens no streams.
        tokio::spawn(async move { while session.next().await.is_some() {} });
        while let Some(order) = orders.next().await {
            if let Ok(stream) = control.open_stream().await {
                let _ = order.send(stream.compat());
            }
        }
    }

    async fn accept(socket: TcpStream, mut take: impl FnMut(Self::Stream)) {
        let mut session = Session::new_server(socket, Config::default());
        while let Some(Ok(stream)) = session.next().await {
            take(stream.compat());
        }
    }
}
