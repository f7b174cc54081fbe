//! One entry of `outbounds`.

use std::net::IpAddr;

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::plan::{MuxPlan, OutboundOptions, OutboundPlan};
use super::policy::{Level, Policy};
use super::protocol::{self, Known};
use super::read::{Fields, Keys};
use super::stream::End;
use super::tags::Tags;
use super::{direct, socks, stream, vless, vmess};
use crate::limits::{DEFAULT_CONCURRENCY, MAX_CONCURRENCY};

const OUTBOUND: Keys = Keys {
    known: &[
        "protocol",
        "tag",
        "settings",
        "sendThrough",
        "streamSettings",
        "mux",
    ],
    unsupported: &[
        ("proxySettings", "outbounds cannot be chained"),
        ("targetStrategy", ""),
    ],
};

const MUX: Keys = Keys {
    known: &["enabled", "concurrency"],
    unsupported: &[
        ("xudpConcurrency", "UDP shares the carriers of TCP"),
        ("xudpProxyUDP443", ""),
    ],
};

#[derive(Clone, Copy)]
enum Protocol {
    Freedom,
    Blackhole,
    Socks,
    Vless,
    Vmess,
}

const PROTOCOLS: Known<Protocol> = Known {
    supported: &[
        ("freedom", Protocol::Freedom),
        ("blackhole", Protocol::Blackhole),
        ("socks", Protocol::Socks),
        ("vless", Protocol::Vless),
        ("vmess", Protocol::Vmess),
    ],
    newer: &[
        ("direct", Protocol::Freedom),
        ("block", Protocol::Blackhole),
    ],
    unsupported: &[
        "trojan",
        "shadowsocks",
        "mtproto",
        "http",
        "dns",
        "loopback",
        "wireguard",
        "hysteria",
    ],
};

/// Reads one outbound. If anything is wrong with it, it is one to be looked at
/// only; `None` if there is nothing to look at.
pub(super) fn read(
    node: &Node,
    policy: &Policy,
    tags: &mut Tags,
    notes: &Notes,
) -> Option<OutboundPlan> {
    let fields = Fields::open(node, &OUTBOUND, notes)?;
    let tag = notes.keep(tags.add(fields.get("tag")));
    let protocol = fields.need("protocol", |node| protocol::read(node, &PROTOCOLS));
    let send_through = fields.read("sendThrough", Node::ip);
    let none = node.empty_child("settings");
    let settings = fields.get("settings").unwrap_or(&none);
    let settings =
        protocol.and_then(|protocol| options(protocol, settings, send_through, policy, notes));
    let (options, level) = settings.unwrap_or_else(|| placeholder(policy));
    Some(OutboundPlan {
        tag: tag.unwrap_or_default(),
        handshake: level.handshake,
        idle: level.outbound_idle(),
        send_through,
        stream: stream::read(fields.get("streamSettings"), End::Client, notes),
        options,
        mux: mux(fields.get("mux"), notes),
        place: node.mark.place(),
    })
}

fn options(
    protocol: Protocol,
    settings: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &Notes,
) -> Option<(OutboundOptions, Level)> {
    Some(match protocol {
        Protocol::Freedom => {
            let (options, level) = direct::freedom(settings, send_through, policy, notes)?;
            (OutboundOptions::Freedom(options), level)
        }
        Protocol::Blackhole => {
            let options = direct::blackhole(settings, notes)?;
            (OutboundOptions::Blackhole(options), policy.level(0))
        }
        Protocol::Socks => {
            let (options, level) = socks::outbound(settings, policy, notes)?;
            (OutboundOptions::Socks(options), level)
        }
        Protocol::Vless => {
            let (options, level) = vless::outbound(settings, send_through, policy, notes)?;
            (OutboundOptions::Vless(options), level)
        }
        Protocol::Vmess => {
            let (options, level) = vmess::outbound(settings, send_through, policy, notes)?;
            (OutboundOptions::Vmess(options), level)
        }
    })
}

/// What stands for settings that are wrong, in an outbound that is never started.
fn placeholder(policy: &Policy) -> (OutboundOptions, Level) {
    (
        OutboundOptions::Blackhole(Default::default()),
        policy.level(0),
    )
}

/// The rules of section 6: a negative concurrency turns mux off whatever
/// `enabled` says, one above the limit is refused whatever it says.
fn mux(node: Option<&Node>, notes: &Notes) -> Option<MuxPlan> {
    let fields = Fields::open(node?, &MUX, notes)?;
    let given = fields.read("concurrency", concurrency).unwrap_or_default();
    let enabled = fields.flag("enabled") && given >= 0;
    let concurrency = match given {
        0 => DEFAULT_CONCURRENCY,
        given => given as u32,
    };
    enabled.then_some(MuxPlan { concurrency })
}

fn concurrency(node: &Node) -> Result<i64, ConfigError> {
    let given = node.whole(i64::from(i16::MIN)..=i64::from(i16::MAX))?;
    if given > i64::from(MAX_CONCURRENCY) {
        return Err(node
            .error(format!("{given} sessions on one carrier are too many"))
            .help(format!("use at most {MAX_CONCURRENCY}")));
    }
    Ok(given)
}
