//! Certificates that tests make for themselves, and what configurations say of
//! them.

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

/// Characters in a line of PEM.
const LINE: usize = 64;

/// A self-signed certificate with its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    name: String,
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
}

impl Certificate {
    /// For a host name or an address.
    pub fn for_name(name: &str) -> Self {
        Self::made(name, |_| {})
    }

    /// One that was valid once.
    pub fn expired(name: &str) -> Self {
        Self::made(name, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// One that may sign others, as openssl makes them.
    pub fn authority(name: &str) -> Self {
        Self::made(name, |params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        })
    }

    fn made(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.self_signed(&key).expect("a certificate");
        Self {
            name: name.to_owned(),
            chain: pem("CERTIFICATE", signed.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            der: signed.der().to_vec(),
        }
    }

    /// `streamSettings` of the server that shows it.
    pub fn shown(&self) -> Value {
        json!({ "network": "tcp", "security": "tls", "tlsSettings": {
            "certificates": [{ "certificate": lines(&self.chain), "key": lines(&self.key) }],
        } })
    }

    /// `streamSettings` of a client that trusts nobody else.
    pub fn trusted(&self) -> Value {
        json!({ "network": "tcp", "security": "tls", "tlsSettings": {
            "serverName": self.name,
            "disableSystemRoot": true,
            "certificates": [{ "usage": "verify", "certificate": lines(&self.chain) }],
        } })
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(LINE)
        .map(|at| &text[at..text.len().min(at + LINE)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
