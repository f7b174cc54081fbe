//! What a plan does with a connection, without setting it in motion.

use std::net::SocketAddr;
use std::sync::Arc;

use super::StartError;
use crate::config::{OutboundOptions, OutboundPlan, Plan};
use crate::link::{DispatchError, Link, Outbound, Request};
use crate::net::Destination;
use crate::router::{OutboundManager, Router};

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
pub fn explain(plan: &Plan, question: Question) -> Result<Explanation, StartError> {
    let outbounds = OutboundManager::new();
    for outbound in &plan.outbounds {
        outbounds.add_handler(Arc::new(Named(outbound.tag.clone())))?;
    }
    for portal in &plan.portals {
        outbounds.add_extra_handler(Arc::new(Named(portal.tag.as_str().into())))?;
    }
    let router = Router::new(plan.router.clone(), Arc::new(outbounds));
    Ok(router.explain(&Request {
        inbound: question.inbound.into(),
        source: question.source,
        user: question.user.map(Into::into),
        protocol: question.protocol.map(Into::into),
        ..Request::new(question.target)
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
