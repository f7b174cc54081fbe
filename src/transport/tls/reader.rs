use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::TlsFailure;
use super::session::Session;
use crate::buf::Buf;
use crate::limits::{TLS_OVERHEAD, TLS_RECORD};
use crate::link::{Handle, LinkError, Reader};

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

    /// The next plaintext, of what `more` delivers.
    fn next(
        &mut self,
        mut more: impl FnMut(&mut dyn Reader) -> Result<Option<Buf>, LinkError>,
    ) -> Result<Option<Buf>, LinkError> {
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

impl Reader for TlsReader {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        self.next(|inner| inner.read())
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        let deadline = Instant::now() + wait;
        self.next(|inner| inner.read_timeout(deadline.saturating_duration_since(Instant::now())))
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> Result<Option<Buf>, LinkError> {
        self.next(|inner| inner.read_idling(idle))
    }

    fn prefer(&mut self, len: usize) {
        let records = len.div_ceil(TLS_RECORD);
        self.inner.prefer(len + records * TLS_OVERHEAD);
    }

    fn conclude(&mut self) {
        self.inner.conclude();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.inner.peer()
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}
