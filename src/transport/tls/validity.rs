//! Until when a certificate holds.

use jiff::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::error::date;
use super::options::Certificate;
use super::server::provider;

impl Certificate {
    /// When it expired, if it has, and can be read at all.
    pub(crate) fn expired(&self) -> Option<Timestamp> {
        let chain = self.chain.certificates().ok()?;
        let leaf = ParsedCertificate::try_from(chain.first()?).ok()?;
        // The time is looked at before anything else, so nobody needs to be trusted.
        let verdict = verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &RootCertStore::empty(),
            &[],
            UnixTime::now(),
            provider().signature_verification_algorithms.all,
        );
        match verdict {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(date(not_after)),
            _ => None,
        }
    }
}
