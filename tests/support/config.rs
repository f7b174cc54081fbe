//! The configurations of both shapes, in V2Ray's JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::certificate::Certificate;

/// Protocol of the connection between the two programs, and what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Vless,
    Socks,
    VlessTls,
    SocksTls,
    VlessWs,
    SocksWs,
    VlessWss,
    SocksWss,
    /// With this `security`.
    Vmess(&'static str),
    VmessTls,
    VmessWs,
    VmessWss,
}

impl Carrier {
    fn is_vless(self) -> bool {
        use Carrier::{Vless, VlessTls, VlessWs, VlessWss};
        matches!(self, Vless | VlessTls | VlessWs | VlessWss)
    }

    fn has_tls(self) -> bool {
        use Carrier::{SocksTls, SocksWss, VlessTls, VlessWss, VmessTls, VmessWss};
        matches!(
            self,
            VlessTls | SocksTls | VlessWss | SocksWss | VmessTls | VmessWss
        )
    }

    fn has_ws(self) -> bool {
        use Carrier::{SocksWs, SocksWss, VlessWs, VlessWss, VmessWs, VmessWss};
        matches!(
            self,
            VlessWs | SocksWs | VlessWss | SocksWss | VmessWs | VmessWss
        )
    }

    /// The `security` of VMess.
    fn cipher(self) -> Option<&'static str> {
        use Carrier::{Vmess, VmessTls, VmessWs, VmessWss};
        match self {
            Vmess(cipher) => Some(cipher),
            VmessWs => Some("auto"),
            // As guides have it where TLS encrypts.
            VmessTls | VmessWss => Some("none"),
            _ => None,
        }
    }

    /// `settings`, which may be none, on what the carrier is put on.
    fn put_on(self, mut settings: Value) -> Value {
        if self.has_ws() {
            settings["network"] = json!("ws");
            settings["wsSettings"] =
                json!({ "path": "/tunnel", "headers": { "Host": "tunnel.test" } });
        }
        settings
    }
}

/// Name under which bridge and portal find each other.
const REVERSE_DOMAIN: &str = "tunnel.test";

/// Where the carriers go: the inbound of one program, the outbound of the
/// other.
#[derive(Clone, Debug)]
pub struct Endpoint {
    carrier: Carrier,
    port: u16,
    id: String,
    certificate: Option<Certificate>,
}

impl Endpoint {
    pub fn new(carrier: Carrier, port: u16) -> Self {
        Self {
            carrier,
            port,
            id: Uuid::new_v4().to_string(),
            certificate: carrier
                .has_tls()
                .then(|| Certificate::for_name(REVERSE_DOMAIN)),
        }
    }

    /// The same for the user with this id.
    pub fn with_id(self, id: Uuid) -> Self {
        Self {
            id: id.to_string(),
            ..self
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same by way of another port, from where someone forwards.
    pub fn via(&self, port: u16) -> Self {
        Self {
            port,
            ..self.clone()
        }
    }

    pub fn inbound(&self) -> Value {
        let (protocol, settings) = match self.carrier {
            carrier if carrier.cipher().is_some() => (
                "vmess",
                json!({ "clients": [{ "id": self.id, "alterId": 0 }] }),
            ),
            carrier if carrier.is_vless() => (
                "vless",
                json!({ "decryption": "none", "clients": [{ "id": self.id }] }),
            ),
            _ => ("socks", json!({ "auth": "noauth" })),
        };
        let security = self.certificate.as_ref().map(Certificate::shown);
        let mut inbound = inbound("carrier", protocol, self.port, settings);
        inbound["streamSettings"] = self.carrier.put_on(security.unwrap_or(json!({})));
        inbound
    }

    pub fn outbound(&self) -> Value {
        let (protocol, settings) = match self.carrier {
            carrier if carrier.is_vless() => (
                "vless",
                json!({ "vnext": [{
                    "address": LOOPBACK,
                    "port": self.port,
                    "users": [{ "id": self.id, "encryption": "none" }],
                }] }),
            ),
            carrier if carrier.cipher().is_some() => (
                "vmess",
                json!({ "vnext": [{
                    "address": LOOPBACK,
                    "port": self.port,
                    "users": [{ "id": self.id, "alterId": 0, "security": carrier.cipher() }],
                }] }),
            ),
            _ => (
                "socks",
                json!({ "servers": [{ "address": LOOPBACK, "port": self.port }] }),
            ),
        };
        let security = self.certificate.as_ref().map(Certificate::trusted);
        json!({
            "tag": "carrier",
            "protocol": protocol,
            "settings": settings,
            "streamSettings": self.carrier.put_on(security.unwrap_or(json!({}))),
        })
    }

    fn muxed_outbound(&self) -> Value {
        let mut outbound = self.outbound();
        outbound["mux"] = json!({ "enabled": true, "concurrency": 8 });
        outbound
    }
}

/// Where visitors come in.
#[derive(Clone, Debug)]
pub struct Entrances {
    /// A SOCKS proxy with UDP.
    pub socks: u16,
    /// Ports, TCP and UDP, that each stand for a target.
    pub doors: Vec<(u16, SocketAddr)>,
}

impl Entrances {
    fn inbounds(&self) -> Vec<Value> {
        let socks = json!({ "auth": "noauth", "udp": true, "ip": LOOPBACK });
        let proxy = inbound("visitors", "socks", self.socks, socks);
        let doors = self
            .doors
            .iter()
            .enumerate()
            .map(|(number, (port, target))| door(&format!("door-{number}"), *port, *target));
        doors.chain([proxy]).collect()
    }
}

/// The public end of a reverse tunnel.
pub fn portal(entrances: &Entrances, endpoint: &Endpoint) -> Value {
    let mut inbounds = entrances.inbounds();
    let visitor_tags: Vec<Value> = inbounds.iter().map(|each| each["tag"].clone()).collect();
    inbounds.push(endpoint.inbound());
    json!({
        "log": log(),
        "reverse": { "portals": [{ "tag": "portal", "domain": REVERSE_DOMAIN }] },
        "inbounds": inbounds,
        "outbounds": [{ "tag": "nowhere", "protocol": "blackhole" }],
        "routing": { "rules": [
            {
                "type": "field",
                "inboundTag": ["carrier"],
                "domain": [format!("full:{REVERSE_DOMAIN}")],
                "outboundTag": "portal",
            },
            { "type": "field", "inboundTag": visitor_tags, "outboundTag": "portal" },
        ] },
    })
}

/// The private end of a reverse tunnel.
pub fn bridge(endpoint: &Endpoint) -> Value {
    json!({
        "log": log(),
        "reverse": { "bridges": [{ "tag": "bridge", "domain": REVERSE_DOMAIN }] },
        "outbounds": [endpoint.outbound(), freedom()],
        "routing": { "rules": [
            {
                "type": "field",
                "inboundTag": ["bridge"],
                "domain": [format!("full:{REVERSE_DOMAIN}")],
                "outboundTag": "carrier",
            },
            { "type": "field", "inboundTag": ["bridge"], "outboundTag": "local" },
        ] },
    })
}

/// A forward tunnel's near end.
pub fn mux_client(entrances: &Entrances, endpoint: &Endpoint) -> Value {
    json!({
        "log": log(),
        "inbounds": entrances.inbounds(),
        "outbounds": [endpoint.muxed_outbound()],
    })
}

/// The same without mux.
pub fn plain_client(entrances: &Entrances, endpoint: &Endpoint) -> Value {
    json!({
        "log": log(),
        "inbounds": entrances.inbounds(),
        "outbounds": [endpoint.outbound()],
    })
}

/// A forward tunnel's far end.
pub fn mux_server(endpoint: &Endpoint) -> Value {
    json!({
        "log": log(),
        "inbounds": [endpoint.inbound()],
        "outbounds": [freedom()],
    })
}

const LOOPBACK: &str = "127.0.0.1";

fn log() -> Value {
    json!({ "loglevel": "info" })
}

fn freedom() -> Value {
    json!({ "tag": "local", "protocol": "freedom" })
}

fn door(tag: &str, port: u16, target: SocketAddr) -> Value {
    let settings = json!({
        "address": target.ip(),
        "port": target.port(),
        "network": "tcp,udp",
    });
    inbound(tag, "dokodemo-door", port, settings)
}

fn inbound(tag: &str, protocol: &str, port: u16, settings: Value) -> Value {
    json!({
        "tag": tag,
        "listen": LOOPBACK,
        "port": port,
        "protocol": protocol,
        "settings": settings,
    })
}
