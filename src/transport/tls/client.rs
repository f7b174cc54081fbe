use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::handshake::establish;
use super::server::{alpn, provider};
use super::trust::Trust;
use super::{Options, TlsError, TlsFailure};
use crate::limits::TLS_SESSIONS;
use crate::link::Link;
use crate::net::Address;

/// The client's part, for any number of connections.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    server_name: Option<Address>,
}

impl Client {
    /// As the options say. Reads the files, and the system's roots unless they
    /// are not to be trusted.
    ///
    /// # Errors
    /// When a certificate cannot be read, or none is trusted.
    pub fn new(options: &Options) -> Result<Self, TlsError> {
        let provider = provider();
        let trust = Trust::new(options, &provider)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust))
            .with_no_client_auth();
        config.alpn_protocols = alpn(options);
        config.resumption = match options.resumption {
            true => Resumption::in_memory_sessions(TLS_SESSIONS),
            false => Resumption::disabled(),
        };
        Ok(Self {
            config: config.into(),
            server_name: options.server_name.clone(),
        })
    }

    /// Makes `link` a TLS connection to `server`, which has until `deadline` to
    /// prove that it has that name, or the one that the options give.
    ///
    /// # Errors
    /// A [`TlsFailure`], or what the link says.
    pub fn connect(&self, link: Link, server: &Address, deadline: Instant) -> io::Result<Link> {
        let name = name(self.server_name.as_ref().unwrap_or(server))?;
        let connection = ClientConnection::new(self.config.clone(), name);
        let connection = connection.map_err(TlsFailure::Handshake)?;
        establish(connection.into(), link, deadline)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// An address is verified, too, but not sent.
fn name(server: &Address) -> io::Result<ServerName<'static>> {
    match server {
        Address::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Address::Domain(domain) => {
            ServerName::try_from(domain.as_str().to_owned()).map_err(|_| TlsFailure::Name.into())
        }
    }
}
