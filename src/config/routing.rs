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
        "domainMatcher",
    ],
    unsupported: &[],
};

const NO_MATCHER: &str = "has no effect: it is about how V2Ray looks a name up, not what it finds";
const NO_NAMES: &str = "has no effect: rules are told by their lines";

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
        "domainMatcher",
        "ruleTag",
    ],
    unsupported: &[
        ("attrs", ""),
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
pub(super) fn read(node: Option<&Node>, names: &Names<'_>, notes: &Notes) -> Routing {
    let Some(fields) = node.and_then(|node| Fields::open(node, &ROUTING, notes)) else {
        return Routing::default();
    };
    let strategy = |fields: &Fields<'_>| {
        fields.read("domainStrategy", |node| {
            node.choice("strategy", &STRATEGIES)
        })
    };
    let mut domain_strategy = strategy(&fields);
    let mut nodes: Vec<&Node> = fields.list("rules").iter().collect();
    fields.text("strategy");
    fields.pass_over("domainMatcher", NO_MATCHER);
    let settings = fields.get("settings");
    if let Some(older) = settings.and_then(|node| Fields::open(node, &SETTINGS, notes)) {
        domain_strategy = domain_strategy.or(strategy(&older));
        nodes.extend(older.list("rules"));
    }
    let mut tags = balancer_tags(&fields);
    let balancers = balancers::read(&fields, &names.tags.outbounds, &mut tags);
    let (rules, marks) = rules(&nodes, names, &tags, notes);
    let options = RouterOptions {
        strategy: domain_strategy.unwrap_or_default(),
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
    notes: &Notes,
) -> (Vec<Rule>, Vec<Mark>) {
    let mut all = (Vec::new(), Vec::new());
    for node in nodes {
        if notes.is_full() {
            break;
        }
        let rule = rule(node, names, balancers, notes);
        all.extend(rule.map(|rule| (rule, node.mark.clone())));
    }
    all
}

/// Reads one rule; `None` if anything is wrong with it.
fn rule(node: &Node, names: &Names<'_>, balancers: &Tags, notes: &Notes) -> Option<Rule> {
    let fields = Fields::open(node, &RULE, notes)?;
    // Xray has no other kind, and leaves it out.
    fields.read("type", |kind| kind.choice("type", &[("field", ())]));
    fields.pass_over("domainMatcher", NO_MATCHER);
    fields.pass_over("ruleTag", NO_NAMES);
    let way = way(&fields, names, balancers);
    let conditions = conditions(&fields, names);
    if conditions.is_empty() && fields.is_sound() {
        let error = node.error("a rule without a condition");
        notes.blame(error.help("for everything else, the first outbound is used"));
    }
    let rule = Rule {
        outbound: way?,
        conditions,
    };
    fields.is_sound().then_some(rule)
}

/// Where the rule leads.
fn way(fields: &Fields<'_>, names: &Names<'_>, balancers: &Tags) -> Option<Way> {
    let outbound = fields.read("outboundTag", |tag| resolve(tag, &names.tags.outbounds));
    let balancer = fields.read("balancerTag", |tag| resolve(tag, balancers));
    match (fields.get("outboundTag"), fields.get("balancerTag")) {
        (None, None) => fields.miss("outboundTag", None),
        (Some(_), Some(balancer)) => {
            let what = "has no effect beside \"outboundTag\"";
            fields.notes().add(&balancer.mark, what);
        }
        _ => {}
    }
    outbound.map(Way::Outbound).or(balancer.map(Way::Balancer))
}

fn resolve(tag: &Node, tags: &Tags) -> Result<Arc<str>, ConfigError> {
    tags.resolve(Item {
        node: tag,
        text: tag.string()?,
    })
}
