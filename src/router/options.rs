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
#[derive(Debug, Clone, Default)]
pub struct RouterOptions {
    /// When names are resolved.
    pub strategy: DomainStrategy,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Where requests go for which all conditions hold.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Tag of the outbound, or portal, that takes them.
    pub outbound: Arc<str>,
    /// What must hold; at least one.
    pub conditions: Vec<Condition>,
}

/// One property of a request; a list is an "or" (section 5.1).
#[derive(Debug, Clone)]
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
