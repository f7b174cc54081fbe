use std::sync::Arc;

use uuid::Uuid;

use super::datagrams::{PacketReader, PacketWriter};
use super::held::{Alone, HeldWriter, ResponseReader};
use super::{OutboundOptions, wire};
use crate::link::{self, DispatchError, Link, Request};
use crate::net::{Destination, Network};
use crate::proxy::servers::Servers;
use crate::transport::stream::Dialer;
use crate::transport::tcp::Idle;

/// Takes connections to VLESS servers, in turn.
///
/// A server that cannot be reached is passed over for the next one. The
/// request header goes out with the first payload, or alone at the first
/// flush; what the server answers is read when its first bytes come. Datagrams
/// beyond [`wire::MAX_SENT_PACKET`] are dropped.
pub struct Outbound {
    tag: Arc<str>,
    servers: Servers<Uuid>,
    idle: Idle,
}

impl Outbound {
    /// An outbound to the servers that `options` names.
    pub fn new(tag: Arc<str>, options: OutboundOptions, idle: Idle) -> Self {
        let (servers, local) = (options.servers, options.send_through);
        Self {
            servers: Servers::new(tag.clone(), servers, Dialer::default(), local),
            tag,
            idle,
        }
    }

    /// The same, whose connections are made by `dialer`.
    pub fn over(self, dialer: Dialer) -> Self {
        let servers = self.servers.over(dialer);
        Self { servers, ..self }
    }

    fn body(&self, link: Link, id: &Uuid, target: &Destination) -> Link {
        let mut header = Vec::new();
        wire::write_request(&mut header, id, target);
        let reader = ResponseReader::new(link.reader, self.tag.clone());
        let writer = HeldWriter::new(link.writer, &header, Alone::Sent);
        match target.network {
            Network::Tcp => Link::new(reader, writer),
            Network::Udp => Link::new(PacketReader::new(reader), PacketWriter::new(writer)),
        }
    }
}

impl link::Outbound for Outbound {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let (server, connection) = self.servers.dial(request.source)?;
        let id = server.any_user();
        let id = id.ok_or(DispatchError::Refused("no user for the server"))?;
        Ok(self.body(connection.finish(Some(&self.idle)), id, &request.target))
    }
}
