use std::io;
use std::time::Duration;

use super::{Connection, Framing, StreamOptions};
use crate::transport::tcp::Visitor;
use crate::transport::tls::{self, TlsError};
use crate::transport::ws;

/// Makes connections of a listener's visitors.
#[derive(Debug, Clone, Default)]
pub struct Acceptor {
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
        let framing = options.framing;
        Ok(Self { tls, framing })
    }

    /// Agrees with a visitor on all layers. He has `limit` for that and for
    /// what the proxy negotiates after it.
    ///
    /// # Errors
    /// What a layer found wrong, or [`io::ErrorKind::TimedOut`].
    pub fn accept(&self, visitor: Visitor, limit: Duration) -> io::Result<Connection> {
        let connection = Connection::accepted(visitor, limit);
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
