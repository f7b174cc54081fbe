use std::io;
use std::time::Duration;

use super::{Connection, Framing, Security, StreamOptions};
use crate::transport::tcp::Visitor;

/// Makes connections of a listener's visitors.
#[derive(Debug, Clone, Default)]
pub struct Acceptor {
    options: StreamOptions,
}

impl Acceptor {
    /// For visitors whose connections have the layers of `options`.
    pub fn new(options: StreamOptions) -> Self {
        Self { options }
    }

    /// Agrees with a visitor on all layers. He has `limit` for that and for
    /// what the proxy negotiates after it.
    ///
    /// # Errors
    /// What a layer found wrong, or [`io::ErrorKind::TimedOut`].
    pub fn accept(&self, visitor: Visitor, limit: Duration) -> io::Result<Connection> {
        let connection = Connection::accepted(visitor, limit);
        let secured = match self.options.security {
            Security::None => connection,
        };
        Ok(match self.options.framing {
            Framing::None => secured,
        })
    }
}
