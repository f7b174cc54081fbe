use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::handshake::read_message;
use super::tunnel::tunnel;
use super::{Account, OutboundOptions, Server, wire};
use crate::link::{self, DispatchError, Link, Request};
use crate::net::{Address, Destination, Network};
use crate::proxy::ProxyError;
use crate::proxy::servers::Servers;
use crate::transport::stream::{Dialer, Handshake};
use crate::transport::tcp::{Idle, resolve_for};
use crate::transport::udp;

/// The way out through SOCKS5 servers (section 3.2), in turn; one that cannot
/// be reached is passed over.
pub struct Outbound {
    tag: Arc<str>,
    servers: Servers<Account>,
    idle: Idle,
    send_through: Option<IpAddr>,
}

impl Outbound {
    /// An outbound of this name. The whole negotiation with a server may take
    /// `handshake`, connections to it may be idle as `idle` says, and dials
    /// come from `send_through` if it is given.
    pub fn new(
        tag: Arc<str>,
        options: OutboundOptions,
        idle: Idle,
        handshake: Duration,
        send_through: Option<IpAddr>,
    ) -> Self {
        let dialer = Dialer::bare(handshake);
        Self {
            servers: Servers::new(tag.clone(), options.servers, dialer, send_through),
            tag,
            idle,
            send_through,
        }
    }

    /// The same, whose connections are made by `dialer`, and negotiated within
    /// the time that it has.
    pub fn over(self, dialer: Dialer) -> Self {
        let servers = self.servers.over(dialer);
        Self { servers, ..self }
    }
}

impl link::Outbound for Outbound {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let (server, connection) = self.servers.dial(request.source)?;
        let session = Session {
            outbound: self,
            peer: Handshake::new(connection),
            source: request.source.map(|source| source.ip()),
        };
        match request.target.network {
            Network::Tcp => session.open_stream(server, &request.target),
            Network::Udp => session.open_datagrams(server, &request.target),
        }
    }
}

/// A connection to a server.
struct Session<'a> {
    outbound: &'a Outbound,
    peer: Handshake,
    /// On whose behalf.
    source: Option<IpAddr>,
}

impl Session<'_> {
    fn open_stream(mut self, server: &Server, target: &Destination) -> Result<Link, DispatchError> {
        self.negotiate(server, wire::CONNECT, target)?;
        Ok(self.peer.finish(Some(&self.outbound.idle)))
    }

    /// Asks for an association; the connection stays open beside the
    /// datagrams, for the server ends the association with it.
    fn open_datagrams(
        mut self,
        server: &Server,
        target: &Destination,
    ) -> Result<Link, DispatchError> {
        let relay = self.negotiate(server, wire::UDP_ASSOCIATE, target)?;
        self.connect_datagrams(relay, target)
            .map_err(DispatchError::Unreachable)
    }

    fn connect_datagrams(self, relay: Bound, target: &Destination) -> io::Result<Link> {
        let relay = self.relay_addr(relay)?;
        let halves = udp::connect(relay, self.outbound.send_through, &self.outbound.idle)?;
        let header = wire::datagram_header(&target.address, target.port);
        Ok(tunnel(halves, self.peer, header))
    }

    /// A server that names no address means its own.
    fn relay_addr(&self, (address, port): Bound) -> io::Result<SocketAddr> {
        match resolve_for(self.source, &address, port)?.first() {
            Some(found) if !found.ip().is_unspecified() => Ok(*found),
            _ => {
                let server = self.peer.connection().peer_addr()?;
                Ok(SocketAddr::new(server.ip(), port))
            }
        }
    }

    fn negotiate(
        &mut self,
        server: &Server,
        command: u8,
        target: &Destination,
    ) -> Result<Bound, DispatchError> {
        let peer = &mut self.peer;
        let user = server.any_user();
        match greet(peer, user).and_then(|()| ask(peer, command, target)) {
            Ok(bound) => Ok(bound),
            Err(ProxyError::Refused(why)) => Err(DispatchError::Refused(why)),
            Err(e) => Err(DispatchError::Other(Box::new(e))),
        }
    }
}

/// The address in a server's reply.
type Bound = (Address, u16);

/// Offers the one method that we can use, and what it needs, in one write.
fn greet(peer: &mut Handshake, user: Option<&Account>) -> Result<(), ProxyError> {
    let method = match user {
        Some(_) => wire::METHOD_PASSWORD,
        None => wire::METHOD_NONE,
    };
    let mut greeting = Vec::new();
    wire::write_greeting(&mut greeting, method);
    if let Some(account) = user {
        let (user, password) = (account.user.as_bytes(), account.password.as_bytes());
        wire::write_credentials(&mut greeting, user, password)?;
    }
    peer.write_all(&greeting)?;
    if read_message(peer, wire::read_method)? != method {
        return Err(ProxyError::Refused("proxy: wants another authentication"));
    }
    match user {
        Some(_) => expect_welcome(peer),
        None => Ok(()),
    }
}

fn expect_welcome(peer: &mut Handshake) -> Result<(), ProxyError> {
    match read_message(peer, wire::read_password_status)? {
        wire::PASSWORD_GOOD => Ok(()),
        _ => Err(ProxyError::Refused("proxy: wrong user or password")),
    }
}

fn ask(peer: &mut Handshake, command: u8, target: &Destination) -> Result<Bound, ProxyError> {
    let mut request = Vec::new();
    wire::write_request(&mut request, command, &target.address, target.port);
    peer.write_all(&request)?;
    match read_message(peer, wire::read_reply_code)? {
        wire::SUCCEEDED => read_message(peer, wire::read_target),
        code => Err(ProxyError::Refused(wire::describe_reply(code))),
    }
}
