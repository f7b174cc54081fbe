use std::io;
use std::time::Instant;

use super::wire::{HeadBuffer, HeadError};
use crate::buf::Buf;
use crate::link::{LinkError, Reader};
use crate::proxy::ProxyError;
use crate::proxy::stream::read_by;

/// A reader of which only as much is taken as is wanted.
pub(super) struct Source<R: Reader + ?Sized> {
    ahead: Option<Buf>,
    reader: Box<R>,
}

impl<R: Reader + ?Sized> Source<R> {
    pub(super) fn new(reader: Box<R>) -> Self {
        Self {
            ahead: None,
            reader,
        }
    }

    /// What is at hand, at least a byte of it; waits for it if need be. `None`
    /// is the orderly end.
    pub(super) fn fill(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<&mut Buf>, LinkError> {
        while !self.has_ahead() {
            self.ahead = read_by(self.reader.as_mut(), deadline)?;
            if self.ahead.is_none() {
                return Ok(None);
            }
        }
        Ok(self.ahead.as_mut())
    }

    /// Whether something is at hand.
    pub(super) fn has_ahead(&self) -> bool {
        self.ahead.as_ref().is_some_and(|buf| !buf.is_empty())
    }

    /// Forgets what is at hand.
    pub(super) fn drop_ahead(&mut self) {
        self.ahead = None;
    }

    pub(super) fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The reader, and what was read from it and not wanted yet.
    pub(super) fn into_parts(self) -> (Box<R>, Option<Buf>) {
        (self.reader, self.ahead)
    }

    /// Reads a head; `None` if the end comes before its first byte.
    ///
    /// # Errors
    /// When the head does not end, in time or at all.
    pub(super) fn read_head(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<HeadBuffer>, ProxyError> {
        let mut head = HeadBuffer::new();
        loop {
            match self.fill(deadline) {
                Ok(Some(input)) => {
                    if head.fill(input)? {
                        return Ok(Some(head));
                    }
                }
                Ok(None) if head.is_empty() => return Ok(None),
                Ok(None) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(LinkError::TimedOut) => return Err(ProxyError::Timeout),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl From<HeadError> for ProxyError {
    fn from(e: HeadError) -> Self {
        ProxyError::Malformed(e.reason())
    }
}
