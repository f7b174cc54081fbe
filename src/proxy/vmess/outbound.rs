use std::sync::Arc;

use rand::{Rng, RngExt};

use super::auth_id::make_auth_id;
use super::clock::{self, UnixClock};
use super::kdf::command_key;
use super::opener::Opener;
use super::reader::BodyReader;
use super::response::ResponseDecoder;
use super::wire::{
    BodyKeys, Direction, Options, RequestHeader, Security, seal_request, write_header,
};
use super::writer::{Body, BodyWriter, Head};
use super::{OutboundOptions, User};
use crate::link::{self, DispatchError, Link, Request};
use crate::net::Destination;
use crate::proxy::servers::Servers;
use crate::transport::stream::Dialer;
use crate::transport::tcp::Idle;

/// Most bytes of padding in a header: its length has 4 bits.
const MAX_HEADER_PADDING: usize = 15;

/// Takes connections to VMess servers, in turn.
///
/// A server that cannot be reached is passed over for the next one. The
/// request header goes out with the first payload, or alone at the first
/// flush; what the server answers is read when its first bytes come. Datagrams
/// beyond [`MAX_SENT_PACKET`](super::MAX_SENT_PACKET) are dropped.
pub struct Outbound {
    tag: Arc<str>,
    servers: Servers<User>,
    idle: Idle,
    now: UnixClock,
}

impl Outbound {
    /// An outbound to the servers that `options` names.
    pub fn new(tag: Arc<str>, options: OutboundOptions, idle: Idle) -> Self {
        let (servers, local) = (options.servers, options.send_through);
        Self {
            servers: Servers::new(tag.clone(), servers, Dialer::default(), local),
            tag,
            idle,
            now: clock::system(),
        }
    }

    /// The same, whose connections are made by `dialer`.
    pub fn over(self, dialer: Dialer) -> Self {
        let servers = self.servers.over(dialer);
        Self { servers, ..self }
    }

    /// The same with another clock, in seconds since 1970. For tests.
    pub fn with_clock(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            ..self
        }
    }

    fn body(&self, link: Link, user: &User, target: &Destination) -> Link {
        let header = request_header(user, target);
        let opener = Opener::new(&header, Direction::Response);
        let reader = BodyReader::new(link.reader, opener, self.tag.clone());
        let reader = reader.behind(ResponseDecoder::new(&header));
        let body = Body::new(&header, Direction::Request);
        let (key, now) = (command_key(&user.id), self.now.clone());
        let head = Head {
            make: Box::new(move || sealed(&key, now(), &header)),
            goes_alone: true,
        };
        Link::new(reader, BodyWriter::new(link.writer, head, body))
    }
}

impl link::Outbound for Outbound {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let (server, connection) = self.servers.dial(request.source)?;
        let user = server.any_user();
        let user = user.ok_or(DispatchError::Refused("no user for the server"))?;
        Ok(self.body(connection.finish(Some(&self.idle)), user, &request.target))
    }
}

fn request_header(user: &User, target: &Destination) -> RequestHeader {
    let mut random = rand::rng();
    let security = user.security.unwrap_or_else(Security::of_processor);
    let mut options = Options::usual(security);
    if user.sealed_sizes && security != Security::None {
        options.0 |= Options::SEALED_SIZES;
    }
    RequestHeader {
        keys: BodyKeys {
            key: random.random(),
            iv: random.random(),
        },
        answer: random.random(),
        options,
        security,
        target: target.clone(),
    }
}

fn sealed(command_key: &[u8; 16], now: i64, header: &RequestHeader) -> Vec<u8> {
    let mut random = rand::rng();
    let mut padding = vec![0; random.random_range(0..=MAX_HEADER_PADDING)];
    random.fill_bytes(&mut padding);
    let mut plain = Vec::new();
    write_header(&mut plain, header, &padding);
    let id = make_auth_id(command_key, now, random.random());
    seal_request(command_key, id, random.random(), &plain)
}
