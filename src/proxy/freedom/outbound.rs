use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};

use log::{debug, warn};
use rand::seq::IndexedRandom;

use super::{DomainStrategy, OutboundOptions, rounds};
use crate::error::chain;
use crate::limits::OWN_ROUNDS;
use crate::link::{self, DispatchError, Link, Request};
use crate::net::{Address, Destination, Network};
use crate::sync::Complaints;
use crate::transport::proxy_protocol::Header;
use crate::transport::stream::Dialer;
use crate::transport::tcp::{DialOptions, Idle, resolve_for};
use crate::transport::udp;

/// Takes connections to their targets directly. A target that refuses fails at
/// once; nothing is tried twice.
pub struct Outbound {
    tag: Arc<str>,
    options: OutboundOptions,
    idle: Idle,
    dialer: Dialer,
    unreachable: Complaints,
    circles: Complaints,
}

impl Outbound {
    /// An outbound that goes where `options` says.
    pub fn new(tag: Arc<str>, options: OutboundOptions, idle: Idle) -> Self {
        Self {
            tag,
            options,
            idle,
            dialer: Dialer::default(),
            unreachable: Complaints::new(),
            circles: Complaints::new(),
        }
    }

    /// The same, whose streams are made by `dialer`.
    pub fn over(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// The addresses to try, in order, of those that are allowed. A strategy
    /// that finds none for a name leaves it to the system's order.
    fn addresses(
        &self,
        target: &Destination,
        request: &Request,
    ) -> Result<Vec<SocketAddr>, DispatchError> {
        let found = resolve_for(source(request), &target.address, target.port)
            .map_err(DispatchError::Unreachable)?;
        let allowed = request.allowed.as_deref();
        let may_be_dialled = |address: SocketAddr| {
            allowed.is_none_or(|allowed| allowed.permits(address))
                && self.options.permits(target.network, address)
        };
        let found = only(found, may_be_dialled)?;
        let chosen = match target.address {
            Address::Domain(_) => choose(self.options.domain_strategy, &found),
            Address::Ip(_) => None,
        };
        Ok(chosen.map_or(found, |address| vec![address]))
    }

    fn connect_tcp(
        &self,
        addresses: &[SocketAddr],
        server: &Address,
        request: &Request,
    ) -> io::Result<Link> {
        let options = DialOptions {
            local: self.options.send_through,
            source: source(request),
            ..DialOptions::default()
        };
        let header = self.options.proxy_protocol.map(|version| {
            let header = request.origin().map_or(Header::Unknown, Header::from);
            header.encode(version)
        });
        let first = header.as_deref().unwrap_or_default();
        let dialer = &self.dialer;
        let connection = dialer.connect_saying(first, addresses, server, &options)?;
        let socket = connection.socket();
        let life: Weak<TcpStream> = Arc::downgrade(socket);
        remember(ends(socket), life, request);
        Ok(connection.finish(Some(&self.idle)))
    }

    /// Datagrams go to one address: nothing tells whether another would do.
    fn connect_udp(&self, addresses: &[SocketAddr], request: &Request) -> io::Result<Link> {
        let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in addresses {
            outcome = udp::connect(*address, self.options.send_through, &self.idle);
            if outcome.is_ok() {
                break;
            }
        }
        let (reader, writer) = outcome?;
        remember(reader.ends(), reader.life(), request);
        Ok(Link::new(reader, writer))
    }

    /// What it was set up to lead to should be there; what a visitor has
    /// chosen need not.
    fn note_failure(&self, target: &Destination, e: &DispatchError) {
        let (tag, why) = (&self.tag, chain(e));
        match self.options.redirect_address {
            None => debug!("[{tag}] no connection to {target}: {why}"),
            Some(_) => {
                if let Some(unsaid) = self.unreachable.turn() {
                    warn!("[{tag}] no connection to {target}: {why}{unsaid}");
                }
            }
        }
    }

    /// Whether the request has come round too often.
    fn check_rounds(&self, target: &Destination, request: &Request) -> Result<(), DispatchError> {
        if rounds::before(request.source) < OWN_ROUNDS {
            return Ok(());
        }
        if let Some(unsaid) = self.circles.turn() {
            let tag = &self.tag;
            warn!("[{tag}] connections to {target} come back here, and go there again{unsaid}");
        }
        Err(DispatchError::Refused("it comes back here again and again"))
    }

    fn connect_to(&self, target: &Destination, request: &Request) -> Result<Link, DispatchError> {
        self.check_rounds(target, request)?;
        let addresses = self.addresses(target, request)?;
        let link = match target.network {
            Network::Tcp => self.connect_tcp(&addresses, &target.address, request),
            Network::Udp => self.connect_udp(&addresses, request),
        };
        link.map_err(DispatchError::Unreachable)
    }
}

impl link::Outbound for Outbound {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn heeds_allowed(&self) -> bool {
        true
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let target = self.options.redirected(&request.target);
        let link = self.connect_to(&target, request);
        link.inspect_err(|e| self.note_failure(&target, e))
    }
}

/// So that it is known, should it lead back here.
fn remember(ends: io::Result<(SocketAddr, SocketAddr)>, life: rounds::Life, request: &Request) {
    if let Ok(ends) = ends {
        rounds::remember(ends, life, rounds::before(request.source));
    }
}

fn ends(stream: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    Ok((stream.local_addr()?, stream.peer_addr()?))
}

/// Whose turn it takes.
fn source(request: &Request) -> Option<IpAddr> {
    request.source.map(|source| source.ip())
}

/// Those of `found` that may be dialled. Nothing else is: what a name stands
/// for is asked once.
fn only(
    mut found: Vec<SocketAddr>,
    may_be_dialled: impl Fn(SocketAddr) -> bool,
) -> Result<Vec<SocketAddr>, DispatchError> {
    let first = found.first().copied();
    found.retain(|address| may_be_dialled(*address));
    match first {
        Some(first) if found.is_empty() => Err(DispatchError::Forbidden(first)),
        _ => Ok(found),
    }
}

/// One address at random of those that the strategy allows.
fn choose(strategy: DomainStrategy, found: &[SocketAddr]) -> Option<SocketAddr> {
    let allowed = |address: &&SocketAddr| match strategy {
        DomainStrategy::AsIs => false,
        DomainStrategy::UseIp => true,
        DomainStrategy::UseIpv4 => address.is_ipv4(),
        DomainStrategy::UseIpv6 => address.is_ipv6(),
    };
    let candidates: Vec<SocketAddr> = found.iter().filter(allowed).copied().collect();
    candidates.choose(&mut rand::rng()).copied()
}
