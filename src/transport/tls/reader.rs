use std::collections::VecDeque;
use std::sync::Arc;

use super::TlsFailure;
use super::session::Session;
use crate::buf::Buf;
use crate::limits::{TLS_OVERHEAD, TLS_RECORD};
use crate::link::{Layer, LinkError, ReadResult, Reader};

/// The half that decrypts.
pub(super) struct TlsReader {
    inner: Box<dyn Reader>,
    session: Arc<Session>,
    /// What the handshake has read too much, or nothing; either way the session
    /// may hold plaintext by now.
    early: Option<Buf>,
    plain: VecDeque<Buf>,
    /// What the next read says, when all before it is delivered.
    failure: Option<LinkError>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Failed,
}

impl TlsReader {
    pub(super) fn new(inner: Box<dyn Reader>, session: Arc<Session>, early: Buf) -> Self {
        Self {
            inner,
            session,
            early: Some(early),
            plain: VecDeque::new(),
            failure: None,
            state: State::Open,
        }
    }

    fn open(&mut self, mut sealed: Buf) {
        loop {
            match self.session.open_piece(&mut sealed, &mut self.plain) {
                Ok(true) => self.end(),
                Ok(false) if !sealed.is_empty() => continue,
                Ok(false) => {}
                Err(e) => self.fail(e),
            }
            return;
        }
    }

    /// The peer has said so; nobody waits for the end of the link below.
    fn end(&mut self) {
        self.state = State::Ended;
        self.inner.conclude();
    }

    fn fail(&mut self, e: LinkError) {
        self.state = State::Failed;
        self.failure = Some(e);
    }
}

impl Layer for TlsReader {
    type Below = dyn Reader;

    fn below(&self) -> &Self::Below {
        self.inner.as_ref()
    }

    fn below_mut(&mut self) -> &mut Self::Below {
        self.inner.as_mut()
    }

    fn next(&mut self, mut more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult {
        loop {
            if let Some(plain) = self.plain.pop_front() {
                return Ok(Some(plain));
            }
            match self.state {
                State::Open => {}
                State::Ended => return Ok(None),
                State::Failed => return Err(self.failure.take().unwrap_or(LinkError::Reset)),
            }
            let sealed = match self.early.take() {
                None => more(self.inner.as_mut())?,
                early => early,
            };
            match sealed {
                Some(sealed) => self.open(sealed),
                None => self.fail(LinkError::Io(TlsFailure::Truncated.into())),
            }
        }
    }

    fn preferred(&self, len: usize) -> Option<usize> {
        Some(len + len.div_ceil(TLS_RECORD) * TLS_OVERHEAD)
    }
}
