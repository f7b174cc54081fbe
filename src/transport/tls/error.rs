use std::{fmt, io};

use crate::escape::Escaped;

/// Why TLS cannot be set up as the options say.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read: which, and why.
    Read(String, io::Error),
    /// The text has no certificate in PEM: whose.
    NoCertificate(String),
    /// The text has no private key in PEM: whose.
    NoKey(String),
    /// The certificate cannot be used: whose, and why.
    Certificate(String, rustls::Error),
    /// The key cannot be used, or is not the certificate's: whose, and why.
    Key(String, rustls::Error),
    /// rustls cannot do what we ask of it.
    Setup(rustls::Error),
    /// A server has no certificate to show.
    NothingToShow,
    /// A client trusts nobody.
    NobodyTrusted,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Read(what, _) => write!(f, "cannot read {what}"),
            TlsError::NoCertificate(what) => write!(f, "there is no certificate in {what}"),
            TlsError::NoKey(what) => write!(f, "there is no private key in {what}"),
            TlsError::Certificate(what, _) => {
                write!(f, "the certificate in {what} cannot be used")
            }
            TlsError::Key(what, _) => write!(f, "the key in {what} cannot be used"),
            TlsError::Setup(_) => f.write_str("TLS cannot be set up"),
            TlsError::NothingToShow => f.write_str("a server needs a certificate and its key"),
            TlsError::NobodyTrusted => f.write_str(
                "no certificate is trusted: the system has no roots, or they are not to be used, \
                 and none is given",
            ),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TlsError::Read(_, inner) => Some(inner),
            TlsError::Certificate(_, inner) | TlsError::Key(_, inner) | TlsError::Setup(inner) => {
                Some(inner)
            }
            _ => None,
        }
    }
}

/// Why a TLS connection has failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsFailure {
    /// In the handshake: what was wrong.
    Handshake(rustls::Error),
    /// The peer ended the connection in the handshake.
    Left,
    /// The handshake was not over in time.
    TooLate,
    /// The peer sent more than any handshake needs.
    TooLong,
    /// A name is none that a server can prove to have.
    Name,
    /// After the handshake: what was wrong.
    Record(rustls::Error),
    /// The peer's bytes ended without the word that they are all.
    Truncated,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::Handshake(e) => write!(f, "TLS handshake failed: {}", shown(e)),
            TlsFailure::Left => f.write_str("the peer left in the TLS handshake"),
            TlsFailure::TooLate => f.write_str("the TLS handshake took too long"),
            TlsFailure::TooLong => f.write_str("the TLS handshake has too many bytes"),
            TlsFailure::Name => f.write_str("TLS needs another server name"),
            TlsFailure::Record(e) => write!(f, "TLS failed: {}", shown(e)),
            TlsFailure::Truncated => f.write_str("TLS ended without close_notify"),
        }
    }
}

impl std::error::Error for TlsFailure {}

impl From<TlsFailure> for io::Error {
    fn from(e: TlsFailure) -> Self {
        let kind = match e {
            TlsFailure::Left | TlsFailure::Truncated => io::ErrorKind::UnexpectedEof,
            TlsFailure::TooLate => io::ErrorKind::TimedOut,
            TlsFailure::Name => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, e)
    }
}

/// The error may quote the peer's certificate.
fn shown(e: &rustls::Error) -> String {
    Escaped(e.to_string().as_bytes()).to_string()
}
