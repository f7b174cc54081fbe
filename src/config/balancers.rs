//! `balancers` of `routing` (section 5.3).

use std::sync::Arc;

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tags::{Tags, entries};
use super::value::Item;
use crate::router::{BalancerOptions, BalancerStrategy};

const BALANCER: Keys = Keys {
    known: &["tag", "selector", "strategy", "fallbackTag"],
    unsupported: &[],
};

const STRATEGY: Keys = Keys {
    known: &["type", "settings"],
    unsupported: &[],
};

const STRATEGIES: [(&str, BalancerStrategy); 5] = [
    ("random", BalancerStrategy::Random),
    ("", BalancerStrategy::Random),
    ("roundRobin", BalancerStrategy::RoundRobin),
    ("leastPing", BalancerStrategy::LeastPing),
    ("leastLoad", BalancerStrategy::LeastLoad),
];

const NO_SETTINGS: &str = "has no effect: round trips are taken from the connections themselves";

/// Reads the list, and adds the balancers' names to `tags`.
pub(super) fn read(
    nodes: Result<&[Node], ConfigError>,
    outbounds: &Tags,
    tags: &mut Tags,
    notes: &mut Notes,
) -> Vec<BalancerOptions> {
    entries(nodes, tags, notes, |node, tags, notes| {
        balancer(node, outbounds, tags, notes)
    })
}

fn balancer(
    node: &Node,
    outbounds: &Tags,
    tags: &mut Tags,
    notes: &mut Notes,
) -> Result<BalancerOptions, ConfigError> {
    let fields = Fields::open(node, &BALANCER)?;
    let tag = fields.need("tag")?;
    if tag.string()?.is_empty() {
        return Err(tag.error("a balancer without a name"));
    }
    let options = BalancerOptions {
        tag: tags.add(Some(tag))?,
        selector: selector(fields.need("selector")?)?,
        strategy: fields
            .get("strategy")
            .map_or(Ok(BalancerStrategy::default()), |node| {
                strategy(node, notes)
            })?,
        fallback: fallback(fields.get("fallbackTag"), outbounds)?,
    };
    fields.finish()?;
    if outbounds.is_complete() && !outbounds.names().any(|tag| options.selects(tag)) {
        notes.add(&node.mark, "no outbound has a tag that begins so");
    }
    Ok(options)
}

fn selector(node: &Node) -> Result<Vec<String>, ConfigError> {
    let items = node.strings()?;
    if items.is_empty() {
        return Err(node
            .error("an empty list selects no outbound")
            .help("give what the outbounds' tags begin with"));
    }
    Ok(items.iter().map(|item| item.text.to_owned()).collect())
}

fn strategy(node: &Node, notes: &mut Notes) -> Result<BalancerStrategy, ConfigError> {
    let fields = Fields::open(node, &STRATEGY)?;
    if let Some(settings) = fields.get("settings").filter(|node| !node.is_empty()) {
        notes.add(&settings.mark, NO_SETTINGS);
    }
    let strategy = fields
        .get("type")
        .map_or(Ok(BalancerStrategy::default()), |node| {
            node.choice("strategy", &STRATEGIES)
        })?;
    fields.finish()?;
    Ok(strategy)
}

fn fallback(node: Option<&Node>, outbounds: &Tags) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(node) = node else {
        return Ok(None);
    };
    match node.string()? {
        "" => Ok(None),
        text => outbounds.resolve(Item { node, text }).map(Some),
    }
}
