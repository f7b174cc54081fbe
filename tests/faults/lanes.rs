//! Many tunnels side by side between two programs, each with a door, a relay
//! on its way and carriers of its own, so that faults of one do not wait for
//! another.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::support::{
    client::Entry,
    config::{Carrier, Endpoint},
    ports::{free_port, loopback},
    program::{Kind, Program},
    relay::Relay,
    streams::Manner,
};

/// When a silent peer is asked, suspected and given up, in seconds: earlier than
/// by default, for a test that waits for it, and not so early that a machine with
/// much to do is taken for silent.
const TIMES: (u32, u32, u32) = (1, 2, 5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Near is the portal, far the bridge that dials it.
    Reverse,
    /// Near is the mux client that dials, far the mux server.
    Forward,
}

/// Which programs are at the ends. Visitors come to the near one.
#[derive(Clone, Copy, Debug)]
pub struct Pairing {
    pub shape: Shape,
    pub near: Kind,
    pub far: Kind,
}

impl Pairing {
    /// At which ends what streams come to is our affair.
    pub fn judged(self) -> (bool, bool) {
        (self.near == Kind::Muxcool, self.far == Kind::Muxcool)
    }

    /// V2Ray knows no half-close.
    pub fn manner(self) -> Manner {
        match self.judged() {
            (true, true) => Manner::HalfClose,
            _ => Manner::Patient,
        }
    }
}

/// Under what both programs run.
pub struct Setting {
    pub log: Value,
    /// Shell commands before the program.
    pub limits: &'static str,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            log: json!({ "loglevel": "info", "access": "none" }),
            limits: "",
        }
    }
}

impl Setting {
    fn start(&self, kind: Kind, role: &str, mut config: Value) -> Program {
        let (probe, suspect, dead) = TIMES;
        config["log"] = self.log.clone();
        // V2Ray reads past what is ours.
        config["policy"] = json!({ "mux": { "probe": probe, "suspect": suspect, "dead": dead } });
        Program::start_limited(kind, role, &config, self.limits)
    }
}

pub struct Lane {
    pub relay: Relay,
    pub door: SocketAddr,
}

/// The fields are in the order in which they have to end.
pub struct Lanes {
    pub lanes: Vec<Lane>,
    pub near: Program,
    pub far: Program,
    pub pairing: Pairing,
}

impl Lanes {
    /// So many tunnels to `target`.
    pub fn start(pairing: Pairing, count: usize, target: SocketAddr) -> Self {
        Self::start_with(pairing, count, target, Setting::default(), Relay::start)
    }

    /// The same with relays of the caller's, each made for the carriers' port.
    pub fn start_with(
        pairing: Pairing,
        count: usize,
        target: SocketAddr,
        setting: Setting,
        mut relay: impl FnMut(SocketAddr) -> Relay,
    ) -> Self {
        let carriers = Endpoint::new(Carrier::Vless, free_port());
        let relays: Vec<Relay> = (0..count)
            .map(|_| relay(loopback(carriers.port())))
            .collect();
        let doors: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let ways: Vec<Endpoint> = relays
            .iter()
            .map(|relay| carriers.via(relay.address().port()))
            .collect();
        let (near, far) = match pairing.shape {
            Shape::Reverse => {
                let portal = portal(&carriers, &doors, target);
                let near = setting.start(pairing.near, "portal", portal);
                (near, setting.start(pairing.far, "bridge", bridge(&ways)))
            }
            Shape::Forward => {
                let far = setting.start(pairing.far, "mux server", server(&carriers));
                let client = client(&ways, &doors, target);
                (setting.start(pairing.near, "mux client", client), far)
            }
        };
        let lanes = relays.into_iter().zip(doors);
        let lanes = lanes.map(|(relay, door)| Lane {
            relay,
            door: loopback(door),
        });
        Self {
            lanes: lanes.collect(),
            near,
            far,
            pairing,
        }
    }

    /// Ends the programs as an operator would, while the relays still stand.
    pub fn finish(self) {
        self.near.finish();
        self.far.finish();
    }
}

impl Lane {
    pub fn entry(&self) -> Entry {
        Entry::Door(self.door)
    }
}

fn portal(carriers: &Endpoint, doors: &[u16], target: SocketAddr) -> Value {
    let numbers = 0..doors.len();
    let portals = numbers
        .clone()
        .map(|n| json!({ "tag": format!("portal-{n}"), "domain": domain(n) }));
    let bridges_come = numbers.clone().map(|n| {
        json!({
            "type": "field",
            "inboundTag": ["carrier"],
            "domain": [format!("full:{}", domain(n))],
            "outboundTag": format!("portal-{n}"),
        })
    });
    let visitors_come = numbers.map(|n| from_to(&format!("door-{n}"), &format!("portal-{n}")));
    let mut inbounds = doors_to(doors, target);
    inbounds.push(carriers.inbound());
    json!({
        "reverse": { "portals": portals.collect::<Vec<_>>() },
        "inbounds": inbounds,
        "outbounds": [{ "tag": "nowhere", "protocol": "blackhole" }],
        "routing": { "rules": bridges_come.chain(visitors_come).collect::<Vec<_>>() },
    })
}

fn bridge(ways: &[Endpoint]) -> Value {
    let numbers = 0..ways.len();
    let bridges = numbers
        .clone()
        .map(|n| json!({ "tag": format!("bridge-{n}"), "domain": domain(n) }));
    let carriers = numbers.clone().map(|n| {
        json!({
            "type": "field",
            "inboundTag": [format!("bridge-{n}")],
            "domain": [format!("full:{}", domain(n))],
            "outboundTag": format!("carrier-{n}"),
        })
    });
    let sessions = numbers.map(|n| from_to(&format!("bridge-{n}"), "local"));
    let mut outbounds = vec![freedom()];
    outbounds.extend(ways.iter().enumerate().map(|(n, way)| outbound(way, n)));
    json!({
        "reverse": { "bridges": bridges.collect::<Vec<_>>() },
        "outbounds": outbounds,
        "routing": { "rules": carriers.chain(sessions).collect::<Vec<_>>() },
    })
}

fn client(ways: &[Endpoint], doors: &[u16], target: SocketAddr) -> Value {
    let outbounds = ways.iter().enumerate().map(|(n, way)| {
        let mut outbound = outbound(way, n);
        outbound["mux"] = json!({ "enabled": true, "concurrency": 8 });
        outbound
    });
    let rules = (0..ways.len()).map(|n| from_to(&format!("door-{n}"), &format!("carrier-{n}")));
    json!({
        "inbounds": doors_to(doors, target),
        "outbounds": outbounds.collect::<Vec<_>>(),
        "routing": { "rules": rules.collect::<Vec<_>>() },
    })
}

fn server(carriers: &Endpoint) -> Value {
    json!({
        "inbounds": [carriers.inbound()],
        "outbounds": [freedom()],
    })
}

fn domain(number: usize) -> String {
    format!("lane-{number}.test")
}

fn from_to(inbound: &str, outbound: &str) -> Value {
    json!({ "type": "field", "inboundTag": [inbound], "outboundTag": outbound })
}

fn doors_to(doors: &[u16], target: SocketAddr) -> Vec<Value> {
    let door = |(n, port): (usize, &u16)| {
        json!({
            "tag": format!("door-{n}"),
            "listen": "127.0.0.1",
            "port": port,
            "protocol": "dokodemo-door",
            "settings": { "address": target.ip(), "port": target.port(), "network": "tcp" },
        })
    };
    doors.iter().enumerate().map(door).collect()
}

fn outbound(way: &Endpoint, number: usize) -> Value {
    let mut outbound = way.outbound();
    outbound["tag"] = format!("carrier-{number}").into();
    outbound
}

fn freedom() -> Value {
    json!({ "tag": "local", "protocol": "freedom" })
}
