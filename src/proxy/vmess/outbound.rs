use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::debug;
use rand::seq::IndexedRandom;
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
use super::{OutboundOptions, Server, User};
use crate::link::{self, DispatchError, Link, Request};
use crate::net::Destination;
use crate::transport::stream::Dialer;
use crate::transport::tcp::{DialOptions, Idle, resolve};

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
    options: OutboundOptions,
    idle: Idle,
    dialer: Dialer,
    turn: AtomicUsize,
    now: UnixClock,
}

impl Outbound {
    /// An outbound to the servers that `options` names.
    pub fn new(tag: Arc<str>, options: OutboundOptions, idle: Idle) -> Self {
        Self {
            tag,
            options,
            idle,
            dialer: Dialer::default(),
            turn: AtomicUsize::new(0),
            now: clock::system(),
        }
    }

    /// The same, whose connections are made by `dialer`.
    pub fn over(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// The same with another clock, in seconds since 1970. For tests.
    pub fn with_clock(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            ..self
        }
    }

    /// All servers, from the one whose turn it is.
    fn servers(&self) -> impl Iterator<Item = &Server> {
        let servers = &self.options.servers;
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len().max(1);
        servers.iter().cycle().skip(first).take(servers.len())
    }

    fn try_server(&self, server: &Server, target: &Destination) -> Result<Link, DispatchError> {
        let user = server.users.choose(&mut rand::rng());
        let user = user.ok_or(DispatchError::Refused("no user for the server"))?;
        self.connect_to(server, user, target)
            .map_err(DispatchError::Unreachable)
    }

    fn connect_to(&self, server: &Server, user: &User, target: &Destination) -> io::Result<Link> {
        let addresses = resolve(&server.address, server.port)?;
        let options = DialOptions {
            local: self.options.send_through,
            ..DialOptions::default()
        };
        let connection = self.dialer.connect(&addresses, &server.address, &options)?;
        Ok(self.body(connection.finish(Some(&self.idle)), user, target))
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
        let mut outcome = Err(DispatchError::Refused("no server"));
        for server in self.servers() {
            outcome = self.try_server(server, &request.target);
            match &outcome {
                Ok(_) => break,
                Err(e) => debug!(
                    "[{}] {}:{} was passed over: {e}",
                    self.tag, server.address, server.port
                ),
            }
        }
        outcome
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
    let mut padding = [0; MAX_HEADER_PADDING];
    random.fill_bytes(&mut padding);
    let padding = &padding[..random.random_range(0..=MAX_HEADER_PADDING)];
    let mut plain = Vec::new();
    write_header(&mut plain, header, padding);
    let id = make_auth_id(command_key, now, random.random());
    seal_request(command_key, id, random.random(), &plain)
}
