use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::InboundOptions;
use super::accounts::Accounts;
use super::handshake::read_message;
use super::wire;
use crate::limits::PARTING;
use crate::net::{Destination, Network, Origin};
use crate::proxy::stream::part;
use crate::proxy::{self, InboundContext, ProxyError};
use crate::transport::stream::{Connection, Handshake};

/// A SOCKS 4, 4a and 5 server (section 3.1).
///
/// CONNECT is answered before the target is dialled, as in the reference: a
/// target that cannot be reached shows as a success and then a reset.
pub struct Inbound {
    ctx: InboundContext,
    accounts: Option<Accounts>,
    udp: bool,
    udp_ip: Option<IpAddr>,
    local: SocketAddr,
}

impl Inbound {
    /// An inbound whose listener, and its datagram socket if there is one, has
    /// the address `local`: answers name it.
    pub fn new(ctx: InboundContext, options: &InboundOptions, local: SocketAddr) -> Self {
        Self {
            ctx,
            accounts: options.accounts.as_deref().map(Accounts::new),
            udp: options.udp,
            udp_ip: options.ip,
            local: nameable(local),
        }
    }

    fn negotiate(&self, peer: &mut Handshake, origin: Origin) -> Result<Wish, Rejection> {
        match peer.u8()? {
            wire::VERSION_5 => self.negotiate_5(peer, origin),
            wire::VERSION_4 => self.negotiate_4(peer),
            _ => Err(ProxyError::Malformed("not SOCKS 4 or 5").into()),
        }
    }

    fn dispatch(
        &self,
        peer: Handshake,
        origin: Origin,
        target: Destination,
        user: Option<Arc<str>>,
    ) -> Result<(), ProxyError> {
        let mut request = self.ctx.request(target, origin);
        request.anonymous = user.is_none();
        request.user = user;
        let link = peer.finish(Some(&self.ctx.idle));
        Ok(self.ctx.dispatcher.dispatch(&request, link)?)
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError> {
        let origin = visitor.origin()?;
        let mut peer = Handshake::new(visitor);
        match self.negotiate(&mut peer, origin) {
            Ok(Wish::Stream { target, user }) => self.dispatch(peer, origin, target, user),
            Ok(Wish::Datagrams) => hold_association(peer),
            Err(rejection) => Err(rejection.tell(peer)),
        }
    }
}

/// A listener on every address is named by the unspecified one of IPv4, as
/// the reference does: every client understands that.
fn nameable(local: SocketAddr) -> SocketAddr {
    match local.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) {
        true => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), local.port()),
        false => local,
    }
}

/// What a visitor wants and has been promised.
enum Wish {
    /// A stream to the target.
    Stream {
        target: Destination,
        user: Option<Arc<str>>,
    },
    /// That its datagrams are relayed, while it holds this connection.
    Datagrams,
}

/// A visitor who gets nothing.
struct Rejection {
    /// What it is told; nothing if empty.
    answer: Vec<u8>,
    error: ProxyError,
}

impl Rejection {
    fn with(answer: &[u8], why: &'static str) -> Self {
        Self {
            answer: answer.to_vec(),
            error: ProxyError::Refused(why),
        }
    }

    /// Says the last words, if there are any, and ends the connection. That
    /// it fails while we do so tells nothing new.
    fn tell(self, peer: Handshake) -> ProxyError {
        if !self.answer.is_empty() {
            let mut link = peer.finish(None);
            let (reader, writer) = (link.reader.as_mut(), link.writer.as_mut());
            let _ = part(reader, writer, &self.answer, PARTING);
        }
        self.error
    }
}

impl From<ProxyError> for Rejection {
    fn from(error: ProxyError) -> Self {
        let answer = Vec::new();
        Self { answer, error }
    }
}

impl From<io::Error> for Rejection {
    fn from(e: io::Error) -> Self {
        ProxyError::from(e).into()
    }
}

/// The negotiations. Their answers are those of the reference (section 3.1).
impl Inbound {
    fn negotiate_5(&self, peer: &mut Handshake, origin: Origin) -> Result<Wish, Rejection> {
        let user = self.authenticate(peer)?;
        match read_message(peer, wire::read_command)? {
            wire::CONNECT => self.connect_5(peer, user),
            command if wire::TOR_RESOLVE.contains(&command) => self.connect_5(peer, user),
            wire::UDP_ASSOCIATE if self.udp => self.associate(peer, origin),
            _ => {
                let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
                let answer = reply_5(wire::COMMAND_NOT_SUPPORTED, nowhere);
                Err(Rejection::with(&answer, "command is not supported"))
            }
        }
    }

    /// Returns who it is, where that matters.
    fn authenticate(&self, peer: &mut Handshake) -> Result<Option<Arc<str>>, Rejection> {
        let needed = match self.accounts {
            Some(_) => wire::METHOD_PASSWORD,
            None => wire::METHOD_NONE,
        };
        let offered = read_message(peer, wire::read_methods)?;
        if !offered.contains(&needed) {
            let answer = wire::method_choice(wire::METHOD_UNACCEPTABLE);
            return Err(Rejection::with(&answer, "no acceptable method is offered"));
        }
        peer.write_all(&wire::method_choice(needed))?;
        match &self.accounts {
            Some(accounts) => check_password(peer, accounts).map(Some),
            None => Ok(None),
        }
    }

    fn connect_5(&self, peer: &mut Handshake, user: Option<Arc<str>>) -> Result<Wish, Rejection> {
        let (address, port) = read_message(peer, wire::read_target)?;
        peer.write_all(&reply_5(wire::SUCCEEDED, self.local))?;
        let target = Destination::new(Network::Tcp, address, port);
        Ok(Wish::Stream { target, user })
    }

    /// The address in the request, from where the client means to send, is
    /// read but not used: behind a translator it could not be true.
    fn associate(&self, peer: &mut Handshake, origin: Origin) -> Result<Wish, Rejection> {
        read_message(peer, wire::read_target)?;
        let ip = self.relay_ip(origin.source().ip());
        let relay = SocketAddr::new(ip, self.local.port());
        peer.write_all(&reply_5(wire::SUCCEEDED, relay))?;
        Ok(Wish::Datagrams)
    }

    /// Where a client is told to send its datagrams.
    fn relay_ip(&self, client: IpAddr) -> IpAddr {
        let is_local = client == IpAddr::from(Ipv4Addr::LOCALHOST)
            || client == IpAddr::from(Ipv6Addr::LOCALHOST);
        match self.udp_ip {
            Some(ip) => ip,
            None if is_local => client,
            None => self.local.ip(),
        }
    }

    fn negotiate_4(&self, peer: &mut Handshake) -> Result<Wish, Rejection> {
        let command = peer.u8()?;
        let rejected = wire::reply_4(wire::REJECTED_4);
        if self.accounts.is_some() {
            return Err(Rejection::with(&rejected, "SOCKS4 has no passwords"));
        }
        let (address, port) = read_message(peer, wire::read_target_4)?;
        if command != wire::CONNECT {
            return Err(Rejection::with(&rejected, "command is not supported"));
        }
        peer.write_all(&wire::reply_4(wire::GRANTED_4))?;
        let target = Destination::new(Network::Tcp, address, port);
        Ok(Wish::Stream { target, user: None })
    }
}

fn check_password(peer: &mut Handshake, accounts: &Accounts) -> Result<Arc<str>, Rejection> {
    let given = read_message(peer, wire::read_credentials)?;
    let Some(user) = accounts.check(&given) else {
        let answer = wire::password_status(wire::PASSWORD_BAD);
        return Err(Rejection::with(&answer, "wrong user or password"));
    };
    peer.write_all(&wire::password_status(wire::PASSWORD_GOOD))?;
    Ok(user)
}

fn reply_5(code: u8, bound: SocketAddr) -> Vec<u8> {
    let mut reply = Vec::new();
    wire::write_reply(&mut reply, code, &bound.ip().into(), bound.port());
    reply
}

/// Keeps an association's connection until the client or the server ends it.
/// It may be quiet for as long as it likes; what it carries means nothing.
fn hold_association(peer: Handshake) -> Result<(), ProxyError> {
    let mut link = peer.finish(None);
    while link.reader.read()?.is_some() {}
    Ok(link.writer.close()?)
}
