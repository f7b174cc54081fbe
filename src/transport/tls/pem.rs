//! Certificates and keys out of PEM text.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Pem, TlsError};
use crate::limits::MAX_PEM;

impl Pem {
    /// All certificates, in order; at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.text()?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        all.ok()
            .filter(|all| !all.is_empty())
            .ok_or_else(|| TlsError::NoCertificate(self.to_string()))
    }

    /// The first private key.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = self.text()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NoKey(self.to_string()))
    }

    /// What tells that a file has changed: its time and size.
    pub(super) fn stamp(&self) -> Stamp {
        let Pem::File(path) = self else {
            return None;
        };
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    /// Whether others than its owner can read the file.
    #[cfg(unix)]
    pub(super) fn is_exposed(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        const OTHERS_READ: u32 = 0o044;
        match self {
            Pem::File(path) => {
                fs::metadata(path).is_ok_and(|m| m.permissions().mode() & OTHERS_READ != 0)
            }
            Pem::Inline(_) => false,
        }
    }

    /// Whether others than its owner can read the file.
    #[cfg(not(unix))]
    pub(super) fn is_exposed(&self) -> bool {
        false
    }

    fn text(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match self {
            Pem::Inline(text) => Ok(Cow::Borrowed(text.as_bytes())),
            Pem::File(path) => File::open(path)
                .and_then(read_all)
                .map(Cow::Owned)
                .map_err(|e| TlsError::Read(self.to_string(), e)),
        }
    }
}

/// See [`Pem::stamp`].
pub(crate) type Stamp = Option<(std::time::SystemTime, u64)>;

fn read_all(file: File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_PEM + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_PEM {
        let what = format!("more than {MAX_PEM} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(text)
}
