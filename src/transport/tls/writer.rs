use std::collections::VecDeque;
use std::sync::Arc;

use super::session::Session;
use crate::buf::{Buf, drop_front};
use crate::limits::TLS_RECORDS_AT_ONCE;
use crate::link::{Handle, LinkError, Writer};

/// The half that encrypts.
pub(super) struct TlsWriter {
    inner: Box<dyn Writer>,
    session: Arc<Session>,
    /// What is encrypted has to be sent, before anything else.
    sealed: VecDeque<Buf>,
    closed: bool,
}

impl TlsWriter {
    pub(super) fn new(inner: Box<dyn Writer>, session: Arc<Session>) -> Self {
        Self {
            inner,
            session,
            sealed: VecDeque::new(),
            closed: false,
        }
    }

    /// Encrypts the first records of the batch.
    fn seal(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        for _ in 0..TLS_RECORDS_AT_ONCE {
            let len = self.session.seal_piece(batch, &mut self.sealed)?;
            drop_front(batch, len);
            if batch.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether all that is encrypted has left.
    fn start_send(&mut self) -> Result<bool, LinkError> {
        Ok(self.inner.start_write(&mut self.sealed)? && self.sealed.is_empty())
    }

    fn send(&mut self) -> Result<(), LinkError> {
        self.inner.write(&mut self.sealed)
    }
}

impl Writer for TlsWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        self.send()?;
        while !batch.is_empty() {
            self.seal(batch)?;
            self.send()?;
        }
        Ok(())
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        let mut has_left = self.start_send()?;
        while has_left && !batch.is_empty() {
            self.seal(batch)?;
            has_left = self.start_send()?;
        }
        Ok(has_left)
    }

    fn hold_little(&mut self) {
        self.inner.hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        if !self.closed {
            self.session.seal_rest(&mut self.sealed)?;
            self.send()?;
        }
        self.inner.flush()
    }

    /// The peer may be gone as soon as it knows that nothing follows: then
    /// there is no link below to be closed.
    fn close(&mut self) -> Result<(), LinkError> {
        if !self.closed {
            self.closed = true;
            self.session.seal_end(&mut self.sealed)?;
            self.send()?;
            let _ = self.inner.close();
        }
        Ok(())
    }

    /// If the reading half has failed the peer is told why, as far as that is
    /// possible without waiting.
    fn abort(&mut self) {
        if !self.closed && self.session.seal_rest(&mut self.sealed).is_ok() {
            let _ = self.inner.try_write_batch(&mut self.sealed);
        }
        self.closed = true;
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}
