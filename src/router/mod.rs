//! Rules that send each request to an outbound (section 5).

mod balancer;
mod explain;
mod manager;
mod matching;
mod observed;
mod options;
mod status;
mod turn;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use log::{info, warn};

pub use explain::{Explanation, Pass, Verdict};
pub use manager::{DuplicateTag, OutboundManager};
pub use observed::Observed;
pub use options::{
    BalancerOptions, BalancerStrategy, Condition, DomainPattern, DomainStrategy, RouterOptions,
    Rule, Way,
};
pub use status::{BalancerStatus, CandidateStatus};

use crate::escape::Escaped;
use crate::link::{DispatchError, Dispatcher, Link, Outbound, Request};
use crate::net::{Address, Domain};
use crate::sync::Complaints;
use crate::transport::tcp;
use balancer::{Balancer, Turn};
use matching::Subject;
use turn::during;

/// Finds the addresses of a name, on behalf of a visitor who comes from there if
/// that is known; may take as long as the system's resolver.
pub type Resolver = Box<dyn Fn(Option<IpAddr>, &Domain) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Why a request without any outbound is refused.
const NO_OUTBOUND: &str = "there is no outbound";

/// Sends each request to the outbound that the rules name, or else to the
/// default one, and takes note of it in the access log.
pub struct Router {
    options: RouterOptions,
    balancers: Vec<Arc<Balancer>>,
    outbounds: Arc<OutboundManager>,
    resolver: Resolver,
    refusals: Complaints,
    lost: Complaints,
}

impl Router {
    /// A router over `outbounds`, which may change at any time. Names are
    /// resolved by the system, if the options ask for it.
    pub fn new(options: RouterOptions, outbounds: Arc<OutboundManager>) -> Self {
        Self::after(&[], options, outbounds)
    }

    /// The router that takes this one's place. Its balancers go on where they
    /// are the same.
    pub fn successor(&self, options: RouterOptions, outbounds: Arc<OutboundManager>) -> Self {
        Self::after(&self.balancers, options, outbounds)
    }

    fn after(
        balancers: &[Arc<Balancer>],
        options: RouterOptions,
        outbounds: Arc<OutboundManager>,
    ) -> Self {
        let same = |wanted: &BalancerOptions| balancers.iter().find(|b| b.options() == wanted);
        let balancer = |wanted: &BalancerOptions| match same(wanted) {
            Some(balancer) => balancer.clone(),
            None => Arc::new(Balancer::new(wanted.clone())),
        };
        Self {
            balancers: options.balancers.iter().map(balancer).collect(),
            options,
            outbounds,
            resolver: Box::new(ask_the_system),
            refusals: Complaints::new(),
            lost: Complaints::new(),
        }
    }

    /// The rules.
    pub fn options(&self) -> &RouterOptions {
        &self.options
    }

    /// The outbounds that may take `request`: one, or those of a balancer. The
    /// target's name is not resolved for that.
    pub fn ways(&self, request: &Request) -> Vec<Arc<dyn Outbound>> {
        let way = self.first_match(&Subject::unresolved(request));
        let found = match way.map(|rule| &rule.outbound) {
            Some(Way::Balancer(tag)) => self.ways_of(tag),
            Some(Way::Outbound(tag)) => self.outbounds.get(tag).into_iter().collect(),
            None => Vec::new(),
        };
        match found.is_empty() {
            true => self.outbounds.default_handler().into_iter().collect(),
            false => found,
        }
    }

    fn ways_of(&self, balancer: &str) -> Vec<Arc<dyn Outbound>> {
        let mut all = self.options.balancers.iter();
        let Some(options) = all.find(|options| *options.tag == *balancer) else {
            return Vec::new();
        };
        let fallback = options.fallback.as_deref();
        let fallback = fallback.and_then(|tag| self.outbounds.get(tag));
        let mut found = self.outbounds.select(|tag| options.selects(tag));
        found.extend(fallback);
        found
    }

    /// How the balancers and their outbounds do.
    pub fn balancers(&self) -> Vec<BalancerStatus> {
        let status = |balancer: &Arc<Balancer>| {
            let options = balancer.options();
            balancer.status(self.outbounds.select(|tag| options.selects(tag)))
        };
        self.balancers.iter().map(status).collect()
    }

    /// Resolves names by `resolver` from now on.
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// The outbound that takes `request`: that of the first rule whose
    /// conditions all hold, or else the default.
    ///
    /// # Errors
    /// [`DispatchError::Refused`] if there is no outbound at all.
    pub fn pick(&self, request: &Request) -> Result<Arc<dyn Outbound>, DispatchError> {
        let (outbound, _) = self.outbound_of(self.rule_for(request))?;
        Ok(outbound)
    }

    /// The outbound of a rule, or the default.
    fn outbound_of(&self, rule: Option<&Rule>) -> Result<Picked, DispatchError> {
        rule.and_then(|rule| self.at_end_of(&rule.outbound))
            .or_else(|| self.outbounds.default_handler().map(alone))
            .ok_or(DispatchError::Refused(NO_OUTBOUND))
    }

    fn at_end_of(&self, way: &Way) -> Option<Picked> {
        match way {
            Way::Outbound(tag) => self.named_outbound(tag).map(alone),
            Way::Balancer(tag) => self.balanced(tag),
        }
    }

    fn balanced(&self, tag: &str) -> Option<Picked> {
        let mut balancers = self.balancers.iter();
        let balancer = balancers.find(|balancer| *balancer.options().tag == *tag)?;
        let options = balancer.options();
        let outbounds = self.outbounds.select(|tag| options.selects(tag));
        match balancer.pick(outbounds, Instant::now()) {
            Some((outbound, turn)) => Some((outbound, Some(turn))),
            None => {
                let fallback = options.fallback.as_deref()?;
                self.named_outbound(fallback).map(alone)
            }
        }
    }

    fn named_outbound(&self, tag: &str) -> Option<Arc<dyn Outbound>> {
        let found = self.outbounds.get(tag);
        if found.is_none()
            && let Some(unsaid) = self.lost.turn()
        {
            warn!(
                "a rule leads to outbound {tag:?}, which is not there; taking the default{unsaid}"
            );
        }
        found
    }

    fn rule_for(&self, request: &Request) -> Option<&Rule> {
        let mut passes = self.passes(request);
        passes.find_map(|subject| self.first_match(&subject))
    }

    /// As what the request is shown to all rules, one time after the other
    /// until one of them takes it.
    fn passes<'a>(&'a self, request: &'a Request) -> impl Iterator<Item = Subject<'a>> {
        let (by_name, by_address) = match self.options.strategy {
            DomainStrategy::AsIs => (true, false),
            DomainStrategy::IpOnDemand => (false, true),
            DomainStrategy::IpIfNonMatch => (true, true),
        };
        let first = by_name.then(|| Subject::unresolved(request));
        let second = by_address.then(|| Subject::resolving(request, &self.resolver));
        first.into_iter().chain(second)
    }

    fn first_match(&self, subject: &Subject) -> Option<&Rule> {
        self.options.rules.iter().find(|rule| rule.matches(subject))
    }

    /// Picks an outbound and says so in both logs. Also notes in the request
    /// whether the rule that decides names the target.
    fn route<'a>(&self, request: &'a Request) -> Result<Routed<'a>, DispatchError> {
        let rule = self.rule_for(request);
        let picked = self.outbound_of(rule).and_then(|picked| {
            check_allowed(request, picked.0.as_ref())?;
            Ok(picked)
        });
        match &picked {
            Ok((outbound, _)) => note_accepted(request, outbound.tag()),
            Err(why) => self.note_rejected(request, why),
        }
        let (outbound, turn) = picked?;
        Ok(Routed {
            outbound,
            turn,
            request: with_rule(request, rule),
        })
    }

    /// An outbound has refused what the rules had let pass.
    fn note_forbidden(&self, request: &Request, why: &DispatchError) {
        if matches!(why, DispatchError::Forbidden(_)) {
            self.note_rejected(request, why);
        }
    }

    fn note_rejected(&self, request: &Request, why: &DispatchError) {
        let Request { id, target, .. } = request;
        if let Some(unsaid) = self.refusals.turn() {
            let inbound = Escaped(request.inbound.as_bytes());
            warn!("[{id}] refusing [{target}] from [{inbound}]: {why}{unsaid}");
        }
        if let Some(access) = &request.access {
            access.rejected(request.source, &format!("{target} {why}"));
        }
    }
}

/// What is not dialled here is judged by the target as it is named. Port 0
/// and the like are as good as any other.
fn check_allowed(request: &Request, outbound: &dyn Outbound) -> Result<(), DispatchError> {
    let Some(allowed) = request
        .allowed
        .as_ref()
        .filter(|_| !outbound.heeds_allowed())
    else {
        return Ok(());
    };
    let Some(ip) = request.target.address.ip() else {
        return Err(DispatchError::Unchecked);
    };
    let address = SocketAddr::new(ip, request.target.port);
    match allowed.permits(address) {
        true => Ok(()),
        false => Err(DispatchError::Forbidden(address)),
    }
}

/// An outbound, and if a balancer has picked it, what keeps the count.
type Picked = (Arc<dyn Outbound>, Option<Turn>);

fn alone(outbound: Arc<dyn Outbound>) -> Picked {
    (outbound, None)
}

struct Routed<'a> {
    outbound: Arc<dyn Outbound>,
    turn: Option<Turn>,
    request: Cow<'a, Request>,
}

fn with_rule<'a>(request: &'a Request, rule: Option<&Rule>) -> Cow<'a, Request> {
    let host = request.target.address.domain();
    match rule.zip(host) {
        Some((rule, host)) if rule.names(host) => Cow::Owned(Request {
            named_by_rule: true,
            ..request.clone()
        }),
        _ => Cow::Borrowed(request),
    }
}

impl Dispatcher for Router {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        // Without an outbound the link is dropped here, which aborts both halves.
        let routed = self.route(request)?;
        let outcome = routed.outbound.dispatch(&routed.request, link);
        outcome.inspect_err(|why| self.note_forbidden(&routed.request, why))
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let Routed {
            outbound,
            turn,
            request,
        } = self.route(request)?;
        let outcome = outbound.connect(&request);
        let outcome = outcome.inspect_err(|why| self.note_forbidden(&request, why));
        Ok(during(outcome?, turn))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("options", &self.options)
            .field("outbounds", &self.outbounds)
            .finish_non_exhaustive()
    }
}

fn note_accepted(request: &Request, tag: &str) {
    let Request { id, target, .. } = request;
    info!("[{id}] taking detour [{tag}] for [{target}]");
    if let Some(access) = &request.access {
        access.accepted(request, tag);
    }
}

fn ask_the_system(source: Option<IpAddr>, name: &Domain) -> io::Result<Vec<IpAddr>> {
    let found = tcp::resolve_for(source, &Address::Domain(name.clone()), 0)?;
    Ok(found.iter().map(|addr| addr.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::thread;

    use parking_lot::Mutex;

    use super::*;
    use crate::limits::SESSION_PIPE;
    use crate::link::{Access, LinkError, pair};
    use crate::net::{Destination, Origin};

    /// Answers every request with the far end of a fresh link.
    struct Out(&'static str);

    impl Outbound for Out {
        fn tag(&self) -> &str {
            self.0
        }

        fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
            let (near, far) = pair(SESSION_PIPE);
            drop(far);
            Ok(near)
        }

        fn dispatch(&self, _: &Request, mut link: Link) -> Result<(), DispatchError> {
            Ok(link.writer.close()?)
        }
    }

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Access for Notes {
        fn accepted(&self, request: &Request, outbound: &str) {
            let note = format!("{} by {outbound}", request.target);
            self.0.lock().push(note);
        }

        fn rejected(&self, source: Option<SocketAddr>, reason: &str) {
            self.0.lock().push(format!("{source:?} {reason}"));
        }
    }

    fn rule(outbound: &str, conditions: Vec<Condition>) -> Rule {
        Rule {
            outbound: outbound.into(),
            conditions,
        }
    }

    fn private() -> Condition {
        let nets = ["10.0.0.0/8", "127.0.0.0/8"];
        Condition::Ip(nets.map(|net| net.parse().unwrap()).into())
    }

    fn name_is(name: &str) -> Condition {
        Condition::Domain(vec![DomainPattern::Full(name.into())])
    }

    fn to(host: &str) -> Request {
        Request::new(Destination::tcp(host, 80).unwrap())
    }

    /// Outbounds first, private, named; every name but "far.com" is private.
    fn router(strategy: DomainStrategy, rules: Vec<Rule>) -> Router {
        let outbounds = Arc::new(OutboundManager::new());
        for tag in ["first", "private", "named"] {
            outbounds.add_handler(Arc::new(Out(tag))).unwrap();
        }
        let resolver: Resolver = Box::new(|_, name: &Domain| match name.as_str() {
            "far.com" => Ok(vec![IpAddr::from([192, 0, 2, 1])]),
            "gone.com" => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
        });
        let options = RouterOptions {
            strategy,
            rules,
            balancers: vec![BalancerOptions::new("some", vec!["p".into(), "n".into()])],
        };
        Router::new(options, outbounds).with_resolver(resolver)
    }

    fn picked(router: &Router, host: &str) -> String {
        router.pick(&to(host)).unwrap().tag().to_owned()
    }

    #[test]
    fn strategies_decide_when_names_are_resolved() {
        use DomainStrategy::{AsIs, IpIfNonMatch, IpOnDemand};
        let rules = vec![
            rule("private", vec![private()]),
            rule("named", vec![name_is("near.com")]),
        ];
        let table = [
            (AsIs, "10.1.1.1", "private"),
            (AsIs, "near.com", "named"),
            (AsIs, "other.com", "first"),
            (IpIfNonMatch, "near.com", "named"),
            (IpIfNonMatch, "other.com", "private"),
            (IpIfNonMatch, "far.com", "first"),
            (IpIfNonMatch, "gone.com", "first"),
            (IpIfNonMatch, "192.0.2.1", "first"),
            (IpOnDemand, "near.com", "private"),
            (IpOnDemand, "far.com", "first"),
            (IpOnDemand, "gone.com", "first"),
        ];
        for (strategy, host, tag) in table {
            let router = router(strategy, rules.clone());
            assert_eq!(picked(&router, host), tag, "{strategy:?} {host}");
        }
    }

    #[test]
    fn names_still_match_when_all_rules_are_tried_again() {
        let both = vec![name_is("near.com"), private()];
        let router = router(DomainStrategy::IpIfNonMatch, vec![rule("named", both)]);
        assert_eq!(picked(&router, "near.com"), "named");
        assert_eq!(picked(&router, "other.com"), "first");
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = vec![
            rule("named", vec![Condition::Port(vec![80..=80])]),
            rule("private", vec![private()]),
        ];
        let router = router(DomainStrategy::AsIs, rules);
        assert_eq!(picked(&router, "10.0.0.1"), "named");
    }

    #[test]
    fn a_rule_that_leads_nowhere_leads_to_the_default() {
        let rules = vec![rule("missing", vec![Condition::Port(vec![80..=80])])];
        let router = router(DomainStrategy::AsIs, rules);
        assert_eq!(picked(&router, "a.com"), "first");
    }

    #[test]
    fn a_balancer_picks_among_those_whose_tags_begin_as_it_says() {
        let balanced = |balancer: &str| Rule {
            outbound: Way::Balancer(balancer.into()),
            conditions: vec![Condition::Port(vec![80..=80])],
        };
        let router_to = |balancer| router(DomainStrategy::AsIs, vec![balanced(balancer)]);
        let some = router_to("some");
        let seen: BTreeSet<String> = (0..100).map(|_| picked(&some, "a.com")).collect();
        assert_eq!(seen, BTreeSet::from(["private".into(), "named".into()]));
        for tag in ["private", "named"] {
            some.outbounds.remove_handler(tag);
        }
        assert_eq!(picked(&some, "a.com"), "first", "there are none");
        assert_eq!(picked(&router_to("missing"), "a.com"), "first");
    }

    #[test]
    fn the_outbound_is_noted_once_for_a_connection() {
        let notes = Arc::new(Notes::default());
        let request = Request {
            access: Some(notes.clone()),
            ..to("near.com")
        };
        let rules = vec![rule("named", vec![name_is("near.com")])];
        let router = router(DomainStrategy::AsIs, rules);
        let (near, mut far) = pair(SESSION_PIPE);
        router.dispatch(&request, near).unwrap();
        assert!(matches!(far.reader.read(), Ok(None)));
        assert!(router.connect(&request).is_ok());
        let note = "tcp:near.com:80 by named";
        assert_eq!(*notes.0.lock(), [note, note]);
    }

    #[test]
    fn without_an_outbound_a_request_is_refused_and_its_link_aborted() {
        let notes = Arc::new(Notes::default());
        let request = Request {
            access: Some(notes.clone()),
            source: Some("127.0.0.1:5".parse().unwrap()),
            ..to("a.com")
        };
        let router = Router::new(RouterOptions::default(), Arc::default());
        let (near, mut far) = pair(SESSION_PIPE);
        let refused = router.dispatch(&request, near);
        assert!(matches!(refused, Err(DispatchError::Refused(_))));
        assert!(matches!(far.reader.read(), Err(LinkError::Reset)));
        let refused = router.connect(&request);
        assert!(matches!(refused, Err(DispatchError::Refused(_))));
        let note = "Some(127.0.0.1:5) tcp:a.com:80 there is no outbound";
        assert_eq!(*notes.0.lock(), [note, note]);
    }

    #[test]
    fn the_system_knows_the_loopback_name() {
        let router = Router::new(
            RouterOptions {
                strategy: DomainStrategy::IpOnDemand,
                rules: vec![rule("named", vec![loopback()])],
                balancers: vec![],
            },
            Arc::default(),
        );
        router
            .outbounds
            .add_handler(Arc::new(Out("first")))
            .unwrap();
        router
            .outbounds
            .add_handler(Arc::new(Out("named")))
            .unwrap();
        assert_eq!(picked(&router, "localhost"), "named");
    }

    /// As many look-ups as a source may have keep its next one waiting, and
    /// nobody else's.
    #[test]
    fn names_are_looked_up_in_turn_with_others_of_their_source() {
        let rules = vec![rule("named", vec![loopback()])];
        let router = Router {
            resolver: Box::new(ask_the_system),
            ..router(DomainStrategy::IpOnDemand, rules)
        };
        let picked_from = |source: IpAddr| {
            let request = to("localhost").coming_from(Origin::new((source, 5).into(), None));
            router.pick(&request).unwrap().tag().to_owned()
        };
        let [busy, other] = [1, 2].map(|n| IpAddr::from([198, 51, 100, n]));
        let held = tcp::LOOKUP_TURNS.take_all_of(busy);
        thread::scope(|scope| {
            let waits = scope.spawn(|| picked_from(busy));
            assert_eq!(picked_from(other), "named");
            tcp::LOOKUP_TURNS.expect_waiting(busy);
            drop(held);
            assert_eq!(waits.join().unwrap(), "named");
        });
    }

    fn loopback() -> Condition {
        let nets = ["127.0.0.0/8", "::1/128"];
        Condition::Ip(nets.map(|net| net.parse().unwrap()).into())
    }
}
