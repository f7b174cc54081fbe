use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Framing, Security, StreamOptions};
use crate::limits::HANDSHAKE;
use crate::net::Address;
use crate::transport::tcp::{DialOptions, dial};

/// Makes connections to servers.
#[derive(Debug, Clone)]
pub struct Dialer {
    options: StreamOptions,
    handshake: Duration,
}

impl Dialer {
    /// For connections with the layers of `options`. What is negotiated on one,
    /// in its layers and by the proxy on top, may take `handshake` in all.
    pub fn new(options: StreamOptions, handshake: Duration) -> Self {
        Self { options, handshake }
    }

    /// For bare TCP connections.
    pub fn bare(handshake: Duration) -> Self {
        Self::new(StreamOptions::default(), handshake)
    }

    /// Connects to the first of `targets` that answers, in order, and agrees
    /// with it on all layers. They are addresses of `server`, which is the
    /// name that layers ask for.
    ///
    /// # Errors
    /// As [`dial`], or what a layer found wrong.
    pub fn connect(
        &self,
        targets: &[SocketAddr],
        _server: &Address,
        options: &DialOptions,
    ) -> io::Result<Connection> {
        let stream = Arc::new(dial(targets, options)?);
        let connection = Connection::dialled(stream, self.handshake);
        let secured = match self.options.security {
            Security::None => connection,
        };
        Ok(match self.options.framing {
            Framing::None => secured,
        })
    }
}

/// Bare TCP.
impl Default for Dialer {
    fn default() -> Self {
        Self::bare(HANDSHAKE)
    }
}
