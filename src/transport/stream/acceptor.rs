use std::io;
use std::time::Duration;

use super::{Connection, Framing, Security, StreamOptions};
use crate::transport::tcp::Visitor;
use crate::transport::tls::{self, TlsError};

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
        let tls = match &options.security {
            Security::None => None,
            Security::Tls(options) => Some(tls::Server::new(options)?),
        };
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
        Ok(match self.framing {
            Framing::None => secured,
        })
    }
}
