//! Where a bridge's sessions may go: addresses, ranges of them, and ports.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::conditions::{address_range, is_list_file};
use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::value::Item;
use super::words::quoted;
use crate::net::{Address, AllowedTargets, TargetRange};

const FORMS: &str = "use one such as \"192.0.2.1:80\", \"10.0.0.0/8\", \"[fc00::/7]:443\" or \
                     \":8000-8999\"";

/// Reads a list of `RANGE`, `RANGE:PORTS` and `:PORTS`, in which `RANGE` is an
/// address or a CIDR range, IPv6 in brackets if ports follow.
pub(super) fn read(node: &Node, notes: &Notes) -> AllowedTargets {
    if matches!(node.elements(), Ok([])) {
        let error = node.error("an empty list would let nobody through");
        notes.blame(error.help("leave it out to allow every target"));
    }
    let items = node.items(notes).into_iter();
    let ranges = items.filter_map(|item| notes.keep(range(item)));
    AllowedTargets::new(ranges.collect())
}

fn range(item: Item<'_>) -> Result<TargetRange, ConfigError> {
    if let Some(net) = address_range(item.text) {
        let ports = 0..=u16::MAX;
        return Ok(TargetRange {
            net: Some(net),
            ports,
        });
    }
    let (host, ports) = item
        .text
        .rsplit_once(':')
        .ok_or_else(|| wrong(item, item.text))?;
    Ok(TargetRange {
        net: net(item, host)?,
        ports: self::ports(item, ports)?,
    })
}

/// The addresses in front of a port; nothing stands for all of them.
fn net(item: Item<'_>, host: &str) -> Result<Option<IpNet>, ConfigError> {
    match host {
        "" => Ok(None),
        _ if host.contains(':') && !host.starts_with('[') => Err(wrong(item, host)),
        _ => address_range(host)
            .map(Some)
            .ok_or_else(|| wrong(item, host)),
    }
}

fn ports(item: Item<'_>, text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
    item.node.plain_range(text)
}

fn wrong(item: Item<'_>, host: &str) -> ConfigError {
    if is_list_file(host) || is_list_file(item.text) {
        let what = "V2Ray's lists of addresses are not supported by muxcool";
        return item.error(what).help("write the ranges out");
    }
    let is_port = |b: u8| b.is_ascii_digit() || b == b'-';
    if !host.is_empty() && host.bytes().all(is_port) {
        let what = format!("{} is a port without an address", quoted(host));
        return item
            .error(what)
            .help(format!("for all addresses write \":{host}\""));
    }
    let error = match host.parse() {
        Ok(Address::Domain(_)) => item.error(format!(
            "{} is a name, and what is checked is the address that is dialled",
            quoted(host)
        )),
        _ => item.error(format!(
            "{} is no address, range or port",
            quoted(item.text)
        )),
    };
    error.help(FORMS)
}
