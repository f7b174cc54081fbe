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

/// Reads one inbound.
pub(super) fn read(
    node: &Node,
    policy: &Policy,
    tags: &mut Tags,
    notes: &mut Notes,
) -> Result<InboundPlan, ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let protocol = protocol::read(fields.need("protocol")?, &PROTOCOLS)?;
    let port = fields.need("port")?;
    let listen = fields.get("listen");
    let layers = fields.get("streamSettings");
    let stream = stream::read(layers, End::Server, notes)?;
    fields.get("allocate").map_or(Ok(()), allocate)?;
    let none = node.empty_child("settings");
    let settings = fields.get("settings").unwrap_or(&none);
    let (options, level) = options(protocol, settings, policy, notes)?;
    let plan = InboundPlan {
        tag: tags.add(fields.get("tag"))?,
        listen: listen.map_or(Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), listen_address)?,
        ports: port.listen_ports()?,
        handshake: level.handshake,
        idle: level.inbound_idle(),
        stream,
        sniffing: sniffing::read(fields.get("sniffing"), notes)?,
        options,
        place: port.mark.place(),
        stream_place: layers.unwrap_or(port).mark.place(),
    };
    fields.finish()?;
    Ok(plan)
}

fn options(
    protocol: Protocol,
    settings: &Node,
    policy: &Policy,
    notes: &mut Notes,
) -> Result<(InboundOptions, Level), ConfigError> {
    Ok(match protocol {
        Protocol::Socks => {
            let (options, level) = socks::inbound(settings, policy, notes)?;
            (InboundOptions::Socks(options), level)
        }
        Protocol::Http => {
            let (options, level) = http::inbound(settings, policy)?;
            (InboundOptions::Http(options), level)
        }
        Protocol::Dokodemo => {
            let (options, level) = dokodemo::inbound(settings, policy)?;
            (InboundOptions::Dokodemo(options), level)
        }
        Protocol::Vless => {
            let (options, level) = vless::inbound(settings, policy)?;
            (InboundOptions::Vless(options), level)
        }
        Protocol::Vmess => {
            let (options, level) = vmess::inbound(settings, policy, notes)?;
            (InboundOptions::Vmess(options), level)
        }
    })
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
        _ => Err(node
            .error(format!("{} is no address to listen on", quoted(text)))
            .help("use an IP address of this machine, or \"localhost\"")),
    }
}

/// "always", V2Ray's default, listens on every port all the time.
fn allocate(node: &Node) -> Result<(), ConfigError> {
    let fields = Fields::open(node, &ALLOCATE)?;
    fields.get("concurrency");
    fields.get("refresh");
    if let Some(strategy) = fields.get("strategy") {
        let names = [
            ("always", true),
            ("", true),
            ("random", false),
            ("external", false),
        ];
        if !strategy.choice("strategy", &names)? {
            return Err(strategy
                .error(format!(
                    "{} is not supported by muxcool",
                    quoted(strategy.string()?)
                ))
                .help("use \"always\""));
        }
    }
    fields.finish()
}
