//! How conditions of rules are printed.

use std::fmt::{self, Write};

use crate::app::explain::{Condition, DomainPattern};

/// A condition as configurations have it, with the first entries of a long
/// list.
pub(super) fn shown(condition: &Condition) -> String {
    match condition {
        Condition::InboundTag(tags) => listed("inboundTag", tags.iter()),
        Condition::Domain(patterns) => listed("domain", patterns.iter().map(pattern)),
        Condition::Ip(nets) => listed("ip", nets.iter()),
        Condition::Port(ranges) => listed("port", ranges.iter().map(range)),
        Condition::Source(nets) => listed("source", nets.iter()),
        Condition::SourcePort(ranges) => listed("sourcePort", ranges.iter().map(range)),
        Condition::Network { tcp, udp } => {
            let networks = [(*tcp, "tcp"), (*udp, "udp")].into_iter();
            listed(
                "network",
                networks
                    .filter(|(is_meant, _)| *is_meant)
                    .map(|(_, name)| name),
            )
        }
        Condition::User(users) => listed("user", users.iter()),
        Condition::Protocol(prefixes) => listed("protocol", prefixes.iter()),
    }
}

/// Entries of a list that are printed.
const LISTED: usize = 5;

fn listed(key: &str, entries: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut text = key.to_owned();
    for (index, entry) in entries.enumerate() {
        let separator = if index == 0 { ' ' } else { ',' };
        if index == LISTED {
            text.push_str(",…");
            break;
        }
        let _ = write!(text, "{separator}{entry}");
    }
    text
}

fn pattern(pattern: &DomainPattern) -> String {
    match pattern {
        DomainPattern::Keyword(text) => format!("keyword:{text}"),
        DomainPattern::Full(text) => format!("full:{text}"),
        DomainPattern::Domain(text) => format!("domain:{text}"),
        DomainPattern::Dotless(text) => format!("dotless:{text}"),
        DomainPattern::Regex(regex) => format!("regexp:{}", regex.as_str()),
    }
}

fn range(range: &std::ops::RangeInclusive<u16>) -> String {
    match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    }
}
