use std::sync::Arc;
use std::time::Instant;

use super::InboundOptions;
use super::account::authenticate;
use super::exchange::{Outgoing, Visit};
use super::reply::Asked;
use super::rewrite::{self, BAD_REQUEST, ESTABLISHED, UNAUTHORIZED, UNAVAILABLE};
use super::source::Source;
use super::target::{Authority, Target, parse_authority, parse_target};
use super::wire::{Fields, HeadError, RequestHead, parse_request};
use crate::buf::Buf;
use crate::limits::PARTING;
use crate::link::{Ahead, Link, Reader, Request};
use crate::net::{Destination, Network, Origin};
use crate::proxy::stream::part;
use crate::proxy::{self, InboundContext, ProxyError};
use crate::sync::deadline_in;
use crate::transport::stream::Connection;
use crate::transport::tcp::Negotiation;

/// The port of a target that names none, also of a CONNECT.
const DEFAULT_PORT: u16 = 80;

/// Serves the visitors of an HTTP proxy.
///
/// What is no HTTP is closed without an answer. A plain request is answered on
/// a kept connection only if it has `Proxy-Connection: keep-alive`.
pub struct Inbound {
    context: InboundContext,
    options: InboundOptions,
}

/// What a request wants done.
enum Order {
    Tunnel(Request),
    Forward(Request, Outgoing),
}

/// A request that is not acted on.
struct Rejection {
    /// What the visitor is told; nothing if empty.
    answer: &'static [u8],
    error: ProxyError,
}

impl Inbound {
    /// An inbound for those whom `options` lets in.
    pub fn new(context: InboundContext, options: InboundOptions) -> Self {
        Self { context, options }
    }

    /// Serves a request from `origin`, whose head must be there by the deadline.
    /// Returns the connection if another one has begun to arrive on it.
    fn serve_one(
        &self,
        mut visit: Visit,
        from: (Origin, Instant),
    ) -> Result<Option<Visit>, ProxyError> {
        let order = self.read_order(&mut visit.requests, from);
        visit.negotiation = Negotiation::default(); // over with the first request
        match order {
            Ok(Some(Order::Tunnel(request))) => self.tunnel(visit, &request).map(|()| None),
            Ok(Some(Order::Forward(request, outgoing))) => self.forward(visit, &request, outgoing),
            Ok(None) => Ok(visit.writer.close().map(|()| None)?),
            Err(rejection) => Err(visit.reject(rejection)),
        }
    }

    fn tunnel(&self, visit: Visit, request: &Request) -> Result<(), ProxyError> {
        let Visit {
            requests,
            mut writer,
            ..
        } = visit;
        writer.write(&mut [Buf::copy_of(ESTABLISHED)].into())?;
        let (reader, ahead) = requests.into_parts();
        let reader = Ahead::of(ahead, reader);
        let link = Link { reader, writer };
        Ok(self.context.dispatcher.dispatch(request, link)?)
    }

    fn forward(
        &self,
        visit: Visit,
        request: &Request,
        outgoing: Outgoing,
    ) -> Result<Option<Visit>, ProxyError> {
        match self.context.dispatcher.connect(request) {
            Ok(link) => visit.forward(&self.context, link, outgoing),
            Err(e) => Err(visit.reject(Rejection::with(UNAVAILABLE, e.into()))),
        }
    }

    /// `None` when the visitor has ended instead.
    fn read_order(
        &self,
        requests: &mut Source<dyn Reader>,
        (origin, deadline): (Origin, Instant),
    ) -> Result<Option<Order>, Rejection> {
        let Some(head) = requests.read_head(Some(deadline))? else {
            return Ok(None);
        };
        let head = parse_request(head.as_slice())?;
        let user = self.user(&head.fields)?;
        let request = |authority: &Authority| Request {
            anonymous: user.is_none(),
            user,
            ..self.context.request(destination(authority), origin)
        };
        if head.method.eq_ignore_ascii_case("CONNECT") {
            let authority = parse_authority(&head.target)?;
            return Ok(Some(Order::Tunnel(request(&authority))));
        }
        let (authority, path) = self.whom_for(&head)?;
        let request = Request {
            protocol: Some("http/1.1".into()),
            ..request(&authority)
        };
        let outgoing = Outgoing::new(&head, &authority, &path);
        Ok(Some(Order::Forward(request, outgoing)))
    }

    /// `None` where everybody may.
    fn user(&self, fields: &Fields) -> Result<Option<Arc<str>>, Rejection> {
        let accounts = &self.options.accounts;
        if accounts.is_empty() {
            return Ok(None);
        }
        match authenticate(accounts, fields) {
            Some(account) => Ok(Some(account.user.as_str().into())),
            None => Err(Rejection::with(
                UNAUTHORIZED,
                ProxyError::Refused("missing or wrong credentials"),
            )),
        }
    }

    /// The target of a plain request, and what it asks there.
    fn whom_for(&self, head: &RequestHead) -> Result<(Authority, String), Rejection> {
        match parse_target(&head.target)? {
            Target::Absolute(authority, path) => Ok((authority, path)),
            Target::Origin(path) if self.options.allow_transparent => {
                Ok((host(&head.fields)?, path))
            }
            Target::Origin(_) => Err(HeadError::BadRequest("not a request to a proxy").into()),
        }
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError> {
        let origin = visitor.origin()?;
        let mut deadline = visitor.deadline();
        let (link, negotiation) = visitor.hand_over(Some(&self.context.idle));
        let mut visit = Some(Visit {
            requests: Source::new(link.reader),
            writer: link.writer,
            negotiation,
        });
        while let Some(current) = visit {
            visit = self.serve_one(current, (origin, deadline))?;
            deadline = deadline_in(self.context.handshake);
        }
        Ok(())
    }
}

impl Visit {
    /// Says no and ends the connection in an orderly way.
    fn reject(mut self, rejection: Rejection) -> ProxyError {
        let told = match rejection.answer {
            [] => self.writer.close(),
            answer => part(
                self.requests.reader(),
                self.writer.as_mut(),
                answer,
                PARTING,
            ),
        };
        if told.is_err() {
            self.writer.abort();
        }
        rejection.error
    }
}

impl Outgoing {
    fn new(head: &RequestHead, authority: &Authority, path: &str) -> Self {
        let mut wishes = head.fields.all("Proxy-Connection");
        let asked = Asked {
            method: head.method.clone(),
            minor: head.minor,
            keep: wishes.any(|wish| wish.trim_ascii().eq_ignore_ascii_case(b"keep-alive")),
        };
        Self {
            head: rewrite::request(head, authority, path),
            body: head.body,
            asked,
        }
    }
}

impl Rejection {
    fn with(answer: &'static [u8], error: ProxyError) -> Self {
        Self { answer, error }
    }
}

impl From<HeadError> for Rejection {
    fn from(e: HeadError) -> Self {
        let answer = match e {
            HeadError::BadRequest(_) => BAD_REQUEST,
            HeadError::Malformed(_) | HeadError::TooLarge => b"",
        };
        Self::with(answer, e.into())
    }
}

impl From<ProxyError> for Rejection {
    fn from(error: ProxyError) -> Self {
        Self::with(b"", error)
    }
}

/// Whom a request in origin form is for.
fn host(fields: &Fields) -> Result<Authority, HeadError> {
    let host = fields.all("Host").next();
    let host = host.ok_or(HeadError::BadRequest("no Host field"))?;
    let host = std::str::from_utf8(host).map_err(|_| HeadError::Malformed("bad host"))?;
    parse_authority(host)
}

fn destination(authority: &Authority) -> Destination {
    let port = authority.port.unwrap_or(DEFAULT_PORT);
    Destination::new(Network::Tcp, authority.host.clone(), port)
}
