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

/// Reads one outbound.
pub(super) fn read(
    node: &Node,
    policy: &Policy,
    tags: &mut Tags,
    notes: &mut Notes,
) -> Result<OutboundPlan, ConfigError> {
    let fields = Fields::open(node, &OUTBOUND)?;
    let protocol = protocol::read(fields.need("protocol")?, &PROTOCOLS)?;
    let send_through = fields.get("sendThrough").map(Node::ip).transpose()?;
    let stream = stream::read(fields.get("streamSettings"), End::Client, notes)?;
    let none = node.empty_child("settings");
    let settings = fields.get("settings").unwrap_or(&none);
    let (options, level) = options(protocol, settings, send_through, policy, notes)?;
    let plan = OutboundPlan {
        tag: tags.add(fields.get("tag"))?,
        handshake: level.handshake,
        idle: level.outbound_idle(),
        send_through,
        stream,
        options,
        mux: fields.get("mux").map_or(Ok(None), mux)?,
        place: node.mark.place(),
    };
    fields.finish()?;
    Ok(plan)
}

fn options(
    protocol: Protocol,
    settings: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &mut Notes,
) -> Result<(OutboundOptions, Level), ConfigError> {
    Ok(match protocol {
        Protocol::Freedom => {
            let (options, level) = direct::freedom(settings, send_through, policy, notes)?;
            (OutboundOptions::Freedom(options), level)
        }
        Protocol::Blackhole => {
            let options = direct::blackhole(settings)?;
            (OutboundOptions::Blackhole(options), policy.level(0))
        }
        Protocol::Socks => {
            let (options, level) = socks::outbound(settings, policy)?;
            (OutboundOptions::Socks(options), level)
        }
        Protocol::Vless => {
            let (options, level) = vless::outbound(settings, send_through, policy)?;
            (OutboundOptions::Vless(options), level)
        }
        Protocol::Vmess => {
            let (options, level) = vmess::outbound(settings, send_through, policy, notes)?;
            (OutboundOptions::Vmess(options), level)
        }
    })
}

/// The rules of section 6: a negative concurrency turns mux off whatever
/// `enabled` says, one above the limit is refused whatever it says.
fn mux(node: &Node) -> Result<Option<MuxPlan>, ConfigError> {
    let fields = Fields::open(node, &MUX)?;
    let given = fields.get("concurrency").map_or(Ok(0), concurrency)?;
    let enabled = fields.flag("enabled")? && given >= 0;
    fields.finish()?;
    let concurrency = match given {
        0 => DEFAULT_CONCURRENCY,
        given => given as u32,
    };
    Ok(enabled.then_some(MuxPlan { concurrency }))
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
