//! The conditions of a routing rule (section 5.1).

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use super::error::ConfigError;
use super::json::Node;
use super::read::Fields;
use super::routing::Names;
use super::value::{Item, Networks};
use super::words::{instead, quoted};
use crate::router::{Condition, DomainPattern};
use crate::sniff::wire::Protocol;

/// The only application protocol that an inbound tells without sniffing.
const HTTP: &str = "http/1.1";

/// Prefixes that lists of names, or of addresses, in other files have.
const DOMAIN_FILES: [&str; 3] = ["geosite", "ext", "ext-domain"];
const IP_FILES: [&str; 3] = ["geoip", "ext", "ext-ip"];

/// The one list of addresses that is known without its file.
const PRIVATE_LIST: &str = "geoip:private";

/// What is in it in V2Ray's file, and the unspecified address of IPv6, which
/// leads to this machine.
const PRIVATE: [&str; 19] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// Reads all conditions of a rule; an empty list is none.
pub(super) fn conditions(fields: &Fields<'_>, names: &Names<'_>) -> Vec<Condition> {
    let ports = |key| fields.read(key, Node::port_list).unwrap_or_default();
    let tags = fields.each("inboundTag", |item| {
        names.tags.inbounds.resolve(item).map(|tag| tag.to_string())
    });
    let mut patterns = fields.each("domain", pattern);
    patterns.extend(fields.each("domains", pattern));
    let users = fields.each("user", |item| Ok(item.text.to_owned()));
    let all = [
        some(tags, Condition::InboundTag),
        some(patterns, Condition::Domain),
        some(ranges(fields, "ip"), Condition::Ip),
        some(ports("port"), Condition::Port),
        some(ranges(fields, "source"), Condition::Source),
        some(ports("sourcePort"), Condition::SourcePort),
        networks(fields),
        some(users, Condition::User),
        some(protocols(fields, names), Condition::Protocol),
    ];
    all.into_iter().flatten().collect()
}

fn some<T>(list: Vec<T>, condition: fn(Vec<T>) -> Condition) -> Option<Condition> {
    (!list.is_empty()).then(|| condition(list))
}

fn networks(fields: &Fields<'_>) -> Option<Condition> {
    let Networks { tcp, udp } = Networks::read(fields.items("network"), fields.notes());
    (tcp || udp).then_some(Condition::Network { tcp, udp })
}

fn protocols(fields: &Fields<'_>, names: &Names<'_>) -> Vec<String> {
    fields.each("protocol", |item| {
        let mut told = vec![HTTP];
        if names.sniffed {
            told.extend(Protocol::ALL.map(Protocol::name));
        }
        if !told.iter().any(|name| name.starts_with(item.text)) {
            let notes = fields.notes();
            notes.add(&item.node.mark, never_told(item.text, &told));
        }
        Ok(item.text.to_owned())
    })
}

fn never_told(protocol: &str, told: &[&str]) -> String {
    let told: Vec<String> = told.iter().map(|name| quoted(name)).collect();
    let (protocol, told) = (quoted(protocol), told.join(", "));
    format!("{protocol} never matches: what inbounds tell, with \"sniffing\" or without, is {told}")
}

/// `kind:text`, or a plain text for names that contain it.
fn pattern(item: Item<'_>) -> Result<DomainPattern, ConfigError> {
    if item.text.contains(char::is_whitespace) {
        let what = format!("{} never matches: no name has a space", quoted(item.text));
        return Err(item.error(what));
    }
    let Some((kind, text)) = item.text.split_once(':') else {
        return Ok(DomainPattern::Keyword(item.text.into()));
    };
    if DOMAIN_FILES.contains(&kind) {
        return Err(no_files(item, kind, "write the names out"));
    }
    if text.is_empty() && kind != "dotless" {
        return Err(item.error(format!("nothing follows {}", quoted(item.text))));
    }
    match kind {
        "full" => Ok(DomainPattern::Full(text.into())),
        "domain" => Ok(DomainPattern::Domain(text.into())),
        "keyword" => Ok(DomainPattern::Keyword(text.into())),
        "regexp" => expression(item, text),
        "dotless" => dotless(item, text),
        _ => Err(unknown_kind(item, kind)),
    }
}

fn dotless(item: Item<'_>, text: &str) -> Result<DomainPattern, ConfigError> {
    if text.contains('.') {
        return Err(item.error("a dot in a \"dotless:\" pattern"));
    }
    Ok(DomainPattern::Dotless(text.into()))
}

fn expression(item: Item<'_>, text: &str) -> Result<DomainPattern, ConfigError> {
    Regex::new(text).map(DomainPattern::Regex).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        let why = why.strip_prefix("error: ").unwrap_or(why);
        item.error(format!("{} is no regular expression: {why}", quoted(text)))
    })
}

fn no_files(item: Item<'_>, kind: &str, help: &str) -> ConfigError {
    item.error(format!(
        "V2Ray's `{kind}:` lists are not supported by muxcool"
    ))
    .help(help)
}

fn unknown_kind(item: Item<'_>, kind: &str) -> ConfigError {
    let error = item.error(format!("unknown kind of pattern {}", quoted(kind)));
    let kinds = ["full", "domain", "keyword", "regexp", "dotless"];
    match instead(kind, kinds.into_iter()) {
        Some(help) => error.help(help),
        None => error,
    }
}

/// Reads a list of addresses, ranges and the one list that is known here.
pub(super) fn ranges(fields: &Fields<'_>, key: &str) -> Vec<IpNet> {
    let lists = fields.each(key, networks_of);
    lists.into_iter().flatten().collect()
}

/// An IP address, a range in CIDR notation, or all that are private.
fn networks_of(item: Item<'_>) -> Result<Vec<IpNet>, ConfigError> {
    match item.text.eq_ignore_ascii_case(PRIVATE_LIST) {
        true => Ok(PRIVATE.into_iter().filter_map(address_range).collect()),
        false => Ok(vec![network(item)?]),
    }
}

fn network(item: Item<'_>) -> Result<IpNet, ConfigError> {
    if let Some((kind, _)) = item
        .text
        .split_once(':')
        .filter(|(k, _)| IP_FILES.contains(k))
    {
        return Err(no_files(
            item,
            kind,
            "write the ranges out, such as \"10.0.0.0/8\"",
        ));
    }
    address_range(item.text).ok_or_else(|| no_range(item))
}

/// Whether the text names a list in another file.
pub(super) fn is_list_file(text: &str) -> bool {
    let kind = text.split_once(':').map_or(text, |(kind, _)| kind);
    IP_FILES.contains(&kind)
}

/// An IP address, or a range in CIDR notation; IPv6 with or without brackets,
/// which may also be around the whole.
pub(super) fn address_range(text: &str) -> Option<IpNet> {
    let text = unbracketed(text);
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let ip: IpAddr = unbracketed(address).parse().ok()?;
    range(ip.to_canonical(), bits)
}

fn unbracketed(text: &str) -> &str {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inner.unwrap_or(text)
}

fn range(ip: IpAddr, bits: Option<&str>) -> Option<IpNet> {
    let Some(bits) = bits else {
        return Some(ip.into());
    };
    let net = IpNet::new(ip, bits.parse().ok()?).ok()?;
    Some(net.trunc())
}

fn no_range(item: Item<'_>) -> ConfigError {
    item.error(format!("{} is no IP address or range", quoted(item.text)))
        .help("use one such as \"192.0.2.1\", \"10.0.0.0/8\" or \"fc00::/7\"")
}
