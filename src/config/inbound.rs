//! One entry of `inbounds`.

use std::net::{IpAddr, Ipv4Addr};

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::plan::{InboundOptions, InboundPlan};
use super::policy::{Level, Policy};
use super::protocol::{self, Known};
use super::read::{Fields, Keys};
use super::stream::End;
use super::tags::Tags;
use super::value::has_port;
use super::words::quoted;
use super::{dokodemo, http, sniffing, socks, stream, vless, vmess};
use crate::net::Address;

const INBOUND: Keys = Keys {
    known: &[
        "protocol",
        "port",
        "listen",
        "tag",
        "settings",
        "streamSettings",
        "sniffing",
        "allocate",
    ],
    unsupported: &[("domainOverride", "")],
};

const ALLOCATE: Keys = Keys {
    known: &["strategy", "concurrency", "refresh"],
    unsupported: &[],
};

/// Where an inbound listens that does not say.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Clone, Copy)]
enum Protocol {
    Socks,
    Http,
    Dokodemo,
    Vless,
    Vmess,
}

const PROTOCOLS: Known<Protocol> = Known {
    supported: &[
        ("socks", Protocol::Socks),
        ("http", Protocol::Http),
        ("dokodemo-door", Protocol::Dokodemo),
        ("vless", Protocol::Vless),
        ("vmess", Protocol::Vmess),
    ],
    newer: &[("tunnel", Protocol::Dokodemo)],
    unsupported: &[
        "trojan",
        "shadowsocks",
        "mtproto",
        "wireguard",
        "tun",
        "hysteria",
        "mixed",
    ],
};

/// Reads one inbound. If anything is wrong with it, it is one to be looked at
/// only; `None` if there is nothing to look at.
pub(super) fn read(
    node: &Node,
    policy: &Policy,
    tags: &mut Tags,
    notes: &Notes,
) -> Option<InboundPlan> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    let tag = notes.keep(tags.add(fields.get("tag")));
    let protocol = fields.need("protocol", |node| protocol::read(node, &PROTOCOLS));
    let port = fields.get("port").unwrap_or(node);
    let ports = fields.need("port", Node::listen_ports);
    let layers = fields.get("streamSettings");
    allocate(fields.get("allocate"), notes);
    let none = node.empty_child("settings");
    let settings = fields.get("settings").unwrap_or(&none);
    let settings = protocol.and_then(|protocol| options(protocol, settings, policy, notes));
    let (options, level) = settings.unwrap_or_else(|| placeholder(policy));
    Some(InboundPlan {
        tag: tag.unwrap_or_default(),
        listen: fields.read("listen", listen_address).unwrap_or(ANY),
        ports: ports.unwrap_or(0..=0),
        handshake: level.handshake,
        idle: level.inbound_idle(),
        stream: stream::read(layers, End::Server, notes),
        sniffing: sniffing::read(fields.get("sniffing"), notes),
        options,
        place: port.mark.place(),
        stream_place: layers.unwrap_or(port).mark.place(),
    })
}

fn options(
    protocol: Protocol,
    settings: &Node,
    policy: &Policy,
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    Some(match protocol {
        Protocol::Socks => {
            let (options, level) = socks::inbound(settings, policy, notes)?;
            (InboundOptions::Socks(options), level)
        }
        Protocol::Http => {
            let (options, level) = http::inbound(settings, policy, notes)?;
            (InboundOptions::Http(options), level)
        }
        Protocol::Dokodemo => {
            let (options, level) = dokodemo::inbound(settings, policy, notes)?;
            (InboundOptions::Dokodemo(options), level)
        }
        Protocol::Vless => {
            let (options, level) = vless::inbound(settings, policy, notes)?;
            (InboundOptions::Vless(options), level)
        }
        Protocol::Vmess => {
            let (options, level) = vmess::inbound(settings, policy, notes)?;
            (InboundOptions::Vmess(options), level)
        }
    })
}

/// What stands for settings that are wrong, in an inbound that is never started.
fn placeholder(policy: &Policy) -> (InboundOptions, Level) {
    (InboundOptions::Http(Default::default()), policy.level(0))
}

/// V2Ray takes "localhost" as the only name.
fn listen_address(node: &Node) -> Result<IpAddr, ConfigError> {
    let text = node.string()?;
    if text.starts_with(['/', '@']) {
        return Err(node.error("listening on a Unix socket is not supported by muxcool"));
    }
    match text.parse() {
        Ok(Address::Ip(ip)) => Ok(ip),
        Ok(Address::Domain(name)) if name.as_str() == "localhost" => {
            Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
        _ => {
            let help = match has_port(text) {
                true => "the port has a key of its own",
                false => "use an IP address of this machine, or \"localhost\"",
            };
            let what = format!("{} is no address to listen on", quoted(text));
            Err(node.error(what).help(help))
        }
    }
}

/// "always", V2Ray's default, listens on every port all the time.
fn allocate(node: Option<&Node>, notes: &Notes) {
    if let Some(fields) = node.and_then(|node| Fields::open(node, &ALLOCATE, notes)) {
        fields.get("concurrency");
        fields.get("refresh");
        fields.read("strategy", always);
    }
}

fn always(strategy: &Node) -> Result<(), ConfigError> {
    let names = [
        ("always", true),
        ("", true),
        ("random", false),
        ("external", false),
    ];
    if strategy.choice("strategy", &names)? {
        return Ok(());
    }
    let what = format!("{} is not supported by muxcool", quoted(strategy.string()?));
    Err(strategy.error(what).help("use \"always\""))
}
