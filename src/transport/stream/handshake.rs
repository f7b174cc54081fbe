use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::time::{Duration, Instant};

use super::Connection;
use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, MAX_HANDSHAKE};
use crate::link::{Ahead, Link};
use crate::transport::tcp::{Idle, Negotiation};

/// Bytes that a handshake writes at once.
const WRITE_SIZE: usize = BUFFER_CLASSES[3];

/// A connection while its peers still negotiate: buffered reads and plain
/// writes, all of them before the connection's deadline.
///
/// Reading past the deadline gives [`io::ErrorKind::TimedOut`], past the end
/// of the stream [`io::ErrorKind::UnexpectedEof`] from `read_exact`, and more
/// than [`MAX_HANDSHAKE`] bytes [`io::ErrorKind::InvalidData`].
pub struct Handshake {
    connection: Connection,
    ahead: Option<Buf>,
    /// Bytes that the peer's part of the negotiation may still have.
    left: usize,
}

impl Handshake {
    /// The negotiation on `connection`.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            ahead: None,
            left: MAX_HANDSHAKE,
        }
    }

    /// What is negotiated on.
    pub fn connection(&self) -> &Connection {
        &self.connection
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

    /// What has arrived and not been asked for.
    pub fn buffered(&self) -> &[u8] {
        self.ahead.as_ref().map_or(&[], Buf::as_slice)
    }

    /// Ends the negotiation: the deadline is lifted, and what was read too
    /// much is the first thing that the link delivers.
    pub fn finish(self, idle: Option<&Idle>) -> Link {
        self.hand_over(idle).0
    }

    /// As [`finish`](Self::finish), where the negotiation goes on by other
    /// means: it is over when what is returned beside the link is dropped.
    pub fn hand_over(self, idle: Option<&Idle>) -> (Link, Negotiation) {
        let (link, negotiation) = self.connection.hand_over(idle);
        let reader = Ahead::of(self.ahead, link.reader);
        (Link { reader, ..link }, negotiation)
    }

    fn time_left(&self) -> io::Result<Duration> {
        let deadline = self.connection.deadline();
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// Not what was read: passwords are among it.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("connection", &self.connection)
            .field("buffered", &self.buffered().len())
            .finish_non_exhaustive()
    }
}

fn too_long() -> io::Error {
    let what = format!("handshake of more than {MAX_HANDSHAKE} bytes");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl BufRead for Handshake {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(too_long());
        }
        while self.buffered().is_empty() {
            let wait = self.time_left()?;
            match self.connection.reader().read_timeout(wait)? {
                None => break,
                some => self.ahead = some,
            }
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, len: usize) {
        self.left = self.left.saturating_sub(len);
        if let Some(ahead) = &mut self.ahead {
            ahead.advance(len);
        }
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
        let piece = &data[..data.len().min(WRITE_SIZE)];
        let mut batch = [Buf::copy_of(piece)].into();
        self.connection.writer().write(&mut batch)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.connection.writer().flush()?)
    }
}
