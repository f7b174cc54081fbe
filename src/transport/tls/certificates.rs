use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use log::{info, warn};
use parking_lot::{Mutex, RwLock};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::options::{Certificate, Pem, Usage};
use super::pem::Stamp;
use super::{Options, TlsError};
use crate::error::chain;
use crate::limits::CERTIFICATE_CHECK;

/// What a server shows: to each client the first certificate that has the name
/// it asks for, else the first of all.
///
/// Files are looked at again when a client comes and the last look is
/// [`CERTIFICATE_CHECK`] ago. What cannot be used is not: the certificate stays
/// until the files have changed once more.
pub(super) struct Certificates {
    entries: Vec<Entry>,
    provider: Arc<CryptoProvider>,
    looked: Mutex<Instant>,
}

struct Entry {
    chain: Pem,
    key: Pem,
    stamps: Mutex<[Stamp; 2]>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads all of them.
    pub(super) fn new(options: &Options, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let shown = |entry: &&Certificate| entry.usage == Usage::Encipherment;
        let entries = options.certificates.iter().filter(shown);
        let entries: Vec<_> = entries
            .map(|entry| Entry::new(entry, &provider))
            .collect::<Result<_, _>>()?;
        if entries.is_empty() {
            return Err(TlsError::NothingToShow);
        }
        Ok(Self {
            entries,
            provider,
            looked: Mutex::new(Instant::now()),
        })
    }

    /// Reads those again whose files have changed. Only one thread does so at
    /// a time, and the others do not wait for it.
    pub(super) fn refresh(&self) {
        let Some(mut looked) = self.looked.try_lock() else {
            return;
        };
        if looked.elapsed() < CERTIFICATE_CHECK {
            return;
        }
        *looked = Instant::now();
        drop(looked);
        for entry in &self.entries {
            entry.refresh(&self.provider);
        }
    }
}

impl Certificates {
    /// Takes over what `read`, of the same options, has just read, and says how
    /// many are others.
    pub(super) fn adopt(&self, read: &Self) -> usize {
        *self.looked.lock() = Instant::now();
        let pairs = self.entries.iter().zip(&read.entries);
        pairs.filter(|(entry, read)| entry.adopt(read)).count()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chains = self.entries.iter().map(|entry| &entry.chain);
        f.debug_list().entries(chains).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            self.entries.iter().find(|entry| entry.has(&name))
        });
        let entry = wanted.or(self.entries.first())?;
        Some(entry.current.read().clone())
    }
}

impl Entry {
    fn new(entry: &Certificate, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let chain = entry.chain.clone();
        let Some(key) = entry.key.clone() else {
            return Err(TlsError::NoKey(chain.to_string()));
        };
        if key.is_exposed() {
            warn!("{key} can be read by others than its owner: it holds a private key");
        }
        let stamps = [chain.stamp(), key.stamp()];
        let current = load(&chain, &key, provider)?;
        Ok(Self {
            chain,
            key,
            stamps: Mutex::new(stamps),
            current: RwLock::new(Arc::new(current)),
        })
    }

    fn has(&self, name: &ServerName<'_>) -> bool {
        let current = self.current.read().clone();
        let leaf = current
            .end_entity_cert()
            .and_then(ParsedCertificate::try_from);
        leaf.is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
    }

    fn refresh(&self, provider: &CryptoProvider) {
        let stamps = [self.chain.stamp(), self.key.stamp()];
        if std::mem::replace(&mut *self.stamps.lock(), stamps) == stamps {
            return;
        }
        self.take_over(load(&self.chain, &self.key, provider));
    }

    /// Returns whether it is another one now.
    fn adopt(&self, read: &Self) -> bool {
        let new = read.current.read().clone();
        *self.stamps.lock() = *read.stamps.lock();
        if new.cert == self.current.read().cert {
            return false;
        }
        self.replace(new);
        true
    }

    fn take_over(&self, read: Result<CertifiedKey, TlsError>) {
        match read {
            Ok(read) => self.replace(Arc::new(read)),
            Err(e) => warn!(
                "the certificate in {} has changed, and cannot be used: {}; the one before it stays",
                self.chain,
                chain(&e)
            ),
        }
    }

    fn replace(&self, new: Arc<CertifiedKey>) {
        *self.current.write() = new;
        info!("the certificate in {} was read again", self.chain);
    }
}

fn load(chain: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificates = chain.certificates()?;
    let private = key.key()?;
    let pair = CertifiedKey::from_der(certificates, private, provider);
    pair.map_err(|e| TlsError::Key(key.to_string(), e))
}
