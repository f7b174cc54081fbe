use std::io;
use std::time::Duration;

use super::{Connection, Framing, StreamOptions};
use crate::transport::proxy_protocol;
use crate::transport::tcp::Visitor;
use crate::transport::tls::{self, TlsError};
use crate::transport::ws;

/// Makes connections of a listener's visitors.
#[derive(Debug, Clone, Default)]
pub struct Acceptor {
    proxied: bool,
    tls: Option<tls::Server>,
    framing: Framing,
}

impl Acceptor {
    /// For visitors whose connections have the layers of `options`.
    ///
    /// # Errors
    /// When its certificates cannot be used.
    pub fn new(options: StreamOptions) -> Result<Self, TlsError> {
        let tls = options
            .tls()
            .map(|tls| tls::Server::new(&tls))
            .transpose()?;
        Ok(Self {
            proxied: options.accept_proxy_protocol,
            tls,
            framing: options.framing,
        })
    }

    /// Shows from now on the certificates that `read`, for the same options,
    /// has just read, and says how many are others.
    pub fn adopt(&self, read: &Self) -> usize {
        let both = self.tls.as_ref().zip(read.tls.as_ref());
        both.map_or(0, |(tls, read)| tls.adopt(read))
    }

    /// Agrees with a visitor on all layers. He has `limit` for that and for
    /// what the proxy negotiates after it.
    ///
    /// # Errors
    /// What a layer found wrong, or [`io::ErrorKind::TimedOut`].
    pub fn accept(&self, visitor: Visitor, limit: Duration) -> io::Result<Connection> {
        self.layer(self.receive(visitor, limit)?)
    }

    /// The connection of a visitor, whoever has named him, without layers yet.
    /// He has `limit` for all that is agreed on.
    ///
    /// # Errors
    /// What is wrong with the header that should name him, or
    /// [`io::ErrorKind::TimedOut`].
    pub fn receive(&self, visitor: Visitor, limit: Duration) -> io::Result<Connection> {
        let connection = Connection::accepted(visitor, limit);
        if !self.proxied {
            return Ok(connection);
        }
        let mut named = None;
        let connection = connection.layered(|link, deadline| {
            let (link, ends) = proxy_protocol::accept(link, deadline)?;
            named = ends;
            Ok(link)
        })?;
        Ok(match named {
            None => connection,
            Some(ends) => connection.on_behalf_of(ends),
        })
    }

    /// Agrees with a visitor who was [received](Self::receive) on all layers.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn layer(&self, connection: Connection) -> io::Result<Connection> {
        let secured = match &self.tls {
            None => connection,
            Some(tls) => connection.layered(|link, deadline| tls.accept(link, deadline))?,
        };
        match &self.framing {
            Framing::None => Ok(secured),
            Framing::Ws(options) => secured.layered(|link, by| ws::accept(link, options, by)),
        }
    }
}
