use std::sync::Arc;

use super::outlet::Outlet;
use super::wire::FrameError;
use super::{Decoder, End, Seen};
use crate::buf::Buf;
use crate::link::{Layer, LinkError, ReadResult, Reader};

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

impl Layer for WsReader {
    type Below = dyn Reader;

    fn below(&self) -> &Self::Below {
        self.inner.as_ref()
    }

    fn below_mut(&mut self) -> &mut Self::Below {
        self.inner.as_mut()
    }

    fn next(&mut self, mut more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult {
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

    fn preferred(&self, len: usize) -> Option<usize> {
        Some(self.decoder.bytes_for(len))
    }
}

impl Drop for WsReader {
    fn drop(&mut self) {
        self.outlet.reader_left();
    }
}
