use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::debug;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use super::datagrams::{PacketReader, PacketWriter};
use super::held::{Alone, HeldWriter, ResponseReader};
use super::{OutboundOptions, Server, wire};
use crate::link::{self, DispatchError, Link, Request};
use crate::net::{Destination, Network};
use crate::transport::stream::Dialer;
use crate::transport::tcp::{DialOptions, Idle, resolve};

/// Takes connections to VLESS servers, in turn.
///
/// A server that cannot be reached is passed over for the next one. The
/// request header goes out with the first payload, or alone at the first
/// flush; what the server answers is read when its first bytes come. Datagrams
/// beyond [`wire::MAX_SENT_PACKET`] are dropped.
pub struct Outbound {
    tag: Arc<str>,
    options: OutboundOptions,
    idle: Idle,
    dialer: Dialer,
    turn: AtomicUsize,
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
        }
    }

    /// The same, whose connections are made by `dialer`.
    pub fn over(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// All servers, from the one whose turn it is.
    fn servers(&self) -> impl Iterator<Item = &Server> {
        let servers = &self.options.servers;
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % servers.len().max(1);
        servers.iter().cycle().skip(first).take(servers.len())
    }

    fn try_server(&self, server: &Server, target: &Destination) -> Result<Link, DispatchError> {
        let id = server.ids.choose(&mut rand::rng());
        let id = id.ok_or(DispatchError::Refused("no user for the server"))?;
        self.connect_to(server, id, target)
            .map_err(DispatchError::Unreachable)
    }

    fn connect_to(&self, server: &Server, id: &Uuid, target: &Destination) -> io::Result<Link> {
        let addresses = resolve(&server.address, server.port)?;
        let options = DialOptions {
            local: self.options.send_through,
            ..DialOptions::default()
        };
        let connection = self.dialer.connect(&addresses, &server.address, &options)?;
        let link = connection.finish(Some(&self.idle));
        let mut header = Vec::new();
        wire::write_request(&mut header, id, target);
        let reader = ResponseReader::new(link.reader, self.tag.clone());
        let writer = HeldWriter::new(link.writer, &header, Alone::Sent);
        Ok(match target.network {
            Network::Tcp => Link::new(reader, writer),
            Network::Udp => Link::new(PacketReader::new(reader), PacketWriter::new(writer)),
        })
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
