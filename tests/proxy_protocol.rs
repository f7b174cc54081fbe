//! Whole programs that hand on where visitors come from, in PROXY headers: what
//! the service behind a tunnel is told, and what balancers may tell us.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "proxy_protocol/balancer.rs"]
mod balancer;
#[path = "proxy_protocol/scene.rs"]
mod scene;
#[path = "proxy_protocol/service.rs"]
mod service;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use balancer::Balancer;
use scene::{Scene, balanced};
use serde_json::{Value, json};
use service::{Named, Service, header, is_sent_away, visit, visit_from};
use support::certificate::Certificate;
use support::config::{self, Carrier, Endpoint, Entrances};
use support::ports::{free_port, loopback};
use support::program::{Kind, Program, v2ray_or_skip};

const CARRIERS: [Carrier; 3] = [Carrier::Vless, Carrier::VlessTls, Carrier::VlessWs];

fn vless() -> Endpoint {
    Endpoint::new(Carrier::Vless, free_port())
}

/// Visitors of both families, through a portal and a bridge.
#[test]
fn the_service_behind_a_bridge_is_told_who_visits() {
    for (number, carrier) in CARRIERS.into_iter().enumerate() {
        let version = [1, 2][number % 2];
        let service = Service::start(version);
        let endpoint = Endpoint::new(carrier, free_port());
        let scene = Scene::start(Kind::Muxcool, &endpoint, version, &service);
        for door in [scene.doors.v4, scene.doors.v6] {
            let named = visit(door, &service);
            assert_eq!(
                named,
                Named::ends(named.visitor, door),
                "{carrier:?}, v{version}"
            );
        }
        // Two at once have their own.
        let (first, second) = (
            visit(scene.doors.v4, &service),
            visit(scene.doors.v4, &service),
        );
        assert_ne!(first.visitor, second.visitor);
        scene.finish();
    }
}

/// Behind a balancer the visitor is whom it names, on both of its ends; with
/// rules by source, and lines in both logs.
#[test]
fn a_portal_behind_a_balancer_believes_it() {
    let service = Service::start(2);
    let scene = Scene::start(Kind::Muxcool, &vless(), 2, &service);
    let door = scene.doors.balanced;
    let named = |from: &str, to: &str| (from.parse().unwrap(), to.parse().unwrap());
    for version in [1, 2] {
        for (from, to) in [
            ("203.0.113.9:5000", "198.51.100.1:443"),
            ("[2001:db8::9]:6000", "[2001:db8::1]:443"),
        ] {
            let (source, destination) = named(from, to);
            let told = header(version, Some((source, destination)));
            let seen = visit_from(door, &told, &service);
            assert_eq!(seen.source, Some((source, destination)), "{version}");
        }
        // It speaks for itself: a check of its own, say.
        let told = header(version, None);
        let seen = visit_from(door, &told, &service);
        assert_eq!(seen, Named::ends(seen.visitor, door), "{version}");
    }
    let refused = header(1, Some(named("203.0.113.66:5000", "198.51.100.1:443")));
    assert!(is_sent_away(door, &refused), "a rule by source");
    scene.portal.says("203.0.113.9:5000 accepted tcp:");
    scene.portal.says("[2001:db8::9]:6000 accepted tcp:");
    let refused = header(2, Some(named("203.0.113.130:5000", "198.51.100.1:443")));
    assert!(is_sent_away(door, &refused), "a rule at the bridge");
    scene.bridge.says("taking detour [refused]");
    scene.finish();
}

#[test]
fn what_begins_without_a_header_is_ended_with_one_line() {
    let service = Service::start(1);
    let scene = Scene::start(Kind::Muxcool, &vless(), 1, &service);
    let cases = [
        (
            "GET / HTTP/1.1\r\n\r\n",
            "the connection begins without a PROXY header",
        ),
        (
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "the PROXY header has a bad destination port",
        ),
        (
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "the PROXY header has a bad protocol",
        ),
        (
            "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
            "the PROXY header has a bad version or command",
        ),
        (
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\x7f\x7f",
            "the PROXY header is too long",
        ),
    ];
    for (bytes, why) in cases {
        assert!(is_sent_away(scene.doors.balanced, bytes.as_bytes()));
        scene.portal.says(why);
        let log = scene.portal.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(why)).collect();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("[balanced] 127.0.0.1:"), "{}", lines[0]);
    }
    // Others are served.
    let told = header(2, Some((loopback(1), loopback(2))));
    assert_eq!(
        visit_from(scene.doors.balanced, &told, &service).source,
        Some((loopback(1), loopback(2)))
    );
    scene.finish();
}

/// Carriers too may come through a balancer, which knows nothing of what is in
/// them: the header is below TLS and WebSocket.
#[test]
fn the_header_is_below_all_layers() {
    for (carrier, version) in [(Carrier::VlessTls, 1), (Carrier::VlessWss, 2)] {
        let service = Service::start(version);
        let endpoint = Endpoint::new(carrier, free_port());
        let from: SocketAddr = "203.0.113.9:5000".parse().unwrap();
        let told = header(version, Some((from, "198.51.100.1:443".parse().unwrap())));
        let balancer = Balancer::start(loopback(endpoint.port()), told);
        let by_balancer = endpoint.via(balancer.port());
        let carriers = balanced(&endpoint);
        let scene = Scene::with(Kind::Muxcool, carriers, &by_balancer, version, &service);
        visit(scene.doors.v4, &service);
        scene
            .portal
            .says("203.0.113.9:5000 accepted tcp:tunnel.test:0");
        scene.finish();
    }
}

/// In front of V2Ray we are the balancer: freedom says who comes, below its
/// WebSocket layer, and V2Ray's access line names him.
#[test]
fn v2ray_is_told_who_visits() {
    if !v2ray_or_skip() {
        return;
    }
    let target = support::target::TcpTarget::echo();
    for (carrier, version) in [(Carrier::Vless, 1), (Carrier::VlessWs, 2)] {
        let endpoint = Endpoint::new(carrier, free_port());
        let mut server = config::mux_server(&endpoint);
        server["log"]["access"] = json!("");
        server["inbounds"] = json!([balanced(&endpoint)]);
        let server = Program::start(Kind::V2ray, "server", &server);
        let (port, behind) = (free_port(), loopback(endpoint.port()));
        let between = Program::start(Kind::Muxcool, "balancer", &between(port, behind, version));
        let entrances = Entrances {
            socks: free_port(),
            doors: vec![(free_port(), target.address())],
        };
        let mut client = config::plain_client(&entrances, &endpoint.via(port));
        client["outbounds"][0]["sendThrough"] = json!("127.0.0.77");
        let client = Program::start(Kind::Muxcool, "client", &client);
        let entry = support::client::Entry::Door(loopback(entrances.doors[0].0));
        support::client::visit(&entry, 7, support::PATIENCE).unwrap();
        server.says("127.0.0.77:");
        for program in [client, between, server] {
            program.finish();
        }
    }
}

/// V2Ray's portal does not say where visitors come from.
#[test]
fn behind_v2rays_portal_nobody_is_known() {
    if !v2ray_or_skip() {
        return;
    }
    for version in [1, 2] {
        let service = Service::start(version);
        let scene = Scene::start(Kind::V2ray, &vless(), version, &service);
        assert_eq!(visit(scene.doors.v4, &service).source, None);
        scene.finish();
    }
}

/// Takes connections to `behind`, and says where they come from.
fn between(port: u16, behind: SocketAddr, version: u8) -> Value {
    json!({
        "log": { "loglevel": "info" },
        "inbounds": [{
            "listen": Ipv4Addr::LOCALHOST,
            "port": port,
            "protocol": "dokodemo-door",
            "settings": { "address": behind.ip(), "port": behind.port() },
        }],
        "outbounds": [{ "protocol": "freedom", "settings": { "proxyProtocol": version } }],
    })
}

/// Datagrams have no header, whatever freedom is told.
#[test]
fn datagrams_go_as_they_are() {
    let echo = support::target::UdpEcho::start();
    let port = free_port();
    let mut config = between(port, echo.address(), 1);
    config["inbounds"][0]["settings"]["network"] = json!("udp");
    let program = Program::start(Kind::Muxcool, "balancer", &config);
    let flow = support::client::Entry::Door(loopback(port))
        .datagrams()
        .unwrap();
    flow.send(b"hello").unwrap();
    assert_eq!(flow.receive().unwrap(), b"hello");
    program.finish();
}

/// Two of us, one behind the other and with TLS between them: what the first is
/// told of a visitor the service is told by the second.
#[test]
fn a_header_is_handed_on_by_one_after_the_other() {
    let service = Service::start(1);
    let certificate = Certificate::for_name("second.test");
    let ports = [free_port(), free_port()];
    let mut second = between(ports[1], service.address(), 1);
    second["inbounds"][0]["streamSettings"] = certificate.shown();
    let accept = json!({ "acceptProxyProtocol": true });
    second["inbounds"][0]["streamSettings"]["tcpSettings"] = accept;
    let second = Program::start(Kind::Muxcool, "second", &second);
    let mut first = between(ports[0], loopback(ports[1]), 2);
    first["outbounds"][0]["streamSettings"] = certificate.trusted();
    let first = Program::start(Kind::Muxcool, "first", &first);
    let named = visit(loopback(ports[0]), &service);
    assert_eq!(named, Named::ends(named.visitor, loopback(ports[0])));
    first.finish();
    second.finish();
}

/// A visitor who only listens gets the service's first word, and the service
/// its header, before anybody has said anything.
#[test]
fn a_service_that_speaks_first_is_told_first() {
    let service = Service::start_speaking_first(1);
    let port = free_port();
    let program = Program::start(
        Kind::Muxcool,
        "balancer",
        &between(port, service.address(), 1),
    );
    let mut visitor = support::client::Entry::Door(loopback(port))
        .connect()
        .unwrap();
    let named = service.next();
    assert_eq!(
        named,
        Named::ends(visitor.local_addr().unwrap(), loopback(port))
    );
    assert_eq!(service::line(&mut visitor), "220 hello");
    visitor.write_all(b"bye\n").unwrap();
    drop(visitor);
    program.finish();
}
