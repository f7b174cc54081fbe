//! Visitors that do not read.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::support::client::Entry;

/// Bound of a visitor's every step.
pub const STEP: Duration = Duration::from_secs(5);

/// The receive buffer of those that never read, in bytes: they are to stall
/// the tunnel, not to fill the system's memory first.
const SMALL: usize = 4096;

/// Their segment size, in bytes: that of Ethernet. With loopback's, the system
/// gives the other end a send buffer of megabytes, which no visitor from
/// outside has and which hides whatever an answer of one megabyte does.
const SEGMENT: u32 = 1460;

pub fn enter(door: SocketAddr) -> io::Result<TcpStream> {
    Entry::Door(door).connect_within(STEP)
}

/// How long a reset may take on loopback.
const ANSWER: Duration = Duration::from_millis(100);

/// Visitors that stay and never read.
pub struct Stalled(Vec<TcpStream>);

impl Stalled {
    pub fn enter(door: SocketAddr, count: usize) -> io::Result<Self> {
        let visitors = (0..count).map(|_| enter_with_small_buffer(door));
        visitors.collect::<io::Result<_>>().map(Self)
    }

    /// How many the tunnel has given up. Each says a byte, so that the system
    /// answers by a reset for a connection that is no more, and reads nothing
    /// even now.
    pub fn given_up(&self) -> usize {
        let refused = || self.0.iter().filter(|visitor| poke(visitor).is_err());
        refused().for_each(drop);
        thread::sleep(ANSWER);
        refused().count()
    }
}

fn poke(mut visitor: &TcpStream) -> io::Result<()> {
    visitor.write(&[0]).map(drop)
}

/// Visitors that read a little and leave in the middle of the answer, which
/// the system tells the tunnel by a reset.
pub fn come_and_go(door: SocketAddr, count: usize, read: usize) -> io::Result<()> {
    let visitors: Vec<TcpStream> = (0..count).map(|_| enter(door)).collect::<io::Result<_>>()?;
    for mut visitor in &visitors {
        visitor.read_exact(&mut vec![0; read])?;
        wait_for_unread(visitor)?;
    }
    Ok(())
}

fn wait_for_unread(visitor: &TcpStream) -> io::Result<()> {
    match visitor.peek(&mut [0])? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn enter_with_small_buffer(door: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(door), Type::STREAM, None)?;
    socket.set_recv_buffer_size(SMALL)?;
    socket.set_tcp_mss(SEGMENT)?;
    socket.connect_timeout(&door.into(), STEP)?;
    Ok(socket.into())
}
