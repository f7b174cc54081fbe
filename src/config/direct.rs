//! Settings of the outbounds that need no server: freedom and blackhole.

use std::net::IpAddr;

use super::conditions::ranges;
use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::words::quoted;
use crate::net::Address;
use crate::proxy::{blackhole, freedom};
use crate::transport::proxy_protocol::Version;

const ALLOWS_THE_REST: &str = "lets through what none of its rules holds for, private addresses \
                               as well, which Xray keeps from users of other machines; say at the \
                               end what is meant: {\"action\": \"block\"} or {\"action\": \
                               \"allow\"}";

const FREEDOM: Keys = Keys {
    known: &[
        "domainStrategy",
        "redirect",
        "proxyProtocol",
        "finalRules",
        "timeout",
        "userLevel",
    ],
    unsupported: &[("fragment", ""), ("noises", "")],
};

const FINAL_RULE: Keys = Keys {
    known: &["action", "network", "port", "ip"],
    unsupported: &[("blockDelay", "what is blocked fails at once")],
};

const BLACKHOLE: Keys = Keys {
    known: &["response"],
    unsupported: &[],
};

const RESPONSE: Keys = Keys {
    known: &["type"],
    unsupported: &[],
};

const STRATEGIES: [(&str, freedom::DomainStrategy); 14] = {
    use freedom::DomainStrategy::*;
    [
        ("AsIs", AsIs),
        ("", AsIs),
        ("UseIP", UseIp),
        ("Use_IP", UseIp),
        ("UseIPv4", UseIpv4),
        ("UseIP4", UseIpv4),
        ("Use_IPv4", UseIpv4),
        ("Use_IP_v4", UseIpv4),
        ("Use_IP4", UseIpv4),
        ("UseIPv6", UseIpv6),
        ("UseIP6", UseIpv6),
        ("Use_IPv6", UseIpv6),
        ("Use_IP_v6", UseIpv6),
        ("Use_IP6", UseIpv6),
    ]
};

/// Reads a freedom outbound's settings.
pub(super) fn freedom(
    node: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &mut Notes,
) -> Result<(freedom::OutboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &FREEDOM)?;
    let strategy = fields.get("domainStrategy");
    let redirect = fields
        .get("redirect")
        .filter(|redirect| !redirect.is_empty());
    let (redirect_address, redirect_port) = redirect.map_or(Ok((None, 0)), host_port)?;
    let options = freedom::OutboundOptions {
        domain_strategy: strategy
            .map(|node| node.choice("strategy", &STRATEGIES))
            .transpose()?
            .unwrap_or_default(),
        redirect_address,
        redirect_port,
        final_rules: final_rules(&fields, notes)?,
        send_through,
        proxy_protocol: fields.get("proxyProtocol").map_or(Ok(None), version)?,
    };
    let level = policy.of_settings(&fields)?;
    fields.finish()?;
    Ok((options, level))
}

/// 0, as in Xray, is none.
fn version(node: &Node) -> Result<Option<Version>, ConfigError> {
    match node.whole(0..=i64::MAX)? {
        0 => Ok(None),
        1 => Ok(Some(Version::V1)),
        2 => Ok(Some(Version::V2)),
        other => Err(node
            .error(format!("there is no version {other} of the PROXY protocol"))
            .help("use 1 or 2")),
    }
}

fn final_rules(
    fields: &Fields<'_>,
    notes: &mut Notes,
) -> Result<Vec<freedom::FinalRule>, ConfigError> {
    let nodes = fields.list("finalRules")?;
    let rules: Vec<_> = nodes.iter().map(final_rule).collect::<Result<_, _>>()?;
    if let Some(list) = fields.get("finalRules")
        && rules.last().is_some_and(|rule| !rule.is_for_all())
    {
        notes.add(&list.mark, ALLOWS_THE_REST);
    }
    Ok(rules)
}

fn final_rule(node: &Node) -> Result<freedom::FinalRule, ConfigError> {
    let fields = Fields::open(node, &FINAL_RULE)?;
    let actions = [("allow", true), ("block", false)];
    let networks = fields.get("network").map(Node::networks).transpose()?;
    let rule = freedom::FinalRule {
        allow: fields.need("action")?.choice("action", &actions)?,
        tcp: networks.as_ref().is_none_or(|n| n.tcp || !n.udp),
        udp: networks.as_ref().is_none_or(|n| n.udp || !n.tcp),
        ports: fields.get("port").map_or(Ok(Vec::new()), Node::port_list)?,
        nets: ranges(&fields, "ip")?,
    };
    fields.finish()?;
    Ok(rule)
}

/// Reads a blackhole outbound's settings.
pub(super) fn blackhole(node: &Node) -> Result<blackhole::OutboundOptions, ConfigError> {
    let fields = Fields::open(node, &BLACKHOLE)?;
    let response = fields
        .get("response")
        .map_or(Ok(Default::default()), response)?;
    fields.finish()?;
    Ok(blackhole::OutboundOptions { response })
}

fn response(node: &Node) -> Result<blackhole::Response, ConfigError> {
    use blackhole::Response;

    let fields = Fields::open(node, &RESPONSE)?;
    let kind = fields.need("type")?.choice(
        "response",
        &[("none", Response::None), ("http", Response::Http)],
    )?;
    fields.finish()?;
    Ok(kind)
}

/// `host:port` or `:port`; an unspecified host or port 0 keeps the target's.
fn host_port(node: &Node) -> Result<(Option<Address>, u16), ConfigError> {
    let text = node.string()?;
    let wrong = || {
        node.error(format!("{} is no target", quoted(text)))
            .help("use \"host:port\" or \":port\", with IPv6 in brackets")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() {
        return Ok((None, port));
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(wrong());
    }
    let address: Address = host.parse().map_err(|_| wrong())?;
    let keeps = address.ip() == Some(IpAddr::from([0, 0, 0, 0]));
    Ok(((!keeps).then_some(address), port))
}
