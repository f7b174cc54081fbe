//! What goes wrong with TLS.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Instant,
};

use super::support::{
    PATIENCE,
    certificate::Certificate,
    client::{self, Entry},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program},
    target::TcpTarget,
};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::{Value, json};

use super::{ID, assert_ended, assert_one, dial, log, unusual};

const NAME: &str = "server.test";

/// How a client is, and what it may say of its server; each has a door.
const CLIENTS: [&str; 5] = ["good", "wrong-pin", "unknown", "expired", "absent"];

/// A server with two inbounds, and a client with an outbound for each of
/// [`CLIENTS`] and a TLS connection for each visitor.
struct Scene {
    server: Program,
    client: Program,
    doors: Vec<SocketAddr>,
    carriers: SocketAddr,
    /// A visitor who is there before the failure and after it.
    staying: TcpStream,
    _echo: TcpTarget,
}

/// Log lines of the server and the client that are not usual.
struct Lines(Vec<String>, Vec<String>);

impl Scene {
    fn start() -> Self {
        let echo = TcpTarget::echo();
        let (valid, expired) = (Certificate::for_name(NAME), Certificate::expired(NAME));
        let ports = [free_port(), free_port()];
        let nobody = free_port();
        let doors = CLIENTS.map(|_| free_port());
        let config = server([(ports[0], &valid), (ports[1], &expired)]);
        let server = Program::start(Kind::Muxcool, "server", &config);
        let trusts = [
            (ports[0], valid.trusted()),
            (ports[0], another_pin()),
            (ports[0], Certificate::for_name(NAME).trusted()),
            (ports[1], expired.trusted()),
            (nobody, valid.trusted()),
        ];
        let config = clients(doors, echo.address(), trusts);
        let client = Program::start(Kind::Muxcool, "client", &config);
        let doors = doors.map(loopback).to_vec();
        let mut staying = Entry::Door(doors[0]).connect().expect("a visitor");
        client::echo(&mut staying, b"hello").expect("echo");
        Self {
            server,
            client,
            doors,
            carriers: loopback(ports[0]),
            staying,
            _echo: echo,
        }
    }

    /// A visitor of one of [`CLIENTS`] is sent away.
    fn visit_in_vain(&self, who: &str) {
        let door = CLIENTS.iter().position(|name| *name == who);
        let entry = Entry::Door(self.doors[door.expect("a client")]);
        let visit = client::visit(&entry, 1, PATIENCE);
        let why = visit.expect_err("somebody else was trusted").kind();
        assert_ne!(why, io::ErrorKind::WouldBlock, "nobody ended the visit");
    }

    fn lines(&self) -> Lines {
        Lines(unusual(&self.server), unusual(&self.client))
    }

    /// Fails unless the server and the client say one line each that contains
    /// these words, or nothing where there are none, and both go on.
    fn expect(mut self, server: Option<&str>, client: Option<&str>) {
        let counts = [server, client].map(|words| usize::from(words.is_some()));
        let said = || {
            let Lines(server, client) = self.lines();
            [server.len(), client.len()]
        };
        let _ = eventually(Instant::now() + PATIENCE, || match said() == counts {
            true => Ok(()),
            false => Err(()),
        });
        client::echo(&mut self.staying, b"still here").expect("the one who was there before");
        client::visit(&Entry::Door(self.doors[0]), 2, PATIENCE).expect("one who comes after");
        let Lines(by_server, by_client) = self.lines();
        assert_one(&by_server, server);
        assert_one(&by_client, client);
        drop(self.staying);
        self.client.finish();
        self.server.finish();
    }
}

#[test]
fn a_server_with_another_pin() {
    let scene = Scene::start();
    scene.visit_in_vain("wrong-pin");
    scene.expect(Some("alert"), Some("pin"));
}

#[test]
fn a_server_that_nobody_trusted_has_signed() {
    let scene = Scene::start();
    scene.visit_in_vain("unknown");
    scene.expect(Some("alert"), Some("invalid peer certificate"));
}

#[test]
fn a_server_whose_certificate_has_expired() {
    let scene = Scene::start();
    scene.visit_in_vain("expired");
    scene.expect(Some("alert"), Some("expired"));
}

#[test]
fn a_server_that_is_not_there() {
    let scene = Scene::start();
    scene.visit_in_vain("absent");
    scene.expect(None, Some("no connection to 127.0.0.1:"));
}

/// For each time that it dials there is one line, the bridge's.
#[test]
fn a_bridge_whose_portal_has_another_pin() {
    let (port, other) = (free_port(), free_port());
    let valid = Certificate::for_name(NAME);
    let config = server([(port, &valid), (other, &valid)]);
    let server = Program::start(Kind::Muxcool, "server", &config);
    let config = json!({
        "log": log(),
        "outbounds": [outbound("portal", port, another_pin())],
        "reverse": { "bridges": [{ "tag": "bridge", "domain": "t.example", "allowTargets": ":1" }] },
        "routing": { "rules": [
            { "inboundTag": "bridge", "domain": "full:t.example", "outboundTag": "portal" },
        ] },
    });
    let bridge = Program::start(Kind::Muxcool, "bridge", &config);
    bridge.says("pin");
    let said = unusual(&bridge);
    let is_of_bridge = |line: &String| line.contains("bridge: no carrier to the portal: ");
    assert!(said.iter().all(is_of_bridge), "{said:#?}");
    bridge.finish();
    server.finish();
}

#[test]
fn a_client_that_speaks_no_tls() {
    let scene = Scene::start();
    let mut stranger = dial(scene.carriers);
    stranger
        .write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n")
        .expect("a request");
    assert_ended(stranger);
    scene.expect(Some("TLS handshake failed"), None);
}

#[test]
fn a_client_that_stops_in_the_handshake() {
    let scene = Scene::start();
    let mut stranger = dial(scene.carriers);
    hello().write_tls(&mut stranger).expect("a hello");
    assert_ended(stranger);
    scene.expect(Some("handshake took too long"), None);
}

/// A connection with which only the first message is sent.
fn hello() -> ClientConnection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    ClientConnection::new(config.into(), NAME.try_into().expect("a name")).expect("a client")
}

fn another_pin() -> Value {
    json!({ "network": "tcp", "security": "tls", "tlsSettings": {
        "serverName": NAME,
        "pinnedPeerCertificateChainSha256": ["ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="],
        "allowInsecureIfPinnedPeerCertificate": true,
    } })
}

fn server(inbounds: [(u16, &Certificate); 2]) -> Value {
    let inbounds = inbounds.map(|(port, certificate)| {
        json!({
            "tag": format!("carriers-{port}"),
            "listen": "127.0.0.1",
            "port": port,
            "protocol": "vless",
            "settings": { "decryption": "none", "clients": [{ "id": ID }] },
            "streamSettings": certificate.shown(),
        })
    });
    json!({
        "log": log(),
        "policy": { "levels": { "0": { "handshake": 1 } } },
        "inbounds": inbounds,
        "outbounds": [{ "protocol": "freedom" }],
    })
}

fn outbound(tag: &str, port: u16, trust: Value) -> Value {
    json!({
        "tag": tag,
        "protocol": "vless",
        "settings": { "vnext": [{
            "address": "127.0.0.1",
            "port": port,
            "users": [{ "id": ID, "encryption": "none" }],
        }] },
        "streamSettings": trust,
    })
}

fn clients(doors: [u16; 5], target: SocketAddr, trusts: [(u16, Value); 5]) -> Value {
    let inbound = |(who, port): (&str, u16)| {
        json!({
            "tag": format!("to-{who}"),
            "listen": "127.0.0.1",
            "port": port,
            "protocol": "dokodemo-door",
            "settings": { "address": target.ip(), "port": target.port(), "network": "tcp" },
        })
    };
    let outbound = |(who, (port, trust))| outbound(who, port, trust);
    let rule = |who: &str| json!({ "type": "field", "inboundTag": [format!("to-{who}")], "outboundTag": who });
    json!({
        "log": log(),
        "inbounds": CLIENTS.into_iter().zip(doors).map(inbound).collect::<Vec<_>>(),
        "outbounds": CLIENTS.into_iter().zip(trusts).map(outbound).collect::<Vec<_>>(),
        "routing": { "rules": CLIENTS.map(rule) },
    })
}
