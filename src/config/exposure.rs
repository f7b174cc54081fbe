//! Warnings about how far a reverse tunnel reaches, and who can get into it.

use std::net::IpAddr;

use super::notes::Notes;
use super::plan::{InboundOptions, InboundPlan, OutboundOptions, OutboundPlan};
use super::warnings::{Whole, matches};
use crate::net::Address;
use crate::reverse::{BridgeOptions, PortalOptions};
use crate::router::{Condition, DomainPattern, Rule};
use crate::transport::stream::{Security, StreamOptions};

const UNBOUNDED: &str = "whoever uses the portal chooses what this bridge connects to, on this \
                         machine and its networks: \"allowTargets\" sets bounds to that";
const ANYBODY: &str = "whoever can reach this port and knows the portal's domain can be a bridge, \
                       and get visitors' connections: prefer an inbound with users";
const EVERYBODY: &str = "whoever can reach this port becomes a bridge, and gets visitors' \
                         connections: listen on 127.0.0.1";
const CLEARTEXT_BRIDGES: &str = "bridges that come here send visitors' data, and their \
                                 passwords, unencrypted: keep it on networks you trust";

impl Whole<'_> {
    /// Visitors name the targets, and freedom goes there.
    pub(super) fn warn_of_reach(&self, bridge: &BridgeOptions, notes: &Notes) {
        let goes_anywhere = |outbound: &&OutboundPlan| match &outbound.options {
            OutboundOptions::Freedom(freedom) => {
                freedom.redirect_address.is_none() && freedom.final_rules.is_empty()
            }
            _ => false,
        };
        let reaches_all = self.takers(&bridge.tag).iter().any(goes_anywhere);
        if let Some(mark) = self.tags.inbounds.mark(&bridge.tag)
            && bridge.allow_targets.is_none()
            && reaches_all
        {
            notes.add(mark, UNBOUNDED);
        }
    }

    /// Bridges come by every inbound from which a rule leads its domain there.
    pub(super) fn warn_of_strangers(&self, portal: &PortalOptions, notes: &Notes) {
        let exposed = self
            .plan
            .inbounds
            .iter()
            .filter(|i| !i.listen.is_loopback());
        for inbound in exposed {
            let leads = |rule: &&Rule| {
                is_from(rule, &inbound.tag)
                    && names(rule, portal)
                    && self.may_end_at(rule, &portal.tag)
            };
            if self.plan.router.rules.iter().any(|rule| leads(&rule))
                && let Some(what) = bridges_by(inbound, portal)
            {
                notes.add_at(&inbound.place, what);
            }
        }
    }

    /// The outbounds that may take what comes in under `tag`.
    fn takers(&self, tag: &str) -> Vec<&OutboundPlan> {
        let mut takers = Vec::new();
        let rules = self.plan.router.rules.iter();
        for rule in rules.filter(|rule| is_from(rule, tag)) {
            takers.extend(self.takers_of(rule));
            let takes_all = |c: &Condition| matches!(c, Condition::InboundTag(_));
            if rule.conditions.iter().all(takes_all) {
                return takers;
            }
        }
        takers.extend(self.plan.outbounds.first());
        takers
    }
}

/// What is to be said of bridges that come by this inbound, beyond what is
/// said of it anyway.
fn bridges_by(inbound: &InboundPlan, portal: &PortalOptions) -> Option<&'static str> {
    let cleartext = (!is_encrypted(&inbound.stream)).then_some(CLEARTEXT_BRIDGES);
    match &inbound.options {
        InboundOptions::Socks(socks) if socks.accounts.is_some() => cleartext,
        InboundOptions::Http(http) if !http.accounts.is_empty() => cleartext,
        InboundOptions::Socks(_) | InboundOptions::Http(_) => Some(ANYBODY),
        InboundOptions::Dokodemo(door) => {
            let leads_there = door.address.domain() == Some(&*portal.domain);
            (leads_there && door.tcp).then_some(EVERYBODY)
        }
        InboundOptions::Vless(_) | InboundOptions::Vmess(_) => None,
    }
}

/// Whether what comes in under `tag` may meet the rule.
pub(super) fn is_from(rule: &Rule, tag: &str) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Condition::InboundTag(tags) => tags.iter().any(|known| known == tag),
        _ => true,
    })
}

/// Whether the rule names the portal's domain, so that it may make bridges of
/// whoever asks for it.
fn names(rule: &Rule, portal: &PortalOptions) -> bool {
    let is_name = |pattern: &DomainPattern| match pattern {
        DomainPattern::Full(_) | DomainPattern::Domain(_) => matches(pattern, &portal.domain),
        _ => false,
    };
    rule.conditions.iter().any(|condition| match condition {
        Condition::Domain(patterns) => patterns.iter().any(is_name),
        _ => false,
    })
}

/// Whether nobody on the way can read along.
pub(super) fn is_encrypted(stream: &StreamOptions) -> bool {
    !matches!(stream.security, Security::None)
}

/// Whether it is another machine, as far as its name tells.
pub(super) fn is_remote(address: &Address) -> bool {
    match address {
        Address::Ip(ip) => !IpAddr::is_loopback(ip),
        Address::Domain(name) => name.as_str() != "localhost",
    }
}
