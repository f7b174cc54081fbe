use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection};

use super::certificates::Certificates;
use super::handshake::establish;
use super::{Options, TlsError, TlsFailure};
use crate::link::Link;

/// What is agreed on unless the options say otherwise. V2Ray's servers have
/// only the first.
const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// The server's part, for any number of connections.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Server {
    /// As the options say.
    ///
    /// # Errors
    /// When there is no certificate, or one cannot be used.
    pub fn new(options: &Options) -> Result<Self, TlsError> {
        let provider = provider();
        let certificates = Arc::new(Certificates::new(options, provider.clone())?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = alpn(options);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if options.resumption {
            offer_tickets(&mut config);
        }
        Ok(Self {
            config: config.into(),
            certificates,
        })
    }

    /// Shows from now on what `read`, a server with the same options, has just
    /// read, and says how many certificates are others.
    pub fn adopt(&self, read: &Self) -> usize {
        self.certificates.adopt(&read.certificates)
    }

    /// Makes `link` a TLS connection with a client, who has until `deadline`.
    ///
    /// # Errors
    /// A [`TlsFailure`], or what the link says.
    pub fn accept(&self, link: Link, deadline: Instant) -> io::Result<Link> {
        self.certificates.refresh();
        let connection = ServerConnection::new(self.config.clone());
        let connection = connection.map_err(TlsFailure::Handshake)?;
        establish(connection.into(), link, deadline)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

/// The sessions are in the tickets, under a key that only this process knows.
fn offer_tickets(config: &mut ServerConfig) {
    match Ticketer::new() {
        Ok(ticketer) => {
            config.ticketer = ticketer;
            config.send_tls13_tickets = 1;
        }
        Err(e) => log::warn!("TLS sessions will not be resumed: {e}"),
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

pub(super) fn alpn(options: &Options) -> Vec<Vec<u8>> {
    let bytes = |name: &str| name.as_bytes().to_vec();
    match &options.alpn {
        Some(names) => names.iter().map(|name| bytes(name)).collect(),
        None => ALPN.iter().map(|name| bytes(name)).collect(),
    }
}
