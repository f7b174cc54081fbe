use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Framing, StreamOptions};
use crate::buf::Buf;
use crate::limits::HANDSHAKE;
use crate::net::Address;
use crate::transport::tcp::{DialOptions, dial};
use crate::transport::tls::{self, TlsError};
use crate::transport::ws;

/// The ports that a server's name goes without: plain, and under TLS.
const USUAL_PORTS: (u16, u16) = (80, 443);

/// Makes connections to servers.
#[derive(Debug, Clone)]
pub struct Dialer {
    tls: Option<tls::Client>,
    framing: Framing,
    handshake: Duration,
}

impl Dialer {
    /// For connections with the layers of `options`. What is negotiated on one,
    /// in its layers and by the proxy on top, may take `handshake` in all.
    ///
    /// # Errors
    /// When the certificates to trust cannot be used.
    pub fn new(options: StreamOptions, handshake: Duration) -> Result<Self, TlsError> {
        let tls = options
            .tls()
            .map(|tls| tls::Client::new(&tls))
            .transpose()?;
        Ok(Self {
            tls,
            framing: options.framing,
            handshake,
        })
    }

    /// For bare TCP connections.
    pub fn bare(handshake: Duration) -> Self {
        Self {
            tls: None,
            framing: Framing::None,
            handshake,
        }
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
        server: &Address,
        options: &DialOptions,
    ) -> io::Result<Connection> {
        self.connect_saying(&[], targets, server, options)
    }

    /// As [`connect`](Self::connect), with `first` sent below all layers.
    ///
    /// # Errors
    /// As `connect`.
    pub fn connect_saying(
        &self,
        first: &[u8],
        targets: &[SocketAddr],
        server: &Address,
        options: &DialOptions,
    ) -> io::Result<Connection> {
        let stream = Arc::new(dial(targets, options)?);
        let mut connection = Connection::dialled(stream, self.handshake);
        if !first.is_empty() {
            let mut batch = [Buf::copy_of(first)].into();
            connection.writer().write(&mut batch)?;
        }
        let secured = match &self.tls {
            None => connection,
            Some(tls) => connection.layered(|link, by| tls.connect(link, server, by))?,
        };
        match &self.framing {
            Framing::None => Ok(secured),
            Framing::Ws(options) => {
                let host = self.host(server, targets);
                secured.layered(|link, by| ws::connect(link, options, &host, by))
            }
        }
    }
}

impl Dialer {
    /// The server as HTTP names it.
    fn host(&self, server: &Address, targets: &[SocketAddr]) -> String {
        let usual = match self.tls {
            None => USUAL_PORTS.0,
            Some(_) => USUAL_PORTS.1,
        };
        match targets.first().map(SocketAddr::port) {
            Some(port) if port != usual => format!("{server}:{port}"),
            _ => server.to_string(),
        }
    }
}

/// Bare TCP.
impl Default for Dialer {
    fn default() -> Self {
        Self::bare(HANDSHAKE)
    }
}
