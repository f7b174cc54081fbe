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
    routing: &Fields<'_>,
    outbounds: &Tags,
    tags: &mut Tags,
) -> Vec<BalancerOptions> {
    entries(routing, "balancers", tags, |node, tags| {
        balancer(node, outbounds, tags, routing.notes())
    })
    .all
}

fn balancer(
    node: &Node,
    outbounds: &Tags,
    tags: &mut Tags,
    notes: &Notes,
) -> Option<BalancerOptions> {
    let fields = Fields::open(node, &BALANCER, notes)?;
    let tag = fields.need("tag", |node| match node.string()? {
        "" => Err(node.error("a balancer without a name")),
        _ => tags.add(Some(node)),
    });
    let selector = fields
        .need_node("selector")
        .map(|node| selector(node, notes));
    let strategy = fields.get("strategy");
    let strategy = strategy.and_then(|node| self::strategy(node, notes));
    let fallback = fields.read("fallbackTag", |node| fallback(node, outbounds));
    let options = BalancerOptions {
        tag: tag?,
        selector: selector?,
        strategy: strategy.unwrap_or_default(),
        fallback: fallback.flatten(),
    };
    let is_known = fields.is_sound() && outbounds.is_complete();
    if is_known && !outbounds.names().any(|tag| options.selects(tag)) {
        notes.add(&node.mark, "no outbound has a tag that begins so");
    }
    Some(options)
}

fn selector(node: &Node, notes: &Notes) -> Vec<String> {
    if matches!(node.elements(), Ok([])) {
        let error = node.error("an empty list selects no outbound");
        notes.blame(error.help("give what the outbounds' tags begin with"));
    }
    let items = node.items(notes).into_iter();
    items.map(|item| item.text.to_owned()).collect()
}

fn strategy(node: &Node, notes: &Notes) -> Option<BalancerStrategy> {
    let fields = Fields::open(node, &STRATEGY, notes)?;
    if let Some(settings) = fields.get("settings").filter(|node| !node.is_empty()) {
        notes.add(&settings.mark, NO_SETTINGS);
    }
    fields.read("type", |node| node.choice("strategy", &STRATEGIES))
}

fn fallback(node: &Node, outbounds: &Tags) -> Result<Option<Arc<str>>, ConfigError> {
    match node.string()? {
        "" => Ok(None),
        text => outbounds.resolve(Item { node, text }).map(Some),
    }
}
