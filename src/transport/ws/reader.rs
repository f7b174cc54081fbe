use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outlet::Outlet;
use super::wire::FrameError;
use super::{Decoder, End, Seen};
use crate::buf::Buf;
use crate::link::{Handle, LinkError, Reader};

/// The half that takes frames apart.
pub(super) struct WsReader {
    inner: Box<dyn Reader>,
    decoder: Decoder,
    outlet: Arc<Outlet>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// To be told when what came before is delivered.
    Ending,
    Ended,
    Failed,
}

impl WsReader {
    pub(super) fn new(inner: Box<dyn Reader>, decoder: Decoder, outlet: Arc<Outlet>) -> Self {
        Self {
            inner,
            decoder,
            outlet,
            state: State::Open,
        }
    }

    /// The next payload, of what `more` delivers.
    fn next(
        &mut self,
        mut more: impl FnMut(&mut dyn Reader) -> Result<Option<Buf>, LinkError>,
    ) -> Result<Option<Buf>, LinkError> {
        loop {
            match self.state {
                State::Open => {}
                State::Ending => {
                    self.state = State::Ended;
                    self.outlet.say_the_rest();
                }
                State::Ended => return Ok(None),
                State::Failed => return Err(LinkError::Reset),
            }
            if self.state != State::Open {
                continue;
            }
            match more(self.inner.as_mut())? {
                Some(buf) => {
                    let payload = self.take_apart(buf)?;
                    if !payload.is_empty() {
                        return Ok(Some(payload));
                    }
                }
                None => self.state = State::Failed, // without a Close frame
            }
        }
    }

    fn take_apart(&mut self, mut buf: Buf) -> Result<Buf, LinkError> {
        let mut seen = Seen::default();
        let decoded = self.decoder.decode(&mut buf, &mut seen);
        if let Err(e) = decoded {
            return Err(self.fail(e));
        }
        self.outlet.note_bytes();
        if let Some(ping) = seen.ping {
            self.outlet.pong(&ping);
        }
        if let Some(end) = seen.end {
            self.end(end);
        }
        Ok(buf)
    }

    fn fail(&mut self, e: FrameError) -> LinkError {
        self.state = State::Failed;
        LinkError::Protocol(e.what())
    }

    fn end(&mut self, end: End) {
        self.state = match end.is_orderly() {
            true => State::Ending,
            false => State::Failed,
        };
        self.outlet.note_end();
    }
}

impl Reader for WsReader {
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
        self.inner.prefer(self.decoder.bytes_for(len));
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.inner.peer()
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

impl Drop for WsReader {
    fn drop(&mut self) {
        self.outlet.reader_left();
    }
}
