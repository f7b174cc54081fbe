use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::link::{Link, Reader, Writer};
use crate::net::Origin;
use crate::sync::deadline_in;
use crate::transport::proxy_protocol::Ends;
use crate::transport::tcp::{Base, Idle, Negotiation, Visitor, open};

/// A connection that may still be negotiated: two halves with whatever layers
/// they have, on a socket.
///
/// Nothing that is written waits past the deadline, and no layer may read past
/// it. Dropping the connection closes it.
pub struct Connection {
    pub(super) link: Link,
    base: Base,
    deadline: Instant,
    peer: Option<SocketAddr>,
    /// The address that the peer connected to, if it is not ours.
    visited: Option<SocketAddr>,
    negotiation: Negotiation,
}

impl Connection {
    /// A listener's visitor, who is in his handshake until the connection is
    /// [finished](Self::finish), and has `limit` from now for all of it.
    pub fn accepted(visitor: Visitor, limit: Duration) -> Self {
        Self {
            peer: Some(visitor.source),
            negotiation: visitor.negotiation,
            ..Self::dialled(visitor.stream, limit)
        }
    }

    /// A connection of ours, with `limit` from now for what is negotiated on
    /// it.
    pub fn dialled(stream: Arc<TcpStream>, limit: Duration) -> Self {
        let deadline = deadline_in(limit);
        let (reader, writer, base) = open(stream, Some(deadline));
        Self {
            link: Link::new(reader, writer),
            base,
            deadline,
            peer: None,
            visited: None,
            negotiation: Negotiation::default(),
        }
    }

    /// By when all layers and the protocol on top must be agreed on.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The socket, to wait on and to ask; not to read from or write to.
    pub fn socket(&self) -> &Arc<TcpStream> {
        self.base.stream()
    }

    /// Our address.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Whom the connection leads to; of a visitor, where he comes from.
    ///
    /// # Errors
    /// What the system says of a connection that was dialled.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer.map_or_else(|| self.socket().peer_addr(), Ok)
    }

    /// Where a visitor comes from.
    ///
    /// # Errors
    /// As [`peer_addr`](Self::peer_addr).
    pub fn origin(&self) -> io::Result<Origin> {
        let visited = self.visited.or_else(|| self.local_addr().ok());
        Ok(Origin::new(self.peer_addr()?, visited))
    }

    /// The same connection, whose peer somebody in front of us has named, and
    /// the address that he connected to there.
    pub fn on_behalf_of(self, ends: Ends) -> Self {
        Self {
            peer: Some(ends.source),
            visited: Some(ends.destination),
            ..self
        }
    }

    /// Puts a layer on the connection: `layer` makes one link of another, and
    /// has until the instant that it is given.
    ///
    /// # Errors
    /// Those of `layer`; the connection is closed then.
    pub fn layered(
        mut self,
        layer: impl FnOnce(Link, Instant) -> io::Result<Link>,
    ) -> io::Result<Self> {
        self.link = layer(self.link, self.deadline)?;
        Ok(self)
    }

    /// Ends the negotiation: the deadline is lifted, and the connection is
    /// watched for idleness if `idle` says so.
    pub fn finish(self, idle: Option<&Idle>) -> Link {
        self.hand_over(idle).0
    }

    /// As [`finish`](Self::finish), where the negotiation goes on by other
    /// means: it is over when what is returned beside the link is dropped.
    pub fn hand_over(self, idle: Option<&Idle>) -> (Link, Negotiation) {
        self.base.settle(idle);
        (self.link, self.negotiation)
    }

    pub(super) fn reader(&mut self) -> &mut dyn Reader {
        self.link.reader.as_mut()
    }

    pub(super) fn writer(&mut self) -> &mut dyn Writer {
        self.link.writer.as_mut()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("socket", self.socket())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
