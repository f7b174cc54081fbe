use std::collections::VecDeque;
use std::sync::Arc;

use super::outlet::Outlet;
use crate::buf::Buf;
use crate::link::{Handle, LinkError, Writer};

/// The half that makes frames. The head of a frame says how much follows, so
/// what of one has not left is kept.
pub(super) struct WsWriter {
    outlet: Arc<Outlet>,
    closed: bool,
}

impl WsWriter {
    pub(super) fn new(outlet: Arc<Outlet>) -> Self {
        Self {
            outlet,
            closed: false,
        }
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.closed {
            true => Err(LinkError::Closed),
            false => Ok(()),
        }
    }
}

impl Writer for WsWriter {
    /// After an error nothing is known of what was not written.
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.check()?;
        self.outlet.send(batch)
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        self.check()?;
        self.outlet.start_send(batch)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.outlet.flush()
    }

    fn hold_little(&mut self) {
        self.outlet.hold_little();
    }

    fn close(&mut self) -> Result<(), LinkError> {
        match std::mem::replace(&mut self.closed, true) {
            true => Ok(()),
            false => self.outlet.close(),
        }
    }

    fn abort(&mut self) {
        self.closed = true;
        self.outlet.abort();
    }

    fn handle(&self) -> Handle {
        self.outlet.handle()
    }
}

impl Drop for WsWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.outlet.abort();
        }
        self.outlet.writer_left();
    }
}
