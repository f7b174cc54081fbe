//! Links: what every part of the program hands to the next. A link has a
//! reader and a writer half; they may be a socket's own, a pipe's, or wrap
//! others to speak a protocol. A reader that wraps another is a [`Layer`].
//!
//! The two ends of a direction are kept apart everywhere: `Ok(None)` from a
//! reader and [`Writer::close`] are the orderly end, an error and
//! [`Writer::abort`] are not. Nothing turns one into the other.

mod ahead;
mod boxed;
mod dispatch;
mod error;
mod layer;
mod nowhere;
mod pipes;
mod relay;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use ahead::Ahead;
pub use dispatch::{Access, DispatchError, Dispatcher, Health, Outbound, Request};
pub use error::LinkError;
pub use layer::Layer;
pub use nowhere::Nowhere;
pub use pipes::{PipeLinkReader, PipeLinkWriter, pair};
pub use relay::{copy, relay};

use crate::buf::Buf;
use crate::pipe::Wake;
use crate::sync::Done;

/// Makes a blocked read or write of a link's half fail, from any thread.
pub trait Interrupt: Send + Sync {
    /// Does so, for good; what has not been read or written is dropped.
    fn interrupt(&self);
}

/// Shared by those who may have to interrupt.
pub type Handle = Arc<dyn Interrupt>;

/// What a read comes to; `Ok(None)` is the orderly end.
pub type ReadResult = Result<Option<Buf>, LinkError>;

/// The half of a link that delivers.
///
/// On a link for datagrams every buffer is one datagram.
pub trait Reader: Send {
    /// Waits for data; `None` is the orderly end.
    fn read(&mut self) -> ReadResult;

    /// As [`read`](Self::read), for `wait` at the most:
    /// [`LinkError::TimedOut`] then, and the link stays usable.
    fn read_timeout(&mut self, wait: Duration) -> ReadResult;

    /// As [`read`](Self::read), but calls `idle` before it waits. A reader that
    /// does not know whether it will have to wait calls it in any case.
    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> ReadResult {
        idle();
        self.read()
    }

    /// Says that the next read should rather not deliver more than `len`
    /// bytes, for what follows them goes elsewhere. A reader may ignore it.
    fn prefer(&mut self, _len: usize) {}

    /// Says that an end came within what this half delivers, so that nobody
    /// reads on although the connection goes on. Who waits for the connection's
    /// own end to shorten an idle time does so now.
    fn conclude(&mut self) {}

    /// The address at the other end of the connection that this half is of, or
    /// is layered on; `None` if it is of none.
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    /// Interrupts this half: a read that waits fails. The other half of the
    /// link may go on, if it does not depend on this one.
    fn handle(&self) -> Handle;

    /// Offers this half's data to `sink` without a thread in between: who
    /// produces it writes it into the sink, flushes the sink when there is
    /// nothing yet, interrupts `other` if this direction fails, and signals
    /// the returned event when it has ended, orderly or not. A reader that
    /// cannot do so, as most, gives the sink back.
    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        _other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        Err(sink)
    }
}

/// The half of a link that takes.
///
/// Dropping a writer that was neither closed nor aborted aborts it.
pub trait Writer: Send {
    /// Writes all of `batch`, in order, waiting as long as it takes. On a link
    /// for datagrams every buffer is one datagram.
    ///
    /// After an error `batch` holds what was not written, as far as it is known.
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError>;

    /// Writes as much of `data` as is possible without waiting and says how
    /// much that was; a datagram is written whole or not at all.
    /// [`LinkError::WouldBlock`] when it is nothing, which is also the answer
    /// of writers that can only wait.
    fn try_write(&mut self, _data: &[u8]) -> Result<usize, LinkError> {
        Err(LinkError::WouldBlock)
    }

    /// As [`try_write`](Self::try_write), but a thread that waits for what is
    /// written may sleep on until what is returned is dropped.
    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        Ok((self.try_write(data)?, Wake::default()))
    }

    /// As [`try_write`](Self::try_write), for a batch: what is left in it has
    /// not been written.
    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        try_write_each(self, batch)
    }

    /// As [`try_write_batch`](Self::try_write_batch), but what is taken need not
    /// have left: who encrypts cannot take it back. Returns whether it has; if
    /// not, the next [`write`](Self::write) sends it first, even one of nothing,
    /// and has to follow.
    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        self.try_write_batch(batch)?;
        Ok(true)
    }

    /// As [`try_write`](Self::try_write), for pieces that follow each other.
    /// [`LinkError::WouldBlock`] also from writers that would have to copy
    /// them: a batch is better then.
    fn try_write_pieces(&mut self, _pieces: &[&[u8]]) -> Result<usize, LinkError> {
        Err(LinkError::WouldBlock)
    }

    /// Takes all of `buf` without waiting, and keeps the buffer. A writer that
    /// cannot, or would copy it, gives it back:
    /// [`try_write`](Self::try_write) says more then. A thread that waits for
    /// it is woken when what is returned is dropped.
    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        Err(buf)
    }

    /// Asks to let little wait in the system, for something urgent may follow
    /// what is written. A writer may ignore it.
    fn hold_little(&mut self) {}

    /// Sends what is held back for the first payload, such as a header.
    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(())
    }

    /// Ends this direction in an orderly way: what was written arrives, and
    /// then the end.
    fn close(&mut self) -> Result<(), LinkError>;

    /// Ends this direction so that the other side sees an error, not an end.
    fn abort(&mut self);

    /// Interrupts this half: a write that waits fails, and the other side
    /// sees an error. On a socket the reading half ends with it.
    fn handle(&self) -> Handle;
}

/// What a writer does with a batch that it has no better way for: one
/// [`Writer::try_write`] for each buffer.
///
/// # Errors
/// As `try_write`, except that it is no error to have written nothing.
pub fn try_write_each(
    writer: &mut (impl Writer + ?Sized),
    batch: &mut VecDeque<Buf>,
) -> Result<(), LinkError> {
    while let Some(front) = batch.front_mut() {
        match writer.try_write(front.as_slice()) {
            Ok(len) if len == front.len() => drop(batch.pop_front()),
            Ok(len) => front.advance(len),
            Err(LinkError::WouldBlock) => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Both halves.
pub struct Link {
    /// What comes from the other side.
    pub reader: Box<dyn Reader>,
    /// What goes to it.
    pub writer: Box<dyn Writer>,
}

impl Link {
    /// A link of two halves.
    pub fn new(reader: impl Reader + 'static, writer: impl Writer + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            writer: Box::new(writer),
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}
