use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use socket2::SockRef;

use super::cut::{is_cut, promise_end};
use super::socket::{Socket, poll_for};
use crate::buf::{Buf, drop_front};
use crate::limits::{STALLED_WRITE_CHECK, UNSENT};
use crate::link::{Handle, Interrupt, LinkError, Writer};

/// Most buffers in one vectored write.
const MAX_SLICES: usize = 64;

/// How everything is sent.
const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// The sending half of a TCP connection.
#[derive(Debug)]
pub struct TcpWriter {
    socket: Arc<Socket>,
    closed: bool,
    /// The peer has ended its direction, so that a hang-up tells nothing new.
    read_side_gone: bool,
}

impl TcpWriter {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            closed: false,
            read_side_gone: false,
        }
    }

    fn send_some<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Result<usize, LinkError> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        let mut control = SendAncillaryBuffer::default();
        self.socket
            .sending(|stream| Ok(sendmsg(stream, &slices[..used], &mut control, AT_ONCE)?))
    }

    /// Waits until the socket takes data or was reset from elsewhere.
    ///
    /// Not by a write that blocks in the system: where a [cut](super::cut::cut)
    /// falls back to the read side, only a `poll` is woken, by the hang-up. Once
    /// the peer has ended its own direction the hang-up is always there: then the
    /// flag is looked at in intervals instead.
    fn wait_writable(&mut self) -> Result<(), LinkError> {
        loop {
            let hang_up = match self.read_side_gone {
                true => PollFlags::empty(),
                false => PollFlags::RDHUP,
            };
            let interval = self.read_side_gone.then_some(STALLED_WRITE_CHECK);
            let limits = [interval, self.socket.time_left()?];
            let limit = limits.into_iter().flatten().min();
            let mut fds = [PollFd::new(&*self.socket.stream, PollFlags::OUT | hang_up)];
            poll_for(&mut fds, limit)?;
            let ready = fds[0].revents();
            self.socket.check()?;
            if ready.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP) {
                return Ok(());
            }
            if is_cut(&self.socket.stream) {
                return Err(LinkError::Reset);
            }
            self.read_side_gone |= ready.contains(PollFlags::RDHUP);
        }
    }
}

impl Writer for TcpWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        while !batch.is_empty() {
            match self.send_some(batch.iter().map(Buf::as_slice)) {
                Ok(sent) => drop_front(batch, sent),
                Err(LinkError::WouldBlock) => self.wait_writable()?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        self.socket
            .sending(|stream| Ok(send(stream, data, AT_ONCE)?))
    }

    fn try_write_pieces(&mut self, pieces: &[&[u8]]) -> Result<usize, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        self.send_some(pieces.iter().copied())
    }

    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        while !batch.is_empty() {
            match self.send_some(batch.iter().map(Buf::as_slice)) {
                Ok(sent) => drop_front(batch, sent),
                Err(LinkError::WouldBlock) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn hold_little(&mut self) {
        // Without it what is urgent comes later, and nothing else.
        let _ = SockRef::from(&*self.socket.stream).set_tcp_notsent_lowat(UNSENT);
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        self.socket.check()?;
        self.socket.activity.end_write();
        self.socket.direction_ended();
        promise_end(&self.socket.stream)?;
        match self.socket.stream.shutdown(Shutdown::Write) {
            // The peer has closed already: it wants nothing more.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => Ok(other?),
        }
    }

    fn abort(&mut self) {
        self.socket.reset();
    }

    fn handle(&self) -> Handle {
        Arc::new(Reset(self.socket.clone()))
    }
}

/// Before the negotiation is over nothing is missing: then it is an end.
impl Drop for TcpWriter {
    fn drop(&mut self) {
        if !self.closed && self.socket.is_settled() {
            self.socket.reset();
        }
    }
}

struct Reset(Arc<Socket>);

impl Interrupt for Reset {
    fn interrupt(&self) {
        self.0.reset();
    }
}
