//! `routing` (section 5).

use std::sync::Arc;

use super::balancers;
use super::conditions::conditions;
use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tags::Tags;
use super::value::Item;
use crate::router::{DomainStrategy, RouterOptions, Rule, Way};

const ROUTING: Keys = Keys {
    known: &[
        "domainStrategy",
        "rules",
        "balancers",
        "settings",
        "strategy",
    ],
    unsupported: &[("domainMatcher", "")],
};

/// The object in which older configurations have the rules.
const SETTINGS: Keys = Keys {
    known: &["domainStrategy", "rules"],
    unsupported: &[],
};

const RULE: Keys = Keys {
    known: &[
        "type",
        "outboundTag",
        "balancerTag",
        "inboundTag",
        "domain",
        "domains",
        "ip",
        "source",
        "port",
        "sourcePort",
        "network",
        "user",
        "protocol",
    ],
    unsupported: &[
        ("attrs", ""),
        ("domainMatcher", ""),
        ("ruleTag", ""),
        ("sourceIP", "use \"source\""),
        ("localIP", ""),
        ("localPort", ""),
        ("process", ""),
        ("vlessRoute", ""),
        ("webhook", ""),
    ],
};

const STRATEGIES: [(&str, DomainStrategy); 13] = {
    use DomainStrategy::*;
    [
        ("AsIs", AsIs),
        ("As_Is", AsIs),
        ("As-Is", AsIs),
        ("", AsIs),
        ("IPIfNonMatch", IpIfNonMatch),
        ("IP_If_Non_Match", IpIfNonMatch),
        ("IP-If-Non-Match", IpIfNonMatch),
        ("IPOnDemand", IpOnDemand),
        ("IP_On_Demand", IpOnDemand),
        ("IP-On-Demand", IpOnDemand),
        // V2Ray has this name, but does no more for it than for "AsIs".
        ("AlwaysIP", AsIs),
        ("Always_IP", AsIs),
        ("Always-IP", AsIs),
    ]
};

/// The names that rules may use.
pub(super) struct Names<'a> {
    pub(super) inbounds: &'a Tags,
    pub(super) outbounds: &'a Tags,
    /// Whether any inbound finds out what its streams are.
    pub(super) sniffed: bool,
}

/// Reads `routing`, if there is any.
pub(super) fn read(
    node: Option<&Node>,
    names: &Names<'_>,
    notes: &mut Notes,
) -> Result<RouterOptions, ConfigError> {
    let Some(node) = node else {
        return Ok(RouterOptions::default());
    };
    let fields = Fields::open(node, &ROUTING)?;
    let mut strategy = fields.get("domainStrategy");
    let mut nodes: Vec<&Node> = fields.list("rules")?.iter().collect();
    fields.text("strategy")?;
    if let Some(settings) = fields.get("settings") {
        let older = Fields::open(settings, &SETTINGS)?;
        strategy = strategy.or(older.get("domainStrategy"));
        nodes.extend(older.list("rules")?);
        older.finish()?;
    }
    let mut balancer_tags = Tags::balancer();
    let balancers = balancers::read(
        fields.list("balancers")?,
        names.outbounds,
        &mut balancer_tags,
        notes,
    )?;
    let options = RouterOptions {
        strategy: strategy
            .map(|node| node.choice("strategy", &STRATEGIES))
            .transpose()?
            .unwrap_or_default(),
        rules: nodes
            .iter()
            .map(|node| rule(node, names, &balancer_tags, notes))
            .collect::<Result<_, _>>()?,
        balancers,
    };
    fields.finish()?;
    Ok(options)
}

fn rule(
    node: &Node,
    names: &Names<'_>,
    balancers: &Tags,
    notes: &mut Notes,
) -> Result<Rule, ConfigError> {
    let fields = Fields::open(node, &RULE)?;
    // Xray has no other kind, and leaves it out.
    if let Some(kind) = fields.get("type") {
        kind.choice("type", &[("field", ())])?;
    }
    let conditions = conditions(&fields, names, notes)?;
    let (outbound, balancer) = (fields.get("outboundTag"), fields.get("balancerTag"));
    fields.finish()?;
    let way = match (outbound, balancer) {
        (Some(tag), _) => Way::Outbound(resolve(tag, names.outbounds)?),
        (None, Some(tag)) => Way::Balancer(resolve(tag, balancers)?),
        (None, None) => return Err(node.error("\"outboundTag\" is missing")),
    };
    if let (Some(_), Some(balancer)) = (outbound, balancer) {
        notes.add(&balancer.mark, "has no effect beside \"outboundTag\"");
    }
    if conditions.is_empty() {
        return Err(node
            .error("a rule without a condition")
            .help("for everything else, the first outbound is used"));
    }
    Ok(Rule {
        outbound: way,
        conditions,
    })
}

fn resolve(tag: &Node, tags: &Tags) -> Result<Arc<str>, ConfigError> {
    tags.resolve(Item {
        node: tag,
        text: tag.string()?,
    })
}
