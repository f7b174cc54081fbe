//! By what the other machines know this one: an id and a certificate, kept in
//! a file so that their tokens stay good when it is started anew.
//!
//! ```text
//! id: 11111111-2222-4333-8444-555555555555
//! -----BEGIN CERTIFICATE-----
//! -----BEGIN PRIVATE KEY-----
//! ```

use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use uuid::Uuid;

use super::args::StateArgs;
use crate::cli::certificate;
use crate::cli::failure::Failure;
use crate::transport::tls::Pin;

/// Name in the certificate of who has not said what it is called. It is known
/// by the pin.
const NAMELESS: &str = "muxcool.invalid";

const ID: &str = "id: ";

/// Only the owner may read and write.
const PRIVATE: u32 = 0o700;
const OTHERS: u32 = 0o077;

#[derive(Clone)]
pub(super) struct Identity {
    pub(super) id: Uuid,
    pub(super) pin: Pin,
    /// Both in PEM.
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identity {
    /// That of `role` on `port`: from its file if there is one, else a new one,
    /// which is kept there. A port that the system chooses is another one each
    /// time, so no file is kept then: only `unkept`, as long as the program runs.
    pub(super) fn open(
        state: &StateArgs,
        role: &str,
        port: u16,
        hosts: &[String],
        unkept: &mut Option<Self>,
    ) -> Result<Self, Failure> {
        let name = format!("{role}-{port}.pem");
        let Some(path) = state.path(&name, port)? else {
            let identity = unkept.take().map_or_else(|| Self::new(hosts), Ok)?;
            return Ok(unkept.insert(identity).clone());
        };
        match fs::read_to_string(&path) {
            Ok(text) => Self::read(&path, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let identity = Self::new(hosts)?;
                let written = identity.write(&path);
                written.map_err(|e| out_of_reach(&path, &e))?;
                Ok(identity)
            }
            Err(e) => Err(out_of_reach(&path, &e)),
        }
    }

    fn new(hosts: &[String]) -> Result<Self, Failure> {
        let nameless = [NAMELESS.to_owned()];
        let names = if hosts.is_empty() { &nameless } else { hosts };
        let (chain, key) = certificate::self_signed(names).map_err(Failure::Certificate)?;
        Ok(Self {
            id: Uuid::new_v4(),
            pin: pin_of(&chain),
            certificate: certificate::pem("CERTIFICATE", &chain),
            key: certificate::pem("PRIVATE KEY", &key),
        })
    }

    fn read(path: &Path, text: &str) -> Result<Self, Failure> {
        check_private(path)?;
        let damaged = |what| wrong(path, format!("{what}; remove it to start anew"));
        let mut lines = text.lines();
        let id = lines.find_map(|line| line.strip_prefix(ID)?.trim().parse().ok());
        let chain = CertificateDer::from_pem_slice(text.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
        let chain = chain.map_err(|_| damaged("has no certificate"))?;
        let key = key.map_err(|_| damaged("has no private key"))?;
        Ok(Self {
            id: id.ok_or_else(|| damaged("has no id"))?,
            pin: pin_of(&chain),
            certificate: certificate::pem("CERTIFICATE", &chain),
            key: certificate::pem("PRIVATE KEY", key.secret_der()),
        })
    }

    /// Whole or not at all, and for nobody else's eyes.
    fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(PRIVATE).create(directory)?;
        }
        let draft = path.with_extension("new");
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = certificate::create(&draft, true)?;
        write!(file, "{ID}{}\n{}{}", self.id, self.certificate, self.key)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    }
}

impl StateArgs {
    /// Where the identity is kept, if it is.
    fn path(&self, name: &str, port: u16) -> Result<Option<PathBuf>, Failure> {
        match &self.state {
            _ if self.ephemeral => Ok(None),
            Some(path) if path.is_dir() || ends_with_slash(path) => Ok(Some(path.join(name))),
            Some(path) => Ok(Some(path.clone())),
            None if port == 0 => Ok(None),
            None => state_directory()
                .map(|directory| Some(directory.join(name)))
                .ok_or(Failure::NoState),
        }
    }
}

/// systemd's `StateDirectory=`, or else the user's.
fn state_directory() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let given = env::var_os("STATE_DIRECTORY");
    let first = given.and_then(|given| env::split_paths(&given).next());
    first.filter(absolute).or_else(|| {
        let base = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/state"));
        let base = base.filter(absolute).or_else(home).filter(absolute)?;
        Some(base.join("muxcool"))
    })
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn pin_of(chain: &[u8]) -> Pin {
    Pin::of_chain([chain]).unwrap_or_else(|| Pin::from_bytes([0; 32])) // never: there is one
}

fn check_private(path: &Path) -> Result<(), Failure> {
    let found = fs::metadata(path).map_err(|e| out_of_reach(path, &e))?;
    match found.permissions().mode() & OTHERS {
        0 => Ok(()),
        _ => Err(wrong(
            path,
            "others on this machine can read its key: chmod 600 it".into(),
        )),
    }
}

fn out_of_reach(path: &Path, e: &io::Error) -> Failure {
    let help = "the id and the certificate cannot be kept there: choose another place with \
                --state, or none with --ephemeral";
    wrong(path, format!("{e}; {help}"))
}

fn wrong(path: &Path, what: String) -> Failure {
    Failure::Wrong(format!("{}: {what}", path.display()))
}
