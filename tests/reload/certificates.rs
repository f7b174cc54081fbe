//! Certificates in files.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::rig::{
    address, door, echo, inside, refused, reload, socks, start, still_inside, tags, visit,
};
use super::support::{certificate::Certificate, client::Entry, threads::ThreadCheck};

const NAME: &str = "tunnel.test";

/// A certificate in two files, which another one may replace.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(TempDir::new().expect("a directory"));
        files.replace();
        files
    }

    fn replace(&self) {
        let certificate = Certificate::for_name(NAME);
        fs::write(self.chain(), certificate.chain).expect("write");
        fs::write(self.key(), certificate.key).expect("write");
    }

    fn chain(&self) -> Box<Path> {
        self.0.path().join("chain.pem").into()
    }

    fn key(&self) -> Box<Path> {
        self.0.path().join("key.pem").into()
    }

    /// Settings of the end that shows it.
    fn shown(&self) -> Value {
        json!({ "security": "tls", "tlsSettings": { "certificates": [
            { "certificateFile": self.chain(), "keyFile": self.key() },
        ] } })
    }

    /// Settings of the end that trusts it.
    fn trusted(&self) -> Value {
        json!({ "security": "tls", "tlsSettings": {
            "serverName": NAME,
            "disableSystemRoot": true,
            "certificates": [{ "usage": "verify", "certificateFile": self.chain() }],
        } })
    }
}

fn server(files: &Files) -> Value {
    let mut inbound = socks("in", 0);
    inbound["streamSettings"] = files.shown();
    json!({ "inbounds": [inbound], "outbounds": [{ "protocol": "freedom" }] })
}

#[test]
fn certificates_are_read_again_at_both_ends() {
    let threads = ThreadCheck::begin();
    let (echo, files) = (echo(), Files::new());
    let server_text = server(&files);
    let far = start(&server_text);
    let at = address(&far, "in");
    let client_text = json!({
        "inbounds": [door("door", 0, echo.address())],
        "outbounds": [{
            "tag": "out", "protocol": "socks", "streamSettings": files.trusted(),
            "settings": { "servers": [{ "address": "127.0.0.1", "port": at.port() }] },
        }],
    });
    let near = start(&client_text);
    let entry = Entry::Door(address(&near, "door"));
    let mut visitor = inside(&entry);
    assert!(reload(&far, &server_text).is_nothing());
    assert!(reload(&near, &client_text).is_nothing());

    files.replace();
    let report = reload(&far, &server_text);
    assert_eq!(report.certificates, 1);
    assert!(report.inbounds.are_none());
    assert!(
        visit(&entry).is_err(),
        "the other end still trusts the one before"
    );
    let report = reload(&near, &client_text);
    assert_eq!(report.outbounds.changed, tags(&["out"]));
    visit(&entry).expect("a visit");
    still_inside(&mut visitor);

    fs::write(files.key(), Certificate::for_name(NAME).key).expect("write");
    let why = refused(&far, &server_text).to_string();
    assert!(why.contains("inbounds[0].streamSettings: "), "{why}");
    visit(&entry).expect("nothing has changed");
    still_inside(&mut visitor);
    drop((near, far, visitor));
    drop(echo);
    threads.finish();
}
