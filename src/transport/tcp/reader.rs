use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, recv};

use super::socket::{Socket, poll_for};
use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, FRAME_PAYLOAD};
use crate::link::{Handle, Interrupt, LinkError, ReadResult, Reader};

const LITTLE_READ: usize = BUFFER_CLASSES[0];
const SMALL_READ: usize = BUFFER_CLASSES[1];
/// What one frame can carry on.
const LARGE_READ: usize = FRAME_PAYLOAD;
/// A frame with all that carriers put around it.
const LARGEST_READ: usize = BUFFER_CLASSES[4];

/// The receiving half of a TCP connection.
#[derive(Debug)]
pub struct TcpReader {
    pub(super) socket: Arc<Socket>,
    coming: Coming,
    /// How much a large read asks for.
    preferred: usize,
    /// What a handshake has read too much.
    early: Option<Buf>,
}

/// What the last read had, and the next is expected to have. Where much is
/// coming it takes as much as goes in a frame; else it waits with a small buffer,
/// so that an idle connection pins little memory and a small exchange is one
/// call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    Little,
    Some,
    Much,
}

impl Coming {
    /// After `len` bytes have come into a small buffer of `room`.
    fn after(len: usize, room: usize) -> Self {
        match len {
            _ if len == room => Self::Much,
            ..=LITTLE_READ => Self::Little,
            _ => Self::Some,
        }
    }
}

impl TcpReader {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            coming: Coming::Some,
            preferred: LARGE_READ,
            early: None,
        }
    }

    /// Makes `bytes` what the next read delivers.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.early = (!bytes.is_empty()).then(|| Buf::copy_of(bytes));
    }

    /// Waits with a small buffer.
    fn read_small(&mut self) -> Result<Buf, LinkError> {
        self.read_small_with(|stream, room| (&*stream).read(room))
    }

    fn try_read_small(&mut self) -> Result<Buf, LinkError> {
        self.read_small_with(|stream, room| Ok(recv(stream, room, RecvFlags::DONTWAIT)?.0))
    }

    fn read_small_with(
        &mut self,
        read: impl FnOnce(&TcpStream, &mut [u8]) -> io::Result<usize>,
    ) -> Result<Buf, LinkError> {
        let mut buf = Buf::with_capacity(match self.coming {
            Coming::Little => LITTLE_READ,
            _ => SMALL_READ,
        });
        let received = read(&self.socket.stream, buf.spare());
        let len = self.received(received)?;
        self.coming = Coming::after(len, buf.spare().len());
        buf.advance_end(len);
        Ok(buf)
    }

    /// Waits without a buffer, after a call of `idle`.
    fn read_large(&mut self, idle: &mut dyn FnMut()) -> Result<Buf, LinkError> {
        loop {
            match self.try_read_large() {
                Err(LinkError::WouldBlock) => {
                    idle();
                    self.wait_readable(None)?;
                }
                other => return other,
            }
        }
    }

    fn try_read_large(&mut self) -> Result<Buf, LinkError> {
        let mut buf = Buf::with_capacity(self.preferred);
        let room = buf.spare();
        let wanted = room.len().min(self.preferred);
        let flags = RecvFlags::DONTWAIT;
        let received = recv(&*self.socket.stream, &mut room[..wanted], flags).map(|(len, _)| len);
        let len = self.received(received.map_err(io::Error::from))?;
        self.preferred = LARGE_READ;
        self.coming = match len >= wanted.min(SMALL_READ) {
            true => Coming::Much,
            false => Coming::Some, // of which a part may have come before
        };
        buf.advance_end(len);
        Ok(buf)
    }

    /// Returns whether something is there, for a read to find out what.
    fn wait_readable(&self, limit: Option<Duration>) -> Result<bool, LinkError> {
        let mut fds = [PollFd::new(&*self.socket.stream, PollFlags::IN)];
        Ok(poll_for(&mut fds, limit)? > 0)
    }

    fn received(&self, received: io::Result<usize>) -> Result<usize, LinkError> {
        self.socket.check()?;
        match received {
            Ok(_) if self.socket.is_interrupted() => Err(LinkError::Reset),
            Ok(0) if !self.socket.is_orderly_end() => Err(LinkError::Reset),
            Ok(0) => {
                self.socket.read_ended();
                Ok(0)
            }
            Ok(len) => {
                self.socket.activity.touch();
                Ok(len)
            }
            Err(e) => Err(self.socket.failed(e)),
        }
    }
}

impl Reader for TcpReader {
    fn read(&mut self) -> ReadResult {
        self.read_idling(&mut || ())
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        if self.early.is_some() {
            return self.read();
        }
        // What is expected is mostly there already.
        let at_hand = match self.coming {
            Coming::Much => self.try_read_large(),
            _ => self.try_read_small(),
        };
        match at_hand {
            Err(LinkError::WouldBlock) => {}
            other => return other.map(or_end),
        }
        match self.wait_readable(Some(wait))? {
            true => self.read(),
            false => Err(LinkError::TimedOut),
        }
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> ReadResult {
        if let Some(early) = self.early.take() {
            return Ok(Some(early));
        }
        let buf = if self.coming == Coming::Much {
            self.read_large(idle)?
        } else {
            idle();
            self.read_small()?
        };
        Ok(or_end(buf))
    }

    fn prefer(&mut self, len: usize) {
        self.preferred = len.clamp(1, LARGEST_READ);
    }

    fn conclude(&mut self) {
        self.socket.read_ended();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.stream.peer_addr().ok()
    }

    fn handle(&self) -> Handle {
        Arc::new(StopReading(self.socket.clone()))
    }
}

/// A read of nothing is the end.
fn or_end(buf: Buf) -> Option<Buf> {
    (!buf.is_empty()).then_some(buf)
}

/// Makes the reader fail without disturbing the writer.
struct StopReading(Arc<Socket>);

impl Interrupt for StopReading {
    fn interrupt(&self) {
        self.0.interrupt_reading();
    }
}
