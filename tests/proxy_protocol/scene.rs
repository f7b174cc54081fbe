//! A tunnel whose bridge says who visits.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Instant;

use serde_json::{Value, json};

use crate::service::{Service, try_visit};
use crate::support::config::{self, Endpoint, Entrances};
use crate::support::ports::{free_port, loopback};
use crate::support::program::{Kind, Program};
use crate::support::{PATIENCE, eventually};

/// Ways to the service.
pub struct Doors {
    pub v4: SocketAddr,
    pub v6: SocketAddr,
    /// For those who say first whom they stand for.
    pub balanced: SocketAddr,
}

pub struct Scene {
    pub portal: Program,
    pub bridge: Program,
    pub doors: Doors,
}

impl Scene {
    /// Our bridge, with headers of this version, and a portal of this kind,
    /// which it can reach by `endpoint`.
    pub fn start(portal: Kind, endpoint: &Endpoint, version: u8, service: &Service) -> Self {
        Self::with(portal, endpoint.inbound(), endpoint, version, service)
    }

    /// The same where the portal has `carriers` for bridges.
    pub fn with(
        kind: Kind,
        carriers: Value,
        endpoint: &Endpoint,
        version: u8,
        service: &Service,
    ) -> Self {
        let doors = Doors::new();
        let portal = doors.portal(kind, carriers, service.address());
        let portal = Program::start(kind, "portal", &portal);
        let mut bridge = config::bridge(endpoint);
        bridge["outbounds"][1]["settings"] = json!({ "proxyProtocol": version });
        refuse(&mut bridge, "203.0.113.128/26");
        let bridge = Program::start(Kind::Muxcool, "bridge", &bridge);
        let scene = Self {
            portal,
            bridge,
            doors,
        };
        scene.wait_until_open(kind, service);
        scene
    }

    /// The portal has to have heard of the bridge what it can do.
    fn wait_until_open(&self, portal: Kind, service: &Service) {
        let told = eventually(Instant::now() + PATIENCE, || {
            let visit = try_visit(self.doors.v4, b"", service);
            let known = |source: Option<_>| source.is_some() || portal == Kind::V2ray;
            visit.ok().filter(|named| known(named.source)).ok_or(())
        });
        told.expect("a visitor of whom the service is told");
    }

    pub fn finish(self) {
        self.portal.finish();
        self.bridge.finish();
    }
}

impl Doors {
    fn new() -> Self {
        let port = free_port();
        Self {
            v4: loopback(port),
            v6: (Ipv6Addr::LOCALHOST, port).into(),
            balanced: loopback(free_port()),
        }
    }

    fn portal(&self, kind: Kind, carriers: Value, service: SocketAddr) -> Value {
        let entrances = Entrances {
            socks: free_port(),
            doors: vec![(self.v4.port(), service)],
        };
        let endpoint = Endpoint::new(config::Carrier::Vless, free_port());
        let mut portal = config::portal(&entrances, &endpoint);
        portal["log"]["access"] = json!("");
        let mut balanced = self.door("balanced", self.balanced, service);
        balanced["streamSettings"] = json!({ "sockopt": { "acceptProxyProtocol": true } });
        let inbounds = portal["inbounds"].as_array_mut().unwrap();
        inbounds.pop();
        inbounds.push(carriers);
        inbounds.push(self.door("v6", self.v6, service));
        if kind == Kind::Muxcool {
            inbounds.push(balanced);
        }
        let visitors = portal.pointer_mut("/routing/rules/1/inboundTag");
        let visitors = visitors.and_then(Value::as_array_mut).unwrap();
        visitors.extend([json!("balanced"), json!("v6")]);
        refuse(&mut portal, "203.0.113.64/26");
        portal
    }

    fn door(&self, tag: &str, address: SocketAddr, service: SocketAddr) -> Value {
        json!({
            "tag": tag,
            "listen": address.ip(),
            "port": address.port(),
            "protocol": "dokodemo-door",
            "settings": { "address": service.ip(), "port": service.port(), "network": "tcp" },
        })
    }
}

/// Sends visitors from these addresses away.
fn refuse(config: &mut Value, sources: &str) {
    let outbounds = config["outbounds"].as_array_mut().unwrap();
    outbounds.push(json!({ "tag": "refused", "protocol": "blackhole" }));
    let rule = json!({ "type": "field", "source": [sources], "outboundTag": "refused" });
    let rules = config["routing"]["rules"].as_array_mut().unwrap();
    rules.insert(0, rule);
}

/// An inbound for carriers that come through a balancer.
pub fn balanced(endpoint: &Endpoint) -> Value {
    let mut inbound = endpoint.inbound();
    let settings = &mut inbound["streamSettings"];
    let key = match settings["network"] == json!("ws") {
        true => "wsSettings",
        false => "tcpSettings",
    };
    settings[key]["acceptProxyProtocol"] = json!(true);
    inbound
}
