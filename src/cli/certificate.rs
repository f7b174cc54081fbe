//! `muxcool tls cert`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::args::CertArgs;
use super::failure::Failure;
use crate::transport::tls::Pin;

/// Characters in a line of PEM.
const LINE: usize = 64;

/// Writes both files, and returns what to print.
pub(super) fn make(args: &CertArgs) -> Result<String, Failure> {
    let (chain, key) = self_signed(&args.domains).map_err(Failure::Certificate)?;
    let first = args.domains.first().map(String::as_str);
    let prefix = args.file.as_deref().or(first).unwrap_or_default();
    let (chain_path, key_path) = (with(prefix, "pem"), with(prefix, "key"));
    let pin = Pin::of_chain([chain.as_slice()]).map_or_else(String::new, |pin| pin.to_string());
    write(&key_path, &pem("PRIVATE KEY", &key), true)?;
    write(&chain_path, &pem("CERTIFICATE", &chain), false)?;
    Ok(format!(
        "certificate: {}\nkey:         {}\npin:         {pin}",
        chain_path.display(),
        key_path.display()
    ))
}

/// The certificate and its key, in DER.
pub(super) fn self_signed(names: &[String]) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    if let Some(first) = names.first() {
        params
            .distinguished_name
            .push(DnType::CommonName, first.as_str());
    }
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

fn with(prefix: &str, extension: &str) -> PathBuf {
    PathBuf::from(format!("{prefix}.{extension}"))
}

/// Keys that are in use are not written over.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), Failure> {
    let written = create(path, secret).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::Write(path.into(), e))
}

/// Nobody but its owner can read a secret file, from the beginning.
pub(super) fn create(path: &Path, secret: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)
}

/// As files and configurations have it.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for at in (0..text.len()).step_by(LINE) {
        out.push_str(&text[at..text.len().min(at + LINE)]);
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}
