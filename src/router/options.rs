use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use regex::Regex;

/// When names are resolved for `ip` conditions (section 5.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DomainStrategy {
    /// Never.
    #[default]
    AsIs,
    /// When no rule matches the name; then all rules are tried again.
    IpIfNonMatch,
    /// When the first `ip` condition is reached.
    IpOnDemand,
}

/// The rules, tried in order; the first whose conditions all hold decides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RouterOptions {
    /// When names are resolved.
    pub strategy: DomainStrategy,
    /// The rules.
    pub rules: Vec<Rule>,
    /// The balancers that rules may lead to.
    pub balancers: Vec<BalancerOptions>,
}

/// Where requests go for which all conditions hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What takes them.
    pub outbound: Way,
    /// What must hold; at least one.
    pub conditions: Vec<Condition>,
}

/// Where a rule leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the outbound, or portal, with this tag.
    Outbound(Arc<str>),
    /// To one of those of the balancer with this tag.
    Balancer(Arc<str>),
}

/// To an outbound.
impl From<&str> for Way {
    fn from(tag: &str) -> Self {
        Way::Outbound(tag.into())
    }
}

/// Several outbounds that take turns (section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerOptions {
    /// Its name in rules.
    pub tag: Arc<str>,
    /// What the tags of its outbounds begin with: one of these.
    pub selector: Vec<String>,
    /// Whose turn it is.
    pub strategy: BalancerStrategy,
    /// Tag of the outbound for when none of its own works. Without one any of
    /// them is tried then; and if there are none, it is as if no rule had led
    /// here.
    pub fallback: Option<Arc<str>>,
}

/// How a balancer picks among the outbounds that work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalancerStrategy {
    /// By chance.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
    /// That with the shortest round trip.
    LeastPing,
    /// That with the fewest connections, among those whose round trip is not
    /// much longer than the shortest.
    LeastLoad,
}

impl BalancerOptions {
    /// A balancer that picks by chance.
    pub fn new(tag: &str, selector: Vec<String>) -> Self {
        Self {
            tag: tag.into(),
            selector,
            strategy: BalancerStrategy::default(),
            fallback: None,
        }
    }

    /// Whether an outbound with this tag is one of its own.
    pub fn selects(&self, tag: &str) -> bool {
        let mut starts = self.selector.iter();
        starts.any(|start| tag.starts_with(start.as_str()))
    }
}

impl BalancerStrategy {
    /// As configurations call it.
    pub fn word(self) -> &'static str {
        match self {
            BalancerStrategy::Random => "random",
            BalancerStrategy::RoundRobin => "roundRobin",
            BalancerStrategy::LeastPing => "leastPing",
            BalancerStrategy::LeastLoad => "leastLoad",
        }
    }

    /// Whether round trips matter.
    pub fn measures(self) -> bool {
        matches!(
            self,
            BalancerStrategy::LeastPing | BalancerStrategy::LeastLoad
        )
    }
}

/// One property of a request; a list is an "or" (section 5.1).
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The inbound's or bridge's tag is one of these.
    InboundTag(Vec<String>),
    /// The target is a name that matches.
    Domain(Vec<DomainPattern>),
    /// The target is an address, or was resolved to one, in one of these.
    Ip(Vec<IpNet>),
    /// The target's port is in one of these.
    Port(Vec<RangeInclusive<u16>>),
    /// The visitor's address is in one of these.
    Source(Vec<IpNet>),
    /// The visitor's port is in one of these.
    SourcePort(Vec<RangeInclusive<u16>>),
    /// The target's network is one that is set.
    Network {
        /// Streams.
        tcp: bool,
        /// Datagrams.
        udp: bool,
    },
    /// The user is one of these.
    User(Vec<String>),
    /// The application protocol starts with one of these.
    Protocol(Vec<String>),
}

/// A pattern for names; exact in case, as in the reference.
#[derive(Debug, Clone)]
pub enum DomainPattern {
    /// The name contains this.
    Keyword(String),
    /// The name is this.
    Full(String),
    /// The name is this or a subdomain of it.
    Domain(String),
    /// The name has no dot and contains this.
    Dotless(String),
    /// The expression is found in the name.
    Regex(Regex),
}

/// Expressions are the same if they are written the same way.
impl PartialEq for DomainPattern {
    fn eq(&self, other: &Self) -> bool {
        use DomainPattern::{Domain, Dotless, Full, Keyword, Regex};
        match (self, other) {
            (Keyword(one), Keyword(two))
            | (Full(one), Full(two))
            | (Domain(one), Domain(two))
            | (Dotless(one), Dotless(two)) => one == two,
            (Regex(one), Regex(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}
