//! `routing` (section 5).

use std::sync::Arc;

use super::balancers;
use super::conditions::conditions;
use super::error::ConfigError;
use super::json::{Mark, Node};
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tags::{AllTags, Tags};
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
    pub(super) tags: &'a AllTags,
    /// Whether any inbound finds out what its streams are.
    pub(super) sniffed: bool,
}

/// The rules, and where each of them stands.
#[derive(Default)]
pub(super) struct Routing {
    pub(super) options: RouterOptions,
    pub(super) marks: Vec<Mark>,
}

/// Reads `routing`, if there is any.
pub(super) fn read(node: Option<&Node>, names: &Names<'_>, notes: &mut Notes) -> Routing {
    let fields = node.and_then(|node| Fields::open_noting(node, &ROUTING, notes));
    let Some(fields) = fields else {
        return Routing::default();
    };
    let mut strategy = fields.get("domainStrategy");
    let mut nodes = Vec::new();
    nodes.extend(notes.keep(fields.list("rules")).unwrap_or_default());
    notes.keep(fields.text("strategy"));
    let settings = fields.get("settings");
    if let Some(older) = settings.and_then(|node| Fields::open_noting(node, &SETTINGS, notes)) {
        strategy = strategy.or(older.get("domainStrategy"));
        nodes.extend(notes.keep(older.list("rules")).unwrap_or_default());
        older.finish_noting(notes);
    }
    let mut tags = balancer_tags(&fields);
    let balancers = fields.list("balancers");
    let balancers = balancers::read(balancers, &names.tags.outbounds, &mut tags, notes);
    let strategy = strategy.map(|node| node.choice("strategy", &STRATEGIES));
    let strategy = notes.keep(strategy.transpose()).flatten();
    let (rules, marks) = rules(&nodes, names, &tags, notes);
    fields.finish_noting(notes);
    let options = RouterOptions {
        strategy: strategy.unwrap_or_default(),
        rules,
        balancers,
    };
    Routing { options, marks }
}

/// Any balancer may be meant by a key that is misspelt.
fn balancer_tags(fields: &Fields<'_>) -> Tags {
    let mut tags = Tags::balancer();
    if fields.has_unknown() {
        tags.doubt();
    }
    tags
}

/// Those that are right, and where they stand.
fn rules(
    nodes: &[&Node],
    names: &Names<'_>,
    balancers: &Tags,
    notes: &mut Notes,
) -> (Vec<Rule>, Vec<Mark>) {
    let mut all = (Vec::new(), Vec::new());
    for node in nodes {
        if notes.is_full() {
            break;
        }
        let rule = rule(node, names, balancers, notes);
        all.extend(notes.keep(rule).map(|rule| (rule, node.mark.clone())));
    }
    all
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
        (Some(tag), _) => Way::Outbound(resolve(tag, &names.tags.outbounds)?),
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
