//! Sessions for applications: a stream shaped like
//! [`TcpStream`](std::net::TcpStream).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use super::MuxError;
use super::session::Session;
use crate::buf::Buf;
use crate::limits::SESSION_PIPE;
use crate::link::{Handle, LinkError, Nowhere, PipeLinkWriter, Writer};
use crate::net::{Destination, Network};
use crate::pipe::{PipeError, PipeReader, Wake, pipe};
use crate::sync::shim::Mutex;
use crate::sync::shim::atomic::{AtomicBool, Ordering};

/// One session of a carrier.
///
/// Reads and writes block, or fail with [`io::ErrorKind::TimedOut`] after the
/// timeouts that are set. It can be used from several threads at once, through
/// [`try_clone`](Self::try_clone) or by reference. The ways in which it ends
/// can be told apart:
///
/// | what happened | `read` | `write` |
/// |---|---|---|
/// | the peer ended its direction | `Ok(0)` once all is read | goes on |
/// | this side ended its own | goes on | [`BrokenPipe`](io::ErrorKind::BrokenPipe) |
/// | the peer reset the session | [`ConnectionReset`](io::ErrorKind::ConnectionReset) | the same |
/// | the carrier was lost, or this side [aborted](Self::abort) the session | [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) | the same |
///
/// On a session for datagrams each write sends one and each read returns one,
/// cut to the buffer's size; use [`send`](Self::send) and
/// [`recv`](Self::recv), which can also handle empty ones.
///
/// Dropping the last clone ends the session: what was written is still
/// delivered, what arrives is not wanted any more.
pub struct MuxStream {
    shared: Arc<Shared>,
}

struct Shared {
    session: Arc<Session>,
    incoming: PipeReader,
    /// The rest of a buffer that was read in part.
    rest: Mutex<Option<Buf>>,
    read_timeout: Mutex<Option<Duration>>,
    write_timeout: Mutex<Option<Duration>>,
    read_shut: Arc<AtomicBool>,
    write_shut: AtomicBool,
}

impl MuxStream {
    pub(super) fn new(session: Arc<Session>) -> Self {
        let read_shut = Arc::new(AtomicBool::new(false));
        let (incoming, writer) = pipe(SESSION_PIPE);
        let sink = Sink {
            inner: PipeLinkWriter::new(writer),
            read_shut: read_shut.clone(),
        };
        // The application notices by itself when the session has ended.
        session.attach(Box::new(sink), Nowhere::handle());
        Self {
            shared: Arc::new(Shared {
                session,
                incoming,
                rest: Mutex::new(None),
                read_timeout: Mutex::new(None),
                write_timeout: Mutex::new(None),
                read_shut,
                write_shut: AtomicBool::new(false),
            }),
        }
    }

    /// The target that the session was opened for.
    pub fn peer(&self) -> &Destination {
        self.shared.session.target()
    }

    /// The session's id on its carrier.
    pub fn id(&self) -> u16 {
        self.shared.session.id()
    }

    /// Another handle to the same session.
    ///
    /// # Errors
    /// None today; the signature is that of the standard library.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            shared: self.shared.clone(),
        })
    }

    /// How long a read may wait; `None`, the default, for ever. Holds for all
    /// clones.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        check_timeout(timeout)?;
        *self.shared.read_timeout.lock() = timeout;
        Ok(())
    }

    /// How long a write may wait; `None`, the default, for ever. Holds for all
    /// clones.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        check_timeout(timeout)?;
        *self.shared.write_timeout.lock() = timeout;
        Ok(())
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    pub fn read_timeout(&self) -> Option<Duration> {
        *self.shared.read_timeout.lock()
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    pub fn write_timeout(&self) -> Option<Duration> {
        *self.shared.write_timeout.lock()
    }

    /// Ends a direction, or both. After `Write` the peer sees the end of the
    /// stream behind what was written, and its answer can still be read; after
    /// `Read` reads return `Ok(0)`.
    ///
    /// # Errors
    /// As a write.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.shared.read_shut.store(true, Ordering::SeqCst);
            self.shared.incoming.interrupt();
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.shared.write_shut.store(true, Ordering::SeqCst);
            let ended = self.shared.session.end_local();
            ended.map_err(|_| self.shared.failure())?;
        }
        Ok(())
    }

    /// Ends both directions at once and with an error, which the peer's reads and
    /// writes tell as a reset, as a socket's do that is closed with a linger of
    /// zero. To refuse a session, or to say that what was sent of it is not all:
    /// dropping it is an orderly end. What the peer has ended already stays as
    /// it is.
    pub fn abort(&self) {
        self.shared.session.fail();
    }

    /// Sends one datagram, which may be empty; one larger than the peer takes
    /// (2048 bytes) is dropped, as UDP may. On a stream: sends all of `data`.
    ///
    /// # Errors
    /// As a write. Of a stream some of `data` may have been sent then; use a
    /// write to know how much.
    pub fn send(&self, data: &[u8]) -> io::Result<()> {
        match self.network() {
            Network::Udp => self.shared.send_datagram(data),
            Network::Tcp => self.shared.send_all(data),
        }
    }

    /// Waits for the next datagram, or piece of the stream. `None` is the end.
    ///
    /// # Errors
    /// As a read.
    pub fn recv(&self) -> io::Result<Option<Buf>> {
        let rest = self.shared.rest.lock().take();
        match rest {
            Some(buf) => Ok(Some(buf)),
            None => self.shared.next_buf(),
        }
    }

    fn network(&self) -> Network {
        self.shared.session.network()
    }
}

/// Puts what arrives into the stream's pipe, until the application has shut
/// down reading: then it goes nowhere, and the session lives on.
struct Sink {
    inner: PipeLinkWriter,
    read_shut: Arc<AtomicBool>,
}

impl Sink {
    fn unless_shut<T>(&self, result: Result<T, LinkError>, instead: T) -> Result<T, LinkError> {
        match self.read_shut.load(Ordering::SeqCst) {
            true => Ok(instead),
            false => result,
        }
    }
}

impl Writer for Sink {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let written = self.inner.write(batch);
        batch.clear();
        self.unless_shut(written, ())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let written = self.inner.try_write(data);
        self.unless_shut(written, data.len())
    }

    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        let written = self.inner.try_write_quietly(data);
        self.unless_shut(written, (data.len(), Wake::default()))
    }

    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        self.inner.try_keep(buf)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

fn check_timeout(timeout: Option<Duration>) -> io::Result<()> {
    match timeout {
        Some(Duration::ZERO) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero would never wait",
        )),
        _ => Ok(()),
    }
}

impl Shared {
    fn next_buf(&self) -> io::Result<Option<Buf>> {
        let timeout = *self.read_timeout.lock();
        let read = match timeout {
            Some(limit) => self.incoming.read_timeout(limit),
            None => self.incoming.read(),
        };
        match read {
            Ok(buf) => Ok(buf),
            Err(PipeError::TimedOut) => Err(io::ErrorKind::TimedOut.into()),
            Err(_) if self.read_shut.load(Ordering::SeqCst) => Ok(None),
            Err(_) => Err(self.failure()),
        }
    }

    fn send_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let len = self.send_some(data)?;
            data = data.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    fn send_some(&self, data: &[u8]) -> io::Result<usize> {
        self.sending(|timeout| self.session.send_some(data, timeout))
    }

    fn send_datagram(&self, data: &[u8]) -> io::Result<()> {
        self.sending(|timeout| self.session.send_datagram(Buf::copy_of(data), timeout))
    }

    fn sending<T>(
        &self,
        send: impl FnOnce(Option<Duration>) -> Result<T, LinkError>,
    ) -> io::Result<T> {
        if self.write_shut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let timeout = *self.write_timeout.lock();
        send(timeout).map_err(|e| match e {
            LinkError::TimedOut => io::ErrorKind::TimedOut.into(),
            _ => self.failure(),
        })
    }

    /// What ended the session, as the standard library would say it.
    fn failure(&self) -> io::Error {
        match self.session.failure() {
            Some(failure) => MuxError::from(failure).into(),
            // The peer wants nothing more, and said so in an orderly way.
            None => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Behind what was written, and at once, for no answer is waited for.
        let _ = self.session.end_local();
        self.session.send_due_end();
        // Nobody reads what still arrives, whether reading was shut down or
        // not: the session says so to a peer that goes on sending.
        self.read_shut.store(false, Ordering::SeqCst);
        self.incoming.interrupt();
    }
}

impl Read for &MuxStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let Some(mut buf) = self.recv()? else {
            return Ok(0);
        };
        let len = buf.as_slice().read(out)?;
        buf.advance(len);
        if self.network() == Network::Tcp && !buf.is_empty() {
            *self.shared.rest.lock() = Some(buf);
        }
        Ok(len)
    }
}

impl Write for &MuxStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.network() {
            Network::Tcp => self.shared.send_some(data),
            Network::Udp => self.shared.send_datagram(data).map(|()| data.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for MuxStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        (&*self).read(out)
    }
}

impl Write for MuxStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for MuxStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MuxStream")
            .field("session", &self.shared.session.name())
            .field("peer", self.peer())
            .finish()
    }
}
