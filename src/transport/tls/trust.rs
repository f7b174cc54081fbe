//! Whom a client trusts.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::{Options, Pin, TlsError};

/// Decides on servers' certificates. Whatever it lets pass, a server has to
/// show that it has the certificate's key.
#[derive(Debug)]
pub(super) struct Trust {
    /// None if every certificate is trusted that is pinned.
    roots: Option<Roots>,
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Roots {
    verifier: Arc<WebPkiServerVerifier>,
    /// Those that the options list.
    listed: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// As the options say.
    pub(super) fn new(options: &Options, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = match options.allow_insecure {
            true => None,
            false => Some(Roots::new(options, provider)?),
        };
        Ok(Self {
            roots,
            pins: options.pins.clone(),
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn check_pin(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let chain = std::iter::once(leaf).chain(others);
        let pin = Pin::of_chain(chain.map(|certificate| certificate.as_ref()));
        match pin {
            Some(pin) if !self.pins.is_empty() && !self.pins.contains(&pin) => {
                let unknown = OtherError(Arc::new(Unpinned(pin)));
                Err(Error::InvalidCertificate(CertificateError::Other(unknown)))
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            roots.check(leaf, others, name, ocsp, now)?;
        }
        self.check_pin(leaf, others)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Roots {
    /// Every certificate that is listed counts, as in V2Ray, and then the
    /// system's.
    fn new(options: &Options, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        let mut listed = Vec::new();
        for entry in &options.certificates {
            for certificate in entry.chain.certificates()? {
                let added = store.add(certificate.clone());
                added.map_err(|e| TlsError::Certificate(entry.chain.to_string(), e))?;
                listed.push(certificate);
            }
        }
        if !options.disable_system_root {
            let system = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(system.certs);
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone()).build();
        Ok(Self {
            verifier: verifier.map_err(|_| TlsError::NobodyTrusted)?,
            listed,
        })
    }

    /// A certificate that is itself listed may call itself an authority, as
    /// those do that openssl makes unless told otherwise: that is the last that
    /// the verifier looks at before the name.
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = self
            .verifier
            .verify_server_cert(leaf, others, name, ocsp, now);
        match verified {
            Err(e) if is_authority(&e) && self.listed.iter().any(|known| known == leaf) => {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
            }
            other => other.map(drop),
        }
    }
}

/// Whether all that is wrong with a certificate is that it may sign others.
fn is_authority(e: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = e else {
        return false;
    };
    matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// What may have happened.
const HOW: &str = "it has a new certificate, and the pin or token here is an old one, or it is \
                   somebody else";

/// The chain's hash is none of those that are pinned.
#[derive(Debug)]
struct Unpinned(Pin);

impl fmt::Display for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its chain is not pinned: {}; {HOW}", self.0)
    }
}

impl std::error::Error for Unpinned {}
