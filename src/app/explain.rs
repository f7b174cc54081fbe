//! What a plan does with a connection, without setting it in motion.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::config::{OutboundOptions, OutboundPlan, Plan};
use crate::link::{DispatchError, Link, Outbound, Request};
use crate::net::{AllowedTargets, Destination, Network};
use crate::proxy::freedom;
use crate::reverse::BridgeOptions;
use crate::router::{OutboundManager, Router};
use crate::transport::tcp::resolve;

pub use crate::router::{
    BalancerOptions, BalancerStrategy, Condition, DomainPattern, DomainStrategy, Explanation, Pass,
    Verdict, Way,
};

/// A connection that is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where it wants to go.
    pub target: Destination,
    /// Tag of the inbound or bridge that it comes in by; empty for one without.
    pub inbound: String,
    /// Where it comes from, if that is known.
    pub source: Option<SocketAddr>,
    /// Who it is, if that is known.
    pub user: Option<String>,
    /// What it speaks, if that is known.
    pub protocol: Option<String>,
}

/// Asks the router of `plan`, with outbounds that only have their names. If
/// the rules want to know the addresses of a name, the system is asked.
///
/// # Errors
/// [`StartError::DuplicateTag`], which no plan that was read has.
pub fn explain(plan: &Plan, question: &Question) -> Result<Explanation, StartError> {
    let outbounds = OutboundManager::new();
    for outbound in &plan.outbounds {
        outbounds.add_handler(Arc::new(Named(outbound.tag.clone())))?;
    }
    for portal in &plan.portals {
        outbounds.add_extra_handler(Arc::new(Named(portal.tag.as_str().into())))?;
    }
    let router = Router::new(plan.router.clone(), Arc::new(outbounds));
    Ok(router.explain(&Request {
        inbound: question.inbound.as_str().into(),
        source: question.source,
        user: question.user.as_deref().map(Into::into),
        protocol: question.protocol.as_deref().map(Into::into),
        ..Request::new(question.target.clone())
    }))
}

/// What the outbound with this tag is, in a few words: its protocol and its
/// servers, or the domain of the portal.
pub fn describe(plan: &Plan, tag: &str) -> String {
    let mut outbounds = plan.outbounds.iter();
    if let Some(outbound) = outbounds.find(|outbound| *outbound.tag == *tag) {
        return describe_outbound(outbound);
    }
    let mut portals = plan.portals.iter();
    match portals.find(|portal| portal.tag == tag) {
        Some(portal) => format!("portal of {}", portal.domain),
        None => "not there".to_owned(),
    }
}

fn describe_outbound(outbound: &OutboundPlan) -> String {
    let (protocol, servers): (_, Vec<String>) = match &outbound.options {
        OutboundOptions::Freedom(_) => ("freedom", Vec::new()),
        OutboundOptions::Blackhole(_) => ("blackhole", Vec::new()),
        OutboundOptions::Socks(options) => {
            ("socks", each(&options.servers, |s| (&s.address, s.port)))
        }
        OutboundOptions::Vless(options) => {
            ("vless", each(&options.servers, |s| (&s.address, s.port)))
        }
        OutboundOptions::Vmess(options) => {
            ("vmess", each(&options.servers, |s| (&s.address, s.port)))
        }
    };
    let mut text = protocol.to_owned();
    if !servers.is_empty() {
        text = format!("{text} to {}", servers.join(", "));
    }
    if outbound.mux.is_some() {
        text.push_str(", by shared carriers (mux)");
    }
    text
}

fn each<T>(servers: &[T], parts: impl Fn(&T) -> (&crate::net::Address, u16)) -> Vec<String> {
    let shown = servers.iter().map(|server| {
        let (address, port) = parts(server);
        format!("{address}:{port}")
    });
    shown.collect()
}

/// What is said of an address that an outbound would dial, or be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The address; where there is none to judge, the name.
    pub address: String,
    /// Whether it may be dialled.
    pub is_allowed: bool,
    /// The entry that says so.
    pub why: String,
}

/// Judges what the connection would be dialled at by the outbound with this tag:
/// by the `allowTargets` of the bridge that it comes in by, and by the
/// `finalRules` of a freedom outbound, for which names are resolved. Nothing is
/// said where there are neither.
pub fn judge(plan: &Plan, question: &Question, tag: &str) -> Vec<Judgement> {
    let target = &question.target;
    let mut bridges = plan.bridges.iter();
    let bridge = bridges.find(|bridge| bridge.tag == question.inbound);
    let asks_portal = |bridge: &&BridgeOptions| target.address.domain() == Some(&bridge.asked());
    let bridge = bridge.filter(|bridge| !asks_portal(bridge));
    let allowed = bridge.and_then(|bridge| bridge.allow_targets.as_ref());
    let mut outbounds = plan.outbounds.iter();
    let outbound = outbounds.find(|outbound| *outbound.tag == *tag);
    match outbound.map(|outbound| &outbound.options) {
        Some(OutboundOptions::Freedom(options)) => judge_dialled(options, target, allowed),
        _ => allowed.map_or_else(Vec::new, |allowed| vec![judge_named(target, allowed)]),
    }
}

fn judge_dialled(
    options: &freedom::OutboundOptions,
    target: &Destination,
    allowed: Option<&AllowedTargets>,
) -> Vec<Judgement> {
    if allowed.is_none() && options.final_rules.is_empty() {
        return Vec::new();
    }
    let target = options.redirected(target);
    match resolve(&target.address, target.port) {
        Ok(found) => found
            .into_iter()
            .map(|address| judge_address(options, target.network, address, allowed))
            .collect(),
        Err(e) => vec![Judgement {
            address: target.address.to_string(),
            is_allowed: false,
            why: format!("its addresses cannot be found out: {e}"),
        }],
    }
}

fn judge_address(
    options: &freedom::OutboundOptions,
    network: Network,
    address: SocketAddr,
    allowed: Option<&AllowedTargets>,
) -> Judgement {
    let of_bridge = allowed.map(|allowed| by_bridge(allowed, address));
    let decides = options.deciding_rule(network, address);
    let decides = decides.and_then(|at| Some((at, options.final_rules.get(at)?.allow)));
    let (is_allowed, why) = match (of_bridge, decides) {
        (Some((false, why)), _) => (false, why),
        (Some((true, why)), Some((at, true))) => (true, format!("{why} and finalRules[{at}]")),
        (_, Some((at, is_allowed))) => (is_allowed, format!("finalRules[{at}]")),
        (Some(allowed), None) => allowed,
        (None, None) => (true, "none of finalRules".to_owned()),
    };
    Judgement {
        address: address.to_string(),
        is_allowed,
        why,
    }
}

/// What is not dialled here is judged by the address that is asked for.
fn judge_named(target: &Destination, allowed: &AllowedTargets) -> Judgement {
    let (is_allowed, why) = match target.address.ip() {
        Some(ip) => by_bridge(allowed, SocketAddr::new(ip, target.port)),
        None => (false, DispatchError::Unchecked.to_string()),
    };
    Judgement {
        address: format!("{}:{}", target.address, target.port),
        is_allowed,
        why,
    }
}

fn by_bridge(allowed: &AllowedTargets, address: SocketAddr) -> (bool, String) {
    match allowed.permitting(address) {
        Some(range) => (true, format!("{range} of allowTargets")),
        None => (false, "not in allowTargets".to_owned()),
    }
}

/// An outbound that nothing is sent to.
struct Named(Arc<str>);

impl Outbound for Named {
    fn tag(&self) -> &str {
        &self.0
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("this outbound is but a name"))
    }
}
