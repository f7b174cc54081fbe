use std::fmt;
use std::path::PathBuf;

use super::Pin;
use super::pem::Stamp;
use crate::net::Address;

/// `tlsSettings` of one end (section 7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Of a client: the name that the server must prove, instead of the one
    /// that was dialled.
    pub server_name: Option<Address>,
    /// Protocols to agree on, the preferred one first; `h2` and `http/1.1`
    /// unless given.
    pub alpn: Option<Vec<String>>,
    /// What a server shows, the first to who names none; what a client trusts
    /// beside the system's roots.
    pub certificates: Vec<Certificate>,
    /// Of a client: trust nobody but `certificates`.
    pub disable_system_root: bool,
    /// Of a client: trust every certificate that fulfils `pins`.
    pub allow_insecure: bool,
    /// Of a client: the server's chain must be one of these, if there are any,
    /// beside all else that is asked of it.
    pub pins: Vec<Pin>,
    /// Whether sessions are resumed, with one round trip and no certificate.
    pub resumption: bool,
}

impl Options {
    /// Tells versions of the files apart.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        let entries = self.certificates.iter();
        let chains = entries.map(|entry| entry.chain.stamp());
        chains.collect()
    }
}

/// One entry of `certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// What it is for.
    pub usage: Usage,
    /// The certificate and its intermediates, in PEM.
    pub chain: Pem,
    /// Its private key, in PEM: a server's certificate has one.
    pub key: Option<Pem>,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Usage {
    /// A server shows it.
    #[default]
    Encipherment,
    /// A client trusts it.
    Verify,
}

/// Where PEM text comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// A file; a server reads it again when it changes.
    File(PathBuf),
    /// The text itself.
    Inline(String),
}

/// Not the text: it may be a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => f.debug_tuple("File").field(path).finish(),
            Pem::Inline(_) => f.debug_tuple("Inline").finish_non_exhaustive(),
        }
    }
}

/// Names the source, for errors.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{}", path.display()),
            Pem::Inline(_) => f.write_str("the lines given"),
        }
    }
}
