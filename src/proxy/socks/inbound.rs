use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::InboundOptions;
use super::accounts::Accounts;
use super::handshake::read_message;
use super::wire;
use crate::link::{Link, Reader, Writer};
use crate::net::{Address, Destination, Network};
use crate::proxy::{self, InboundContext, ProxyError};
use crate::transport::tcp::{Handshake, Visitor};

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
            local,
        }
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Visitor) -> Result<(), ProxyError> {
        let source = visitor.source;
        let mut peer = Handshake::new(visitor.stream, self.ctx.handshake);
        let wish = match peer.u8()? {
            wire::VERSION_5 => self.negotiate_5(&mut peer, source)?,
            wire::VERSION_4 => self.negotiate_4(&mut peer)?,
            _ => return Err(ProxyError::Malformed("not SOCKS 4 or 5")),
        };
        match wish {
            Wish::Stream { target, user } => self.dispatch(peer, source, target, user),
            Wish::Datagrams => hold_association(peer),
        }
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

impl Inbound {
    fn negotiate_5(&self, peer: &mut Handshake, source: SocketAddr) -> Result<Wish, ProxyError> {
        let user = self.authenticate(peer)?;
        match read_message(peer, wire::read_command)? {
            wire::CONNECT => self.connect_5(peer, user),
            command if wire::TOR_RESOLVE.contains(&command) => self.connect_5(peer, user),
            wire::UDP_ASSOCIATE if self.udp => self.associate(peer, source),
            _ => {
                let nowhere = IpAddr::from([0, 0, 0, 0]).into();
                reply_5(peer, wire::COMMAND_NOT_SUPPORTED, &nowhere, 0)?;
                Err(ProxyError::Refused("command is not supported"))
            }
        }
    }

    /// Returns who it is, where that matters.
    fn authenticate(&self, peer: &mut Handshake) -> Result<Option<Arc<str>>, ProxyError> {
        let needed = match self.accounts {
            Some(_) => wire::METHOD_PASSWORD,
            None => wire::METHOD_NONE,
        };
        let offered = read_message(peer, wire::read_methods)?;
        if !offered.contains(&needed) {
            peer.write_all(&wire::method_choice(wire::METHOD_UNACCEPTABLE))?;
            return Err(ProxyError::Refused("no acceptable method is offered"));
        }
        peer.write_all(&wire::method_choice(needed))?;
        match &self.accounts {
            Some(accounts) => check_password(peer, accounts).map(Some),
            None => Ok(None),
        }
    }

    fn connect_5(&self, peer: &mut Handshake, user: Option<Arc<str>>) -> Result<Wish, ProxyError> {
        let (address, port) = read_message(peer, wire::read_target)?;
        let listening = self.local.ip().into();
        reply_5(peer, wire::SUCCEEDED, &listening, self.local.port())?;
        let target = Destination::new(Network::Tcp, address, port);
        Ok(Wish::Stream { target, user })
    }

    /// The address in the request, from where the client means to send, is
    /// read but not used: behind a translator it could not be true.
    fn associate(&self, peer: &mut Handshake, source: SocketAddr) -> Result<Wish, ProxyError> {
        read_message(peer, wire::read_target)?;
        let relay = self.relay_ip(source.ip().to_canonical());
        reply_5(peer, wire::SUCCEEDED, &relay.into(), self.local.port())?;
        Ok(Wish::Datagrams)
    }

    /// Where a client is told to send its datagrams.
    fn relay_ip(&self, client: IpAddr) -> IpAddr {
        let is_local = [
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ]
        .contains(&client);
        match self.udp_ip {
            Some(ip) => ip,
            None if is_local => client,
            None => self.local.ip(),
        }
    }

    fn negotiate_4(&self, peer: &mut Handshake) -> Result<Wish, ProxyError> {
        let command = peer.u8()?;
        if self.accounts.is_some() {
            peer.write_all(&wire::reply_4(wire::REJECTED_4))?;
            return Err(ProxyError::Refused("SOCKS4 has no passwords"));
        }
        let (address, port) = read_message(peer, wire::read_target_4)?;
        if command != wire::CONNECT {
            peer.write_all(&wire::reply_4(wire::REJECTED_4))?;
            return Err(ProxyError::Refused("command is not supported"));
        }
        peer.write_all(&wire::reply_4(wire::GRANTED_4))?;
        let target = Destination::new(Network::Tcp, address, port);
        Ok(Wish::Stream { target, user: None })
    }

    fn dispatch(
        &self,
        peer: Handshake,
        source: SocketAddr,
        target: Destination,
        user: Option<Arc<str>>,
    ) -> Result<(), ProxyError> {
        let (reader, writer) = peer.finish(Some(&self.ctx.idle))?;
        let mut request = self.ctx.request(target, source);
        request.user = user;
        let link = Link::new(reader, writer);
        Ok(self.ctx.dispatcher.dispatch(&request, link)?)
    }
}

fn check_password(peer: &mut Handshake, accounts: &Accounts) -> Result<Arc<str>, ProxyError> {
    let given = read_message(peer, wire::read_credentials)?;
    match accounts.check(&given) {
        Some(user) => {
            peer.write_all(&wire::password_status(wire::PASSWORD_GOOD))?;
            Ok(user)
        }
        None => {
            peer.write_all(&wire::password_status(wire::PASSWORD_BAD))?;
            Err(ProxyError::Refused("wrong user or password"))
        }
    }
}

fn reply_5(peer: &mut Handshake, code: u8, address: &Address, port: u16) -> Result<(), ProxyError> {
    let mut reply = Vec::new();
    wire::write_reply(&mut reply, code, address, port);
    Ok(peer.write_all(&reply)?)
}

/// Keeps an association's connection until the client or the server ends it.
/// It may be quiet for as long as it likes; what it carries means nothing.
fn hold_association(peer: Handshake) -> Result<(), ProxyError> {
    let (mut reader, mut writer) = peer.finish(None)?;
    while reader.read()?.is_some() {}
    Ok(writer.close()?)
}
