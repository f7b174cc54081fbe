use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Idle, Negotiation, TcpReader, TcpWriter, Visitor, split};
use crate::limits::MAX_HANDSHAKE;

/// Bytes that a handshake reads at once.
const READ_SIZE: usize = 2_048;

/// A connection while its peers still negotiate: buffered reads and plain
/// writes, all of them before one deadline.
///
/// Reading past the deadline gives [`io::ErrorKind::TimedOut`], past the end
/// of the stream [`io::ErrorKind::UnexpectedEof`] from `read_exact`, and more
/// than [`MAX_HANDSHAKE`] bytes [`io::ErrorKind::InvalidData`].
pub struct Handshake {
    stream: Arc<TcpStream>,
    deadline: Instant,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes that the peer's part of the negotiation may still have.
    left: usize,
    negotiation: Negotiation,
}

impl Handshake {
    /// A negotiation on `stream` that may take `limit` from now.
    pub fn new(stream: Arc<TcpStream>, limit: Duration) -> Self {
        Self {
            stream,
            deadline: Instant::now() + limit,
            buffer: vec![0; READ_SIZE].into(),
            start: 0,
            end: 0,
            left: MAX_HANDSHAKE,
            negotiation: Negotiation::default(),
        }
    }

    /// The same with a listener's visitor, who is in his handshake as long as
    /// this lasts.
    pub fn with_visitor(visitor: Visitor, limit: Duration) -> Self {
        Self {
            negotiation: visitor.negotiation,
            ..Self::new(visitor.stream, limit)
        }
    }

    /// The local address of the connection.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// One byte.
    ///
    /// # Errors
    /// As `read_exact`.
    pub fn u8(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// `N` bytes by value.
    ///
    /// # Errors
    /// As `read_exact`.
    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// `len` bytes.
    ///
    /// # Errors
    /// As `read_exact`.
    pub fn bytes(&mut self, len: u8) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(len)];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// What has been read from the socket and not been asked for.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Ends the negotiation: the deadline is lifted, and what was read too
    /// much is the first thing that the link delivers.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(self, idle: Option<&Idle>) -> io::Result<(TcpReader, TcpWriter)> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        let (mut reader, writer) = split(self.stream.clone(), idle);
        reader.unread(self.buffered());
        Ok((reader, writer))
    }

    /// As [`finish`](Self::finish), where the negotiation goes on by other
    /// means: it is over when what is returned beside the halves is dropped.
    ///
    /// # Errors
    /// What the system says.
    pub fn hand_over(
        mut self,
        idle: Option<&Idle>,
    ) -> io::Result<(TcpReader, TcpWriter, Negotiation)> {
        let negotiation = std::mem::take(&mut self.negotiation);
        let (reader, writer) = self.finish(idle)?;
        Ok((reader, writer, negotiation))
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out());
        }
        Ok(left)
    }
}

/// Not what was read: passwords are among it.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("stream", &self.stream)
            .field("buffered", &self.buffered().len())
            .finish_non_exhaustive()
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "handshake took too long")
}

fn too_long() -> io::Error {
    let what = format!("handshake of more than {MAX_HANDSHAKE} bytes");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The system calls a timeout "would block".
fn name_timeout(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::WouldBlock => timed_out(),
        _ => e,
    }
}

impl BufRead for Handshake {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(too_long());
        }
        if self.start == self.end {
            self.stream.set_read_timeout(Some(self.time_left()?))?;
            self.start = 0;
            self.end = 0;
            self.end = (&*self.stream)
                .read(&mut self.buffer)
                .map_err(name_timeout)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, len: usize) {
        self.left = self.left.saturating_sub(len);
        self.start = (self.start + len).min(self.end);
    }
}

impl Read for Handshake {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(out)?;
        self.consume(len);
        Ok(len)
    }
}

impl Write for Handshake {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        (&*self.stream).write(data).map_err(name_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
