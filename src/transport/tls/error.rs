use std::{fmt, io};

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

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
    Certificate(String, Error),
    /// The key cannot be used, or is not the certificate's: whose, and why.
    Key(String, Error),
    /// rustls cannot do what we ask of it.
    Setup(Error),
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
            TlsError::Key(what, Error::InconsistentKeys(_)) => {
                write!(
                    f,
                    "the key in {what} is not that of the certificate beside it"
                )
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
            TlsError::Key(_, Error::InconsistentKeys(_)) => None,
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
    Handshake(Error),
    /// The peer ended the connection in the handshake.
    Left,
    /// The handshake was not over in time.
    TooLate,
    /// The peer sent a message, or a handshake, that is longer than any needs
    /// to be.
    TooLong,
    /// A name is none that a server can prove to have.
    Name,
    /// After the handshake: what was wrong.
    Record(Error),
    /// The peer's bytes ended without the word that they are all.
    Truncated,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFailure::Handshake(e) => {
                write!(f, "TLS handshake failed: {}{}", shown(e), help(e))
            }
            TlsFailure::Left => f.write_str("the peer left in the TLS handshake"),
            TlsFailure::TooLate => f.write_str("the TLS handshake took too long"),
            TlsFailure::TooLong => f.write_str("a TLS message is too long"),
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

/// The error may quote the peer's certificate. rustls shows only the insides of
/// what is not its own, and times as seconds since 1970.
fn shown(e: &Error) -> String {
    let text = match e {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => {
            format!("invalid peer certificate: {why}")
        }
        Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            format!(
                "invalid peer certificate: it expired at {}",
                date(*not_after)
            )
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            format!(
                "invalid peer certificate: it begins at {}",
                date(*not_before)
            )
        }
        other => other.to_string(),
    };
    Escaped(text.as_bytes()).to_string()
}

/// A certificate's time, to the second.
pub(super) fn date(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// What a failed handshake mostly means, where its error does not tell.
fn help(e: &Error) -> &'static str {
    match e {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            ", which is not TLS: is it the right port?"
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        ) => ": the peer does not trust the certificate here, so its pin or token is another's",
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            ": the certificate here needs a new one in its place, or the peer's clock is wrong"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            ": it is self-signed, or its authority is unknown here: trust it by \"certificates\", \
             or by its pin"
        }
        Error::InvalidCertificate(
            CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. },
        ) => ": the server needs another, if the clock here is right",
        _ => "",
    }
}
