//! Sockets whose peers must be done by a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::sync::deadline_in;

/// A socket that can be read and written until then. Whoever is late meets
/// [`ErrorKind::TimedOut`].
pub(super) struct Timed<'a, S> {
    stream: &'a S,
    deadline: Instant,
}

/// A socket whose calls can be made to end.
pub(super) trait Times {
    fn bound_reads(&self, limit: Duration) -> io::Result<()>;
    fn bound_writes(&self, limit: Duration) -> io::Result<()>;
}

impl<'a, S: Times> Timed<'a, S> {
    pub(super) fn new(stream: &'a S, limit: Duration) -> Self {
        Self {
            stream,
            deadline: deadline_in(limit),
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}

impl<'a, S: Times> Read for Timed<'a, S>
where
    &'a S: Read,
{
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.bound_reads(self.left()?)?;
        let mut stream = self.stream;
        stream.read(into).map_err(late)
    }
}

impl<'a, S: Times> Write for Timed<'a, S>
where
    &'a S: Write,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.bound_writes(self.left()?)?;
        let mut stream = self.stream;
        stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Times for UnixStream {
    fn bound_reads(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn bound_writes(&self, limit: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(limit))
    }
}

impl Times for TcpStream {
    fn bound_reads(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn bound_writes(&self, limit: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(limit))
    }
}

/// A call that ended for want of time says that it would have to wait.
fn late(e: io::Error) -> io::Error {
    match e.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => e,
    }
}
