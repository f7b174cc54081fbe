//! One plain request and its response: the visitor's own thread sends the
//! request and then watches the visitor, another one passes the response on,
//! for a target may answer before it has read everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::body::{SendError, send};
use super::reply::{Alarm, Asked, Outcome, Reply};
use super::rewrite::BAD_REQUEST;
use super::source::Source;
use super::wire::Body;
use crate::limits::PARTING;
use crate::link::{Handle, Link, LinkError, Reader, Writer};
use crate::proxy::stream::{ignore, part};
use crate::proxy::{InboundContext, ProxyError};
use crate::sync::{Done, spawn};
use crate::transport::tcp::Negotiation;

/// A visitor's connection between two requests.
pub(super) struct Visit {
    pub(super) requests: Source<dyn Reader>,
    pub(super) writer: Box<dyn Writer>,
    /// Until the first request has come.
    pub(super) negotiation: Negotiation,
}

/// A request as it goes to the target.
pub(super) struct Outgoing {
    pub(super) head: Vec<u8>,
    pub(super) body: Body,
    pub(super) asked: Asked,
}

/// What the two threads share.
#[derive(Default)]
pub(super) struct Exchange {
    /// The target's writer, once the request has been sent as far as it will be.
    uplink: Mutex<Option<Box<dyn Writer>>>,
    request_ended: Done,
    request_whole: AtomicBool,
    /// The visitor is gone, or sent what is no body.
    cancelled: AtomicBool,
    /// The response has ended, one way or the other.
    over: AtomicBool,
}

impl Exchange {
    /// Hands over the target's writer, for the response's end.
    fn request_ended(&self, uplink: Box<dyn Writer>, whole: bool) {
        self.request_whole.store(whole, Ordering::SeqCst);
        *self.uplink.lock() = Some(uplink);
        self.request_ended.signal();
    }

    /// Closes the target's direction in an orderly way, if the request was
    /// sent whole within a time, and returns whether it was.
    pub(super) fn end_request(&self) -> bool {
        self.request_ended.wait_timeout(PARTING);
        let uplink = self.uplink.lock().take();
        let whole = self.request_whole.load(Ordering::SeqCst);
        if let Some(mut uplink) = uplink.filter(|_| whole) {
            // Whether the target still listens makes no difference now.
            let _ = uplink.close();
        }
        whole
    }

    pub(super) fn set_over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Makes the response end, unless it has.
    fn cancel(&self, target: &Handle) {
        if !self.over.load(Ordering::SeqCst) {
            self.cancelled.store(true, Ordering::SeqCst);
            target.interrupt();
        }
    }
}

impl Visit {
    /// Sends a request by `link` and passes the response on. Returns the
    /// connection if another request has begun to arrive on it.
    ///
    /// # Errors
    /// Says why there was no response, or none to its end; the visitor knows.
    pub(super) fn forward(
        mut self,
        context: &InboundContext,
        link: Link,
        outgoing: Outgoing,
    ) -> Result<Option<Visit>, ProxyError> {
        let (target, uplink) = (link.reader.handle(), link.writer);
        let exchange = Arc::new(Exchange::default());
        let keep = outgoing.asked.keep;
        let alarm = Alarm {
            timer: context.idle.timer.clone(),
            patience: context.handshake,
            handles: [self.requests.reader().handle(), uplink.handle()],
        };
        let reply = Reply {
            exchange: exchange.clone(),
            asked: outgoing.asked,
            alarm,
            target: Source::new(link.reader),
            visitor: self.writer,
            answered: false,
        };
        let reply = spawn("http-reply", move || reply.run())?;
        let message = (&*outgoing.head, outgoing.body);
        let sent = send_request(&mut self.requests, message, uplink, &exchange, &target);
        let next = match &sent {
            Err(e) if e.is_source() => false,
            _ => watch(&mut self.requests, &exchange, &target, keep && sent.is_ok()),
        };
        // A panic over there was reported by its thread.
        let outcome = reply.join().map_err(|_| LinkError::Reset)?;
        conclude(self.requests, outcome, sent, next)
    }
}

/// Sends the request, and hands over the target's writer in any case.
fn send_request(
    requests: &mut Source<dyn Reader>,
    (head, body): (&[u8], Body),
    mut uplink: Box<dyn Writer>,
    exchange: &Exchange,
    target: &Handle,
) -> Result<(), SendError> {
    let chunked = body == Body::Chunked;
    let sent = send(head, body, requests, chunked, uplink.as_mut());
    if sent.as_ref().is_err_and(SendError::is_source) {
        // First: aborting may wake the other thread, which asks why.
        exchange.cancel(target);
        uplink.abort();
    }
    exchange.request_ended(uplink, sent.is_ok());
    sent
}

/// Waits for what the visitor does while it is answered. Returns whether its
/// next request has begun to arrive, if that is of interest; else what it
/// sends is ignored.
fn watch(
    requests: &mut Source<dyn Reader>,
    exchange: &Exchange,
    target: &Handle,
    wants_next: bool,
) -> bool {
    loop {
        match requests.fill(None) {
            Ok(Some(_)) if wants_next => return true,
            Ok(Some(_)) => requests.drop_ahead(),
            // It may still read; HTTP does not need its end.
            Ok(None) => return false,
            Err(_) => {
                exchange.cancel(target);
                return false;
            }
        }
    }
}

fn conclude(
    mut requests: Source<dyn Reader>,
    outcome: Outcome,
    sent: Result<(), SendError>,
    next: bool,
) -> Result<Option<Visit>, ProxyError> {
    let Outcome {
        visitor: mut writer,
        answered,
        result,
        alarm: _until_the_end,
    } = outcome;
    let failure = match (result, sent) {
        (Ok(true), _) if next => {
            return Ok(Some(Visit {
                requests,
                writer,
                negotiation: Negotiation::default(),
            }));
        }
        (Ok(true), _) => return Ok(writer.close().map(|()| None)?),
        (Ok(false), _) => None,
        (Err(_), Err(SendError::Malformed(what))) if !answered => {
            part(requests.reader(), writer.as_mut(), BAD_REQUEST, PARTING)?;
            return Err(ProxyError::Malformed(what));
        }
        (Err(_), Err(sent)) if sent.is_source() => Some(sent.into()),
        (Err(e), _) => Some(e),
    };
    if next {
        ignore(requests.reader(), Instant::now() + PARTING);
    }
    failure.map_or(Ok(None), Err)
}
