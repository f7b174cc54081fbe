//! The way back of one plain request, on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use super::body::{SendError, send};
use super::exchange::Exchange;
use super::rewrite::{self, Framing, UNAVAILABLE};
use super::source::Source;
use super::wire::{ResponseHead, parse_response};
use crate::buf::Buf;
use crate::limits::PARTING;
use crate::link::{Handle, Reader, Writer};
use crate::proxy::ProxyError;
use crate::sync::{Next, Periodic, Timer};

/// What of a request its response depends on.
pub(super) struct Asked {
    pub(super) method: String,
    /// The visitor's HTTP/1 minor version.
    pub(super) minor: u8,
    /// The visitor wishes to keep the connection.
    pub(super) keep: bool,
}

/// Ends the waiting of the thread that reads the visitor.
pub(super) struct Alarm {
    pub(super) timer: Timer,
    /// How long the next request may take to begin.
    pub(super) patience: Duration,
    /// The visitor's reader and the target's writer.
    pub(super) handles: [Handle; 2],
}

/// Passes one response on to the visitor.
pub(super) struct Reply {
    pub(super) exchange: Arc<Exchange>,
    pub(super) asked: Asked,
    pub(super) alarm: Alarm,
    pub(super) target: Source<dyn Reader>,
    pub(super) visitor: Box<dyn Writer>,
    /// Something of the final response has gone out.
    pub(super) answered: bool,
}

/// How that went.
pub(super) struct Outcome {
    pub(super) visitor: Box<dyn Writer>,
    pub(super) answered: bool,
    /// Whether the connection is kept.
    pub(super) result: Result<bool, ProxyError>,
    /// Runs out when the visitor has been waited for long enough.
    pub(super) alarm: Periodic,
}

impl Reply {
    /// Does so to the end. The visitor's side is closed or aborted then,
    /// unless the connection is kept, or the request was cancelled before a
    /// byte was sent.
    pub(super) fn run(mut self) -> Outcome {
        let passed = self.pass_on();
        self.exchange.set_over();
        let result = match passed {
            Ok(keep) => Ok(self.finish(keep)),
            Err(e) => {
                self.fail();
                Err(e)
            }
        };
        let kept = matches!(result, Ok(true));
        Outcome {
            alarm: self.alarm.set(kept),
            visitor: self.visitor,
            answered: self.answered,
            result,
        }
    }

    /// Returns whether the visitor was told that the connection is kept.
    fn pass_on(&mut self) -> Result<bool, ProxyError> {
        let head = loop {
            let head = self.read_head()?;
            match head.is_interim() {
                true => self.pass_on_interim(&head)?,
                false => break head,
            }
        };
        let framing = Framing::of(&head, self.asked.minor, self.asked.keep);
        let text = rewrite::response(&head, framing);
        self.answered = true;
        let (target, visitor) = (&mut self.target, self.visitor.as_mut());
        send(&text, head.body, target, framing.chunked, visitor)?;
        Ok(framing.keep)
    }

    fn read_head(&mut self) -> Result<ResponseHead, ProxyError> {
        let head = self.target.read_head(None)?;
        let head = head.ok_or(ProxyError::Malformed("target ended without a response"))?;
        let head = parse_response(head.as_slice(), &self.asked.method)?;
        match head.status {
            101 => Err(ProxyError::Malformed("target switched protocols unasked")),
            _ => Ok(head),
        }
    }

    /// HTTP/1.0 knows none (RFC 9110 section 15.2).
    fn pass_on_interim(&mut self, head: &ResponseHead) -> Result<(), ProxyError> {
        if self.asked.minor > 0 {
            let text = Buf::copy_of(&rewrite::interim(head));
            self.visitor.write(&mut [text].into())?;
        }
        Ok(())
    }

    /// Returns whether the connection is kept: a request that is still on its
    /// way cannot be followed by another.
    fn finish(&mut self, keep: bool) -> bool {
        let keep = self.exchange.end_request() && keep;
        if !keep && self.visitor.close().is_err() {
            self.visitor.abort();
        }
        keep
    }

    /// A response that is cut must not look complete.
    fn fail(&mut self) {
        if self.answered {
            self.visitor.abort();
        } else if !self.exchange.is_cancelled() {
            let text = Buf::copy_of(UNAVAILABLE);
            let told = self.visitor.write(&mut [text].into());
            if told.and_then(|()| self.visitor.close()).is_err() {
                self.visitor.abort();
            }
        }
    }
}

impl Alarm {
    fn set(self, kept: bool) -> Periodic {
        let delay = if kept { self.patience } else { PARTING };
        let handles = self.handles;
        self.timer.schedule(delay, move || {
            handles.iter().for_each(|handle| handle.interrupt());
            Next::Stop
        })
    }
}

impl From<SendError> for ProxyError {
    fn from(e: SendError) -> Self {
        match e {
            SendError::Malformed(what) => ProxyError::Malformed(what),
            SendError::Cut => ProxyError::Malformed("body is cut short"),
            SendError::From(inner) | SendError::To(inner) => inner.into(),
        }
    }
}
