//! What streams say of themselves, and where that takes them: whole programs,
//! ours and V2Ray 4 with the same configuration.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use muxcool::app::App;
use muxcool::config;
use serde_json::{Value, json};

use support::{
    PATIENCE,
    client::{Entry, echo},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::{TcpTarget, UdpEcho},
    threads::ThreadCheck,
};

const ID: &str = "b831381d-6324-4d53-ad4f-8cda48b30811";

/// Says its letter first, then sends back what comes.
fn lettered(letter: u8) -> TcpTarget {
    TcpTarget::start(move |mut visitor| {
        visitor.write_all(&[letter])?;
        let mut answers = visitor.try_clone()?;
        std::io::copy(&mut visitor, &mut answers).map(drop)
    })
}

fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nUser-Agent: test\r\nHost: {host}\r\n\r\n").into_bytes()
}

fn client_hello(name: &str) -> Vec<u8> {
    let sized = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes(), bytes.as_slice()].concat();
    let entry = [vec![0], sized(name.as_bytes().to_vec())].concat();
    let extension = [vec![0, 0], sized(sized(entry))].concat();
    let mut body = [
        vec![3, 3],
        vec![7; 32],
        vec![0],
        sized(vec![0x13, 1]),
        vec![1, 0],
    ]
    .concat();
    body.extend(sized(extension));
    let message = [vec![1, 0], sized(body)].concat();
    [vec![22, 3, 1], sized(message)].concat()
}

fn bittorrent() -> Vec<u8> {
    [b"\x13BitTorrent protocol".as_slice(), &[0; 48]].concat()
}

fn freedom(tag: &str, redirect: Option<SocketAddr>) -> Value {
    let settings = redirect.map(|to| json!({ "redirect": to.to_string() }));
    json!({ "tag": tag, "protocol": "freedom", "settings": settings.unwrap_or(json!({})) })
}

fn rule(key: &str, value: &str, outbound: &str) -> Value {
    json!({ "type": "field", key: [value], "outboundTag": outbound })
}

fn sniffing(over: &[&str]) -> Value {
    json!({ "enabled": true, "destOverride": over })
}

fn socks(port: u16, sniffing: Value) -> Value {
    json!({ "tag": "in", "protocol": "socks", "listen": "127.0.0.1", "port": port,
            "settings": { "auth": "noauth" }, "sniffing": sniffing })
}

fn start(config: Value) -> App {
    App::start(config::parse("test", &config.to_string()).expect("a configuration")).expect("start")
}

fn entrance(app: &App) -> SocketAddr {
    app.local_addrs("in")[0]
}

/// The letter of who answers, and what was said comes back from him.
fn answer(proxy: SocketAddr, asked: &str, payload: &[u8]) -> char {
    let entry = Entry::Socks {
        proxy,
        host: asked.to_owned(),
        port: 80,
    };
    let mut stream = entry.connect().expect("connect");
    stream.write_all(payload).expect("say it");
    let mut back = vec![0; 1 + payload.len()];
    stream.read_exact(&mut back).expect("an answer");
    assert_eq!(&back[1..], payload);
    back[0].into()
}

/// Runs a configuration in which each way out is known by a letter, and says
/// which one each payload took.
fn ways(kind: Kind, payloads: &[Vec<u8>], over: &[&str]) -> String {
    let targets = [b'a', b'b', b't', b'h', b'o'].map(lettered);
    let [a, b, t, h, o] = targets.each_ref().map(|target| Some(target.address()));
    let port = free_port();
    let config = json!({
        "inbounds": [socks(port, sniffing(over))],
        "outbounds": [freedom("o", o), freedom("a", a), freedom("b", b), freedom("t", t), freedom("h", h)],
        "routing": { "rules": [
            rule("domain", "full:one.test", "a"),
            rule("protocol", "bittorrent", "b"),
            rule("protocol", "tls", "t"),
            rule("protocol", "http", "h"),
        ] },
    });
    let program = Program::start(kind, "proxy", &config);
    let taken = payloads
        .iter()
        .map(|payload| answer(loopback(port), "192.0.2.1", payload))
        .collect();
    program.finish();
    taken
}

/// What V2Ray does, we do as well.
#[test]
fn streams_go_where_v2ray_sends_them() {
    let _turn = ThreadCheck::begin();
    let payloads = [
        request("one.test"),
        request("ONE.test:8080"),
        request("two.test"),
        client_hello("one.test"),
        client_hello("two.test"),
        bittorrent(),
        b"SSH-2.0-client\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![],
    ];
    let table: [(&[&str], &str); 3] = [
        (&["http", "tls"], "aahatbooo"),
        (&["tls"], "hhhatbooo"),
        (&[], "hhhttbooo"),
    ];
    for (over, expected) in table {
        assert_eq!(ways(Kind::Muxcool, &payloads, over), expected, "{over:?}");
        if v2ray_or_skip() {
            assert_eq!(
                ways(Kind::V2ray, &payloads, over),
                expected,
                "V2Ray, {over:?}"
            );
        }
    }
}

/// Rules go by the name, the connection where it was asked for; and names that
/// are excluded change nothing.
#[test]
fn names_may_serve_the_rules_alone() {
    let threads = ThreadCheck::begin();
    let (asked, other) = (TcpTarget::echo(), lettered(b'x'));
    for (sniffing, redirected) in [
        (
            json!({ "enabled": true, "routeOnly": true, "destOverride": ["http"] }),
            false,
        ),
        (
            json!({ "enabled": true, "domainsExcluded": ["One.test"], "destOverride": ["http"] }),
            true,
        ),
    ] {
        let app = start(json!({
            "inbounds": [socks(0, sniffing)],
            "outbounds": [freedom("kept", None), freedom("other", Some(other.address()))],
            "routing": { "rules": [rule("domain", "full:one.test", "kept"), {
                "type": "field", "domain": ["full:two.test"], "outboundTag": "other"
            }] },
        }));
        let entry = Entry::socks(entrance(&app), asked.address());
        echo(&mut entry.connect().expect("connect"), &request("one.test")).expect("as asked for");
        let mut stream = entry.connect().expect("connect");
        stream.write_all(&request("two.test")).expect("say it");
        let mut first = [0];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"x", "{redirected}");
        drop(stream);
        app.close();
    }
    drop((asked, other));
    threads.finish();
}

/// A28: what is no name is nobody's concern, and takes nothing with it.
#[test]
fn names_that_cannot_be_are_ignored() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::echo();
    let app = start(json!({
        "inbounds": [socks(0, sniffing(&["http", "tls"]))],
        "outbounds": [freedom("direct", None)],
    }));
    let entry = Entry::socks(entrance(&app), target.address());
    let payloads = [
        request("a$b.com"),
        request(""),
        request("192.0.2.1"),
        request("[2001:db8::1]:80"),
        request(&"a".repeat(300)),
        client_hello("ex\u{1b}[31mample.com"),
        client_hello("a.com."),
        client_hello(""),
    ];
    for payload in payloads {
        let mut stream = entry.connect().expect("connect");
        echo(&mut stream, &payload).unwrap_or_else(|e| panic!("{payload:?}: {e}"));
    }
    app.close();
    drop((app, target));
    threads.finish();
}

/// Whom the payload names becomes neither a bridge nor a mux server, and the
/// tunnel goes on for others.
#[test]
fn a37_no_payload_makes_a_bridge_or_a_carrier() {
    let threads = ThreadCheck::begin();
    let (target, mux) = (TcpTarget::echo(), lettered(b'm'));
    let door = json!({ "tag": "door", "protocol": "dokodemo-door", "listen": "127.0.0.1", "port": 0,
        "settings": { "address": "127.0.0.1", "port": target.address().port() } });
    let portal = start(json!({
        "reverse": { "portals": [{ "tag": "portal", "domain": "tunnel.test" }] },
        "inbounds": [socks(0, sniffing(&["http", "tls"])), door, {
            "tag": "bridges", "protocol": "vless", "listen": "127.0.0.1", "port": 0,
            "settings": { "decryption": "none", "clients": [{ "id": ID }] },
            "sniffing": sniffing(&["http", "tls"]),
        }],
        "outbounds": [freedom("direct", None), freedom("mux", Some(mux.address()))],
        "routing": { "rules": [
            rule("domain", "full:tunnel.test", "portal"),
            rule("inboundTag", "door", "portal"),
            rule("domain", "full:v1.mux.cool", "mux"),
        ] },
    }));
    for payload in [request("tunnel.test"), client_hello("tunnel.test")] {
        let entry = Entry::socks(entrance(&portal), target.address());
        let mut stream = entry.connect().expect("connect");
        stream.write_all(&payload).expect("say it");
        let end = stream.read(&mut [0]).expect_err("a reset");
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        assert_eq!(portal.carriers(), 0);
    }
    assert_eq!(
        answer(entrance(&portal), "192.0.2.1", &request("v1.mux.cool")),
        'm'
    );

    // A real bridge is not held up by the sniffing of its inbound.
    let bridge = start(json!({
        "reverse": { "bridges": [{ "tag": "bridge", "domain": "tunnel.test" }] },
        "outbounds": [freedom("direct", None), { "tag": "out", "protocol": "vless", "settings": {
            "vnext": [{ "address": "127.0.0.1", "port": portal.local_addrs("bridges")[0].port(),
                "users": [{ "id": ID, "encryption": "none" }] }] } }],
        "routing": { "rules": [rule("domain", "full:tunnel.test", "out")] },
    }));
    let door = portal.local_addrs("door")[0];
    eventually(Instant::now() + PATIENCE, || {
        echo(&mut TcpStream::connect(door)?, b"hello")
    })
    .expect("through the tunnel");
    bridge.close();
    portal.close();
    drop((bridge, portal, target, mux));
    threads.finish();
}

/// A23: each session of a carrier is looked at for itself.
#[test]
fn a23_sessions_of_one_carrier_go_their_own_ways() {
    let threads = ThreadCheck::begin();
    let targets = [b'a', b'b', b'o'].map(lettered);
    let [a, b, o] = targets.each_ref().map(|target| Some(target.address()));
    let far = start(json!({
        "inbounds": [{ "tag": "in", "protocol": "vless", "listen": "127.0.0.1", "port": 0,
            "settings": { "decryption": "none", "clients": [{ "id": ID }] },
            "sniffing": sniffing(&["http", "tls"]) }],
        "outbounds": [freedom("o", o), freedom("a", a), freedom("b", b)],
        "routing": { "rules": [
            rule("domain", "full:one.test", "a"),
            rule("protocol", "http", "b"),
        ] },
    }));
    let near = start(json!({
        "inbounds": [socks(0, json!({}))],
        "outbounds": [{ "protocol": "vless", "mux": { "enabled": true }, "settings": {
            "vnext": [{ "address": "127.0.0.1", "port": entrance(&far).port(),
                "users": [{ "id": ID, "encryption": "none" }] }] } }],
    }));
    for (payload, letter) in [
        (request("one.test"), 'a'),
        (request("two.test"), 'b'),
        (b"EHLO client\r\n".to_vec(), 'o'),
        (client_hello("one.test"), 'a'),
        (vec![], 'o'),
    ] {
        assert_eq!(answer(entrance(&near), "192.0.2.1", &payload), letter);
    }
    near.close();
    far.close();
    drop((near, far, targets));
    threads.finish();
}

/// Datagrams are not looked at; and who waits for the server to speak is let
/// go on.
#[test]
fn others_pass_as_ever() {
    let threads = ThreadCheck::begin();
    let (banner, udp) = (TcpTarget::banner(), UdpEcho::start());
    let door = |tag: &str, port: u16, network: &str| {
        json!({ "tag": tag, "protocol": "dokodemo-door", "listen": "127.0.0.1", "port": 0,
            "settings": { "address": "127.0.0.1", "port": port, "network": network },
            "sniffing": sniffing(&["http", "tls"]) })
    };
    let app = start(json!({
        "inbounds": [
            door("tcp", banner.address().port(), "tcp"),
            door("udp", udp.address().port(), "udp"),
        ],
        "outbounds": [freedom("direct", None)],
    }));
    let flow = Entry::Door(app.local_addrs("udp")[0])
        .datagrams()
        .expect("a flow");
    flow.send(&request("one.test")).expect("send");
    assert_eq!(flow.receive().expect("an answer"), request("one.test"));

    let mut stream = Entry::Door(app.local_addrs("tcp")[0])
        .connect()
        .expect("connect");
    let mut first = vec![0; support::target::BANNER.len()];
    stream.read_exact(&mut first).expect("the banner");
    assert_eq!(first, support::target::BANNER);
    echo(&mut stream, &request("one.test")).expect("a dialogue");
    drop((stream, flow));
    app.close();
    drop((app, banner, udp));
    threads.finish();
}
