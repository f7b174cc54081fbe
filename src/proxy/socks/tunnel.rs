//! A datagram link through a SOCKS5 server: every packet carries a header, and
//! the association lives as long as the connection that asked for it.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};

use super::wire;
use crate::buf::Buf;
use crate::link::{Handle, Link, LinkError, ReadResult, Reader, Writer};
use crate::sync::deadline_in;
use crate::transport::stream::Handshake;
use crate::transport::tcp::poll_for;
use crate::transport::udp::{UdpReader, UdpWriter};

/// A link over `halves`, which go to the server's relay; `control` is the
/// association's connection, `header` goes in front of each datagram.
pub(super) fn tunnel(
    (reader, writer): (UdpReader, UdpWriter),
    control: Handshake,
    header: Vec<u8>,
) -> Link {
    let socket = control.connection().socket().clone();
    let Link {
        reader: words,
        writer: kept,
    } = control.finish(None);
    let control = Arc::new(Control {
        kept: Mutex::new(kept),
        end: OnceLock::new(),
    });
    let reader = TunnelReader {
        inner: reader,
        socket,
        words,
        control: control.clone(),
    };
    let writer = TunnelWriter {
        inner: writer,
        control,
        header,
    };
    Link::new(reader, writer)
}

/// The association's connection, open as long as one half of the link is.
struct Control {
    kept: Mutex<Box<dyn Writer>>,
    end: OnceLock<End>,
}

/// The server ends the association with the connection.
impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.kept.get_mut().close();
    }
}

/// How the server ended the association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

/// Delivers the payloads of the server's packets. Their source is not looked
/// at: the association was made for one target.
struct TunnelReader {
    inner: UdpReader,
    /// What the control connection can be waited for by.
    socket: Arc<TcpStream>,
    /// What the server says on it.
    words: Box<dyn Reader>,
    control: Arc<Control>,
}

impl TunnelReader {
    fn read_until(&mut self, deadline: Option<Instant>) -> ReadResult {
        loop {
            match self.control.end.get() {
                Some(End::Orderly) => return Ok(None),
                Some(End::Reset) => return Err(LinkError::Reset),
                None => {}
            }
            match self.inner.try_read() {
                Ok(Some(packet)) => {
                    if let Some(payload) = without_header(packet) {
                        return Ok(Some(payload));
                    }
                }
                Err(LinkError::WouldBlock) => self.wait(deadline)?,
                ended => return ended,
            }
        }
    }

    /// Waits for a packet, or for something on the control connection.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), LinkError> {
        let limit = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut fds = [
            PollFd::new(&self.inner, PollFlags::IN),
            PollFd::new(&*self.socket, PollFlags::IN),
        ];
        if poll_for(&mut fds, limit)? == 0 {
            return Err(LinkError::TimedOut);
        }
        if !fds[1].revents().is_empty() {
            self.drain();
        }
        Ok(())
    }

    /// Throws away what has arrived on the control connection, and notices its
    /// end.
    fn drain(&mut self) {
        let end = match self.words.read_timeout(Duration::ZERO) {
            Ok(Some(_)) | Err(LinkError::TimedOut) => return,
            Ok(None) => End::Orderly,
            Err(_) => End::Reset,
        };
        let _ = self.control.end.set(end);
    }
}

impl Reader for TunnelReader {
    fn read(&mut self) -> ReadResult {
        self.read_until(None)
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        self.read_until(Some(deadline_in(wait)))
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

/// `None` for what is not a packet of a SOCKS5 relay, which is dropped.
fn without_header(mut packet: Buf) -> Option<Buf> {
    let payload = wire::read_datagram(packet.as_slice()).ok()?.payload.len();
    packet.advance(packet.len() - payload);
    Some(packet)
}

struct TunnelWriter {
    inner: UdpWriter,
    control: Arc<Control>,
    header: Vec<u8>,
}

impl TunnelWriter {
    /// Without its control connection the server relays nothing any more.
    fn check(&self) -> Result<(), LinkError> {
        match self.control.end.get() {
            Some(_) => Err(LinkError::Reset),
            None => Ok(()),
        }
    }
}

impl Writer for TunnelWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.check()?;
        for datagram in batch.iter_mut() {
            datagram.prepend(&self.header);
        }
        self.inner.write(batch)
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        self.check()?;
        let mut datagram = Buf::copy_of(data);
        datagram.prepend(&self.header);
        self.inner.try_write(datagram.as_slice())?;
        Ok(data.len())
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
