//! Visitors that do not read.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::common::visitor::{STEP, enter};

/// The receive buffer of those that never read, in bytes: they are to stall
/// the tunnel, not to fill the system's memory first.
const SMALL: usize = 4096;

/// Their segment size, in bytes: that of Ethernet. With loopback's, the system
/// gives the other end a send buffer of megabytes, which no visitor from
/// outside has and which hides whatever an answer of one megabyte does.
const SEGMENT: u32 = 1460;

/// Bytes of one read of a visitor that leaves.
const PIECE: usize = 16 * 1024;

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

/// Visitors that leave in the middle of the answer, all at once. Each reads
/// until the last has read so many bytes: none holds up the others.
pub fn come_and_go(door: SocketAddr, count: usize, bytes: u64) -> io::Result<()> {
    let visitors: Vec<TcpStream> = (0..count).map(|_| enter(door)).collect::<io::Result<_>>()?;
    let late = AtomicUsize::new(count);
    thread::scope(|threads| {
        let readers: Vec<_> = visitors
            .iter()
            .map(|visitor| threads.spawn(|| read_until_none_is_late(visitor, bytes, &late)))
            .collect();
        readers
            .into_iter()
            .try_for_each(|reader| reader.join().expect("reader"))
    })
}

fn read_until_none_is_late(
    mut visitor: &TcpStream,
    bytes: u64,
    late: &AtomicUsize,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let (mut came, mut is_late) = (0, true);
    while late.load(Ordering::Relaxed) > 0 {
        match visitor.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => came += count as u64,
        }
        if is_late && came >= bytes {
            is_late = false;
            late.fetch_sub(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn enter_with_small_buffer(door: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(door), Type::STREAM, None)?;
    socket.set_recv_buffer_size(SMALL)?;
    socket.set_tcp_mss(SEGMENT)?;
    socket.connect_timeout(&door.into(), STEP)?;
    Ok(socket.into())
}
