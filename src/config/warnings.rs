//! What is allowed but probably not meant, seen on the whole plan.

use super::exposure::{is_encrypted, is_from, is_remote};
use super::json::Mark;
use super::notes::Notes;
use super::plan::{InboundOptions, InboundPlan, OutboundOptions, OutboundPlan, Plan};
use super::tags::AllTags;
use crate::proxy::{Server, socks, vmess};
use crate::reverse::{BridgeOptions, PortalOptions};
use crate::router::{BalancerOptions, Condition, DomainPattern, Rule, Way};
use crate::sniff::SniffingOptions;

/// A plan, and where what it says stands.
pub(super) struct Whole<'a> {
    pub(super) root: &'a Mark,
    pub(super) plan: &'a Plan,
    /// Which of its inbounds nothing is wrong with.
    pub(super) sound_inbounds: &'a [bool],
    pub(super) sound_outbounds: &'a [bool],
    /// Where its rules stand.
    pub(super) rules: &'a [Mark],
    pub(super) tags: &'a AllTags,
}

impl Whole<'_> {
    /// Adds all warnings. What is missing may be what is wrong, so that of a
    /// faulty configuration only those of its sound parts are.
    pub(super) fn warn(&self, notes: &Notes) {
        let is_sound = !notes.has_errors();
        if is_sound {
            self.nothing_to_do(notes);
        }
        let inbounds = sound(&self.plan.inbounds, self.sound_inbounds);
        inbounds.for_each(|inbound| warn_inbound(inbound, notes));
        let outbounds = sound(&self.plan.outbounds, self.sound_outbounds);
        outbounds.for_each(|outbound| warn_outbound(outbound, notes));
        if is_sound {
            self.warn_of_connections(notes);
        }
    }

    /// Adds those of what leads where.
    fn warn_of_connections(&self, notes: &Notes) {
        for portal in &self.plan.portals {
            self.warn_portal(portal, notes);
            self.warn_of_strangers(portal, notes);
        }
        for bridge in &self.plan.bridges {
            self.warn_bridge(bridge, notes);
            self.warn_of_reach(bridge, notes);
            self.warn_of_layers(bridge, notes);
            self.warn_of_returns(bridge, notes);
        }
        self.warn_of_shadows(notes);
    }

    fn nothing_to_do(&self, notes: &Notes) {
        if self.plan.inbounds.is_empty() && self.plan.bridges.is_empty() {
            notes.add(
                self.root,
                "there is nothing to do: no inbounds and no bridges",
            );
        } else if self.plan.outbounds.is_empty() && self.plan.portals.is_empty() {
            notes.add(
                self.root,
                "there are no outbounds: every connection will be closed",
            );
        }
    }

    /// Whether the rule leads to the outbound or portal with this tag, always
    /// or when its balancer picks it.
    pub(super) fn may_end_at(&self, rule: &Rule, tag: &str) -> bool {
        match &rule.outbound {
            Way::Outbound(end) => **end == *tag,
            Way::Balancer(name) => self.balancers_end(name, tag),
        }
    }

    fn balancers_end(&self, name: &str, tag: &str) -> bool {
        let mut balancers = self.plan.router.balancers.iter();
        let meant = |options: &BalancerOptions| {
            let is_fallback = options.fallback.as_deref() == Some(tag);
            *options.tag == *name && (is_fallback || !tag.is_empty() && options.selects(tag))
        };
        balancers.any(meant)
    }

    fn warn_portal(&self, portal: &PortalOptions, notes: &Notes) {
        let rules = self.plan.router.rules.iter();
        let mut rules = rules.filter(|rule| self.may_end_at(rule, &portal.tag));
        let is_default = self.default_portal().is_some_and(|p| p.tag == portal.tag);
        let Some(mark) = self.tags.outbounds.mark(&portal.tag) else {
            return;
        };
        if is_default {
            notes.add(mark, FIRST_PORTAL);
        } else if rules.clone().next().is_none() {
            notes.add(mark, UNREACHED);
        } else if !rules.any(|rule| self.brings_bridges(rule, portal)) {
            notes.add(mark, NO_BRIDGES);
        }
    }

    /// Whether the rule may take a bridge to its portal: what comes in for the
    /// domain, with any port.
    fn brings_bridges(&self, rule: &Rule, portal: &PortalOptions) -> bool {
        rule.conditions.iter().all(|condition| match condition {
            Condition::InboundTag(tags) => tags.iter().any(|tag| self.may_ask_for(tag, portal)),
            Condition::Domain(patterns) => patterns.iter().any(|p| matches(p, &portal.domain)),
            Condition::Network { tcp, .. } => *tcp,
            Condition::Ip(_) => false,
            _ => true,
        })
    }

    /// Whether visitors of what has this tag can name the portal's domain, or
    /// are sent to it.
    fn may_ask_for(&self, tag: &str, portal: &PortalOptions) -> bool {
        let mut inbounds = self.plan.inbounds.iter();
        let inbound = inbounds.find(|inbound| *inbound.tag == *tag);
        match inbound.map(|inbound| &inbound.options) {
            Some(InboundOptions::Dokodemo(door)) => door.address.domain() == Some(&*portal.domain),
            _ => true,
        }
    }

    /// Only without outbounds a portal, the first, takes what no rule decides
    /// (section 5.1).
    fn default_portal(&self) -> Option<&PortalOptions> {
        let mut portals = self.plan.portals.iter();
        portals.next().filter(|_| self.plan.outbounds.is_empty())
    }

    /// Mux in mux: what one of the bridge's visitors does not take in holds up
    /// the others.
    fn warn_of_layers(&self, bridge: &BridgeOptions, notes: &Notes) {
        let mut rules = self.plan.router.rules.iter();
        let taker = match rules.find(|rule| leads(rule, bridge)) {
            Some(rule) => self.takers_of(rule).find(|taker| is_layered(taker)),
            None => self
                .plan
                .outbounds
                .first()
                .filter(|taker| is_layered(taker)),
        };
        if let Some(taker) = taker {
            notes.add_at(&taker.place, CARRIER_IN_CARRIER);
        }
    }

    /// A rule for the connection to the portal that takes its visitors' as well,
    /// and none before it does.
    fn warn_of_returns(&self, bridge: &BridgeOptions, notes: &Notes) {
        let mut rules = self.plan.router.rules.iter().zip(self.rules);
        let Some((rule, mark)) = rules.find(|(rule, _)| is_from(rule, &bridge.tag)) else {
            return;
        };
        let takes_all = rule.conditions.iter().all(|condition| match condition {
            Condition::InboundTag(_) => true,
            Condition::Network { tcp, .. } => *tcp,
            _ => false,
        });
        let takers: Vec<_> = self.takers_of(rule).collect();
        let go_out = !takers.is_empty() && !takers.into_iter().any(leads_nowhere);
        if takes_all && go_out {
            notes.add(mark, BACK_TO_PORTAL);
        }
    }

    /// What a bridge asks for is not a name that anybody can resolve; it has
    /// to go to the portal.
    fn warn_bridge(&self, bridge: &BridgeOptions, notes: &Notes) {
        let Some(mark) = self.tags.inbounds.mark(&bridge.tag) else {
            return;
        };
        let mut rules = self.plan.router.rules.iter();
        let rule = rules.find(|rule| leads(rule, bridge));
        let taken_by = |meant: fn(&OutboundPlan) -> bool| match rule {
            Some(rule) => self.takers_of(rule).any(meant),
            None => self.plan.outbounds.first().is_some_and(meant),
        };
        if taken_by(leads_nowhere) {
            notes.add(mark, NO_PORTAL);
        } else if taken_by(sends_cleartext) {
            notes.add(mark, CLEARTEXT_SOCKS);
        }
    }

    /// The outbounds to which a rule may lead.
    pub(super) fn takers_of(&self, rule: &Rule) -> impl Iterator<Item = &OutboundPlan> {
        let outbounds = self.plan.outbounds.iter();
        outbounds.filter(move |outbound| self.may_end_at(rule, &outbound.tag))
    }
}

fn sound<'a, T>(all: &'a [T], sound: &'a [bool]) -> impl Iterator<Item = &'a T> {
    let all = all.iter().zip(sound);
    all.filter_map(|(part, is_sound)| is_sound.then_some(part))
}

/// Whether its connections are sessions of carriers. A freedom outbound has
/// another warning.
fn is_layered(outbound: &OutboundPlan) -> bool {
    outbound.mux.is_some() && !leads_nowhere(outbound)
}

/// Whether no portal is behind it.
fn leads_nowhere(outbound: &OutboundPlan) -> bool {
    matches!(
        outbound.options,
        OutboundOptions::Freedom(_) | OutboundOptions::Blackhole(_)
    )
}

/// Whether it goes through a SOCKS server elsewhere, for all to see.
fn sends_cleartext(outbound: &OutboundPlan) -> bool {
    match &outbound.options {
        OutboundOptions::Socks(socks) => !is_encrypted(&outbound.stream) && leaves(socks),
        _ => false,
    }
}

fn warn_inbound(inbound: &InboundPlan, notes: &Notes) {
    if inbound.stream.accept_proxy_protocol && is_datagrams_only(inbound) {
        notes.add_at(&inbound.stream_place, NO_STREAMS);
    }
    if inbound.listen.is_loopback() {
        return;
    }
    if inbound.stream.accept_proxy_protocol {
        notes.add_at(&inbound.stream_place, ANY_SOURCE);
    }
    let what = match &inbound.options {
        InboundOptions::Socks(socks) if socks.accounts.is_none() => OPEN_PROXY,
        InboundOptions::Http(http) if http.accounts.is_empty() => OPEN_PROXY,
        InboundOptions::Vless(_) if !is_encrypted(&inbound.stream) => CLEARTEXT,
        InboundOptions::Dokodemo(_) if leads_astray(inbound) => VISITORS_CHOICE,
        _ => return,
    };
    notes.add_at(&inbound.place, what);
}

fn is_datagrams_only(inbound: &InboundPlan) -> bool {
    matches!(&inbound.options, InboundOptions::Dokodemo(door) if !door.tcp)
}

/// Whether what visitors say replaces the target.
fn leads_astray(inbound: &InboundPlan) -> bool {
    let replaces = |sniffing: &SniffingOptions| sniffing.http || sniffing.tls;
    let mut sniffing = inbound.sniffing.iter();
    sniffing.any(|sniffing| replaces(sniffing) && !sniffing.route_only)
}

fn warn_outbound(outbound: &OutboundPlan, notes: &Notes) {
    let bare = !is_encrypted(&outbound.stream);
    match &outbound.options {
        OutboundOptions::Vless(vless)
            if bare && vless.servers.iter().any(|s| is_remote(&s.address)) =>
        {
            notes.add_at(&outbound.place, CLEARTEXT);
        }
        OutboundOptions::Vmess(vmess) if bare && vmess.servers.iter().any(sends_plaintext) => {
            notes.add_at(&outbound.place, CLEARTEXT_BODIES);
        }
        OutboundOptions::Socks(_) if outbound.mux.is_some() && sends_cleartext(outbound) => {
            notes.add_at(&outbound.place, CLEARTEXT_SOCKS);
        }
        OutboundOptions::Freedom(_) if outbound.mux.is_some() => {
            notes.add_at(&outbound.place, USELESS_MUX);
        }
        _ => {}
    }
}

const UNREACHED: &str = "no rule leads to this portal, so nobody can reach it";
const NO_BRIDGES: &str = "no rule sends its \"domain\" to this portal, so no bridge can come in; \
                          add one with \"domain\": [\"full:…\"] and this tag as \"outboundTag\"";
const FIRST_PORTAL: &str = "as there are no outbounds, the first portal takes every connection that \
                            no rule decides; a blackhole in \"outbounds\" would close them";
const CARRIER_IN_CARRIER: &str = "with \"mux\" all carriers of a bridge share one connection, on \
                                  which one visitor can hold up the others: leave it out where \
                                  bridges go out";
const BACK_TO_PORTAL: &str = "this rule takes what visitors ask the bridge for, too, and leads it back \
                              to where the portal is: give it the bridge's \"domain\"";
const OPEN_PROXY: &str = "this proxy is open to everybody who can reach it: listen on 127.0.0.1, \
                          or set up accounts";
const VISITORS_CHOICE: &str = "with \"sniffing\" its visitors get to any host that they name, not \
                               only to \"address\"; \"routeOnly\" keeps them there";
const CLEARTEXT: &str = "VLESS sends ids and data unencrypted: keep it on networks you trust";
const CLEARTEXT_BODIES: &str = "with \"security\": \"none\" VMess sends data unencrypted: keep it \
                                on networks you trust";
const CLEARTEXT_SOCKS: &str = "its carriers go through SOCKS, which sends passwords and data \
                               unencrypted: keep it on networks you trust";
const NO_PORTAL: &str = "its connection to the portal would leave by freedom or blackhole, which \
                         lead to no portal; a rule with this \"inboundTag\" and the \"domain\" \
                         should lead to an outbound that does";
const ANY_SOURCE: &str = "with \"acceptProxyProtocol\" whoever can reach this port chooses the \
                          address that he is known by: let nobody but the balancer reach it";
const NO_STREAMS: &str = "\"acceptProxyProtocol\" has no effect: datagrams have no header";
const USELESS_MUX: &str = "\"mux\" needs a server that understands it: a freedom outbound asks \
                           the Internet for v1.mux.cool";

/// Whether data leaves this machine unencrypted.
fn sends_plaintext(server: &Server<vmess::User>) -> bool {
    let is_plain = |user: &vmess::User| user.security == Some(vmess::Security::None);
    is_remote(&server.address) && server.users.iter().any(is_plain)
}

/// Whether its carriers leave this machine.
fn leaves(options: &socks::OutboundOptions) -> bool {
    options.servers.iter().any(|s| is_remote(&s.address))
}

/// Whether the rule takes a bridge's connection to its portal: a stream to
/// port 0 of the domain, from nobody.
fn leads(rule: &Rule, bridge: &BridgeOptions) -> bool {
    rule.conditions.iter().all(|condition| match condition {
        Condition::InboundTag(tags) => tags.contains(&bridge.tag),
        Condition::Domain(patterns) => patterns.iter().any(|p| matches(p, &bridge.asked())),
        Condition::Network { tcp, .. } => *tcp,
        Condition::Port(ports) => ports.iter().any(|range| range.contains(&0)),
        _ => false,
    })
}

pub(super) fn matches(pattern: &DomainPattern, name: &str) -> bool {
    match pattern {
        DomainPattern::Keyword(part) => name.contains(part),
        DomainPattern::Full(whole) => name == whole,
        DomainPattern::Domain(parent) => name
            .strip_suffix(parent.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        DomainPattern::Dotless(part) => !name.contains('.') && name.contains(part),
        DomainPattern::Regex(regex) => regex.is_match(name),
    }
}
