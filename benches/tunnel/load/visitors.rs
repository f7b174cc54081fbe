//! Many visitors who stay.

use std::{
    io,
    net::{SocketAddr, TcpStream},
};

use socket2::{Domain, Socket, Type};

use crate::{common::visitor::STEP, support::client};

/// Bytes each way of the exchange that shows that a visitor is served.
pub const SIZE: usize = 64;

/// Receive buffer in bytes, for the reason of [`super::crowd`]'s.
const RECEIVE_BUFFER: usize = 128 * 1024;

/// Connections to a [`super::crowd::Crowd`], each of which has been answered.
pub struct Visitors(Vec<TcpStream>);

impl Visitors {
    pub fn enter(door: SocketAddr, count: usize) -> io::Result<Self> {
        let visitors = (0..count).map(|_| enter(door));
        visitors.collect::<io::Result<_>>().map(Self)
    }

    pub fn into_streams(self) -> Vec<TcpStream> {
        self.0
    }
}

fn enter(door: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(door), Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.connect_timeout(&door.into(), STEP)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))?;
    client::echo(&mut stream, &[1; SIZE])?;
    Ok(stream)
}
