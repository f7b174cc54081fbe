//! Settings of the outbounds that need no server: freedom and blackhole.

use std::net::IpAddr;

use super::conditions::ranges;
use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::value::Networks;
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
    notes: &Notes,
) -> Option<(freedom::OutboundOptions, Level)> {
    let fields = Fields::open(node, &FREEDOM, notes)?;
    let strategy = fields.read("domainStrategy", |node| {
        node.choice("strategy", &STRATEGIES)
    });
    let (redirect_address, redirect_port) = fields.read("redirect", redirect).unwrap_or_default();
    let options = freedom::OutboundOptions {
        domain_strategy: strategy.unwrap_or_default(),
        redirect_address,
        redirect_port,
        final_rules: final_rules(&fields),
        send_through,
        proxy_protocol: fields.read("proxyProtocol", version).flatten(),
    };
    Some((options, policy.of_settings(&fields)))
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

fn final_rules(fields: &Fields<'_>) -> Vec<freedom::FinalRule> {
    let nodes = fields.list("finalRules").iter();
    let rules = nodes.map(|node| final_rule(node, fields.notes()));
    let rules: Vec<_> = rules.collect();
    if let (Some(list), Some(Some(last))) = (fields.get("finalRules"), rules.last())
        && !last.is_for_all()
    {
        fields.notes().add(&list.mark, ALLOWS_THE_REST);
    }
    rules.into_iter().flatten().collect()
}

fn final_rule(node: &Node, notes: &Notes) -> Option<freedom::FinalRule> {
    let fields = Fields::open(node, &FINAL_RULE, notes)?;
    let actions = [("allow", true), ("block", false)];
    let allow = fields.need("action", |node| node.choice("action", &actions));
    let networks = Networks::read(fields.items("network"), notes);
    let rule = freedom::FinalRule {
        allow: allow.unwrap_or_default(),
        tcp: networks.tcp || !networks.udp,
        udp: networks.udp || !networks.tcp,
        ports: fields.read("port", Node::port_list).unwrap_or_default(),
        nets: ranges(&fields, "ip"),
    };
    fields.is_sound().then_some(rule)
}

/// Reads a blackhole outbound's settings.
pub(super) fn blackhole(node: &Node, notes: &Notes) -> Option<blackhole::OutboundOptions> {
    let fields = Fields::open(node, &BLACKHOLE, notes)?;
    let response = fields.get("response");
    let response = response.and_then(|node| self::response(node, notes));
    Some(blackhole::OutboundOptions {
        response: response.unwrap_or_default(),
    })
}

fn response(node: &Node, notes: &Notes) -> Option<blackhole::Response> {
    use blackhole::Response;

    let kinds = [("none", Response::None), ("http", Response::Http)];
    let fields = Fields::open(node, &RESPONSE, notes)?;
    fields.need("type", |node| node.choice("response", &kinds))
}

/// Nothing, if the value is empty.
fn redirect(node: &Node) -> Result<(Option<Address>, u16), ConfigError> {
    match node.is_empty() {
        true => Ok((None, 0)),
        false => host_port(node),
    }
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
