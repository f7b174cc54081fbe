//! Whether a rule holds for a request (section 5.1).

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use log::debug;

use super::{Condition, DomainPattern, Resolver, Rule};
use crate::link::Request;
use crate::net::{Address, Domain, Network};

/// What conditions look at: a request and, where names are resolved, the
/// addresses that its target's name stands for.
pub(super) struct Subject<'a> {
    request: &'a Request,
    resolver: Option<&'a Resolver>,
    resolved: OnceCell<Vec<IpAddr>>,
}

impl<'a> Subject<'a> {
    /// A name as the target is in no address range.
    pub(super) fn unresolved(request: &'a Request) -> Self {
        Self {
            request,
            resolver: None,
            resolved: OnceCell::new(),
        }
    }

    /// A name as the target is resolved by the first condition that asks for
    /// an address; the answer serves all others.
    pub(super) fn resolving(request: &'a Request, resolver: &'a Resolver) -> Self {
        Self {
            resolver: Some(resolver),
            ..Self::unresolved(request)
        }
    }

    /// Whether names are resolved.
    pub(super) fn resolves(&self) -> bool {
        self.resolver.is_some()
    }

    fn target_is_in(&self, nets: &[IpNet]) -> bool {
        match &self.request.target.address {
            Address::Ip(ip) => is_in(*ip, nets),
            Address::Domain(name) => self.addresses(name).iter().any(|ip| is_in(*ip, nets)),
        }
    }

    fn addresses(&self, name: &Domain) -> &[IpAddr] {
        let Some(resolver) = self.resolver else {
            return &[];
        };
        let source = self.request.source.map(|source| source.ip());
        self.resolved.get_or_init(|| {
            resolver(source, name).unwrap_or_else(|e| {
                debug!("cannot resolve {name} for a routing rule: {e}");
                Vec::new()
            })
        })
    }
}

impl Rule {
    /// Whether all conditions hold.
    pub(super) fn matches(&self, subject: &Subject) -> bool {
        self.first_unmet(subject).is_none()
    }

    /// The first condition that does not hold, by its index.
    pub(super) fn first_unmet(&self, subject: &Subject) -> Option<usize> {
        self.conditions.iter().position(|c| !c.holds(subject))
    }

    /// Whether a condition names exactly this host, not merely lets it pass.
    pub(super) fn names(&self, host: &str) -> bool {
        let names = |pattern: &DomainPattern| match pattern {
            DomainPattern::Full(name) | DomainPattern::Domain(name) => name == host,
            _ => false,
        };
        self.conditions.iter().any(|condition| match condition {
            Condition::Domain(patterns) => patterns.iter().any(names),
            _ => false,
        })
    }
}

impl Condition {
    fn holds(&self, subject: &Subject) -> bool {
        let Request {
            target,
            inbound,
            source,
            user,
            protocol,
            routed_as,
            ..
        } = subject.request;
        let name = routed_as.as_ref().map(Domain::as_str);
        match self {
            Condition::InboundTag(tags) => is_one_of(Some(inbound), tags),
            Condition::Domain(patterns) => any_fits(patterns, name.or(target.address.domain())),
            Condition::Ip(nets) => subject.target_is_in(nets),
            Condition::Port(ranges) => has_port(ranges, target.port),
            Condition::Source(nets) => source.is_some_and(|from| is_in(from.ip(), nets)),
            Condition::SourcePort(ranges) => comes_from_port(ranges, *source),
            Condition::Network { tcp, udp } => match target.network {
                Network::Tcp => *tcp,
                Network::Udp => *udp,
            },
            Condition::User(users) => is_one_of(user.as_deref(), users),
            Condition::Protocol(prefixes) => starts_with_any(protocol.as_deref(), prefixes),
        }
    }
}

impl DomainPattern {
    fn fits(&self, name: &str) -> bool {
        match self {
            DomainPattern::Keyword(part) => name.contains(part.as_str()),
            DomainPattern::Full(whole) => name == whole,
            DomainPattern::Domain(parent) => is_under(name, parent),
            DomainPattern::Dotless(part) => !name.contains('.') && name.contains(part.as_str()),
            DomainPattern::Regex(regex) => regex.is_match(name),
        }
    }
}

/// Whether `name` is `parent` or a subdomain of it.
fn is_under(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn any_fits(patterns: &[DomainPattern], name: Option<&str>) -> bool {
    name.is_some_and(|name| patterns.iter().any(|pattern| pattern.fits(name)))
}

/// Tries every range: the reference's binary search misses addresses when
/// ranges overlap.
fn is_in(ip: IpAddr, nets: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    nets.iter().any(|net| net.contains(&ip))
}

fn has_port(ranges: &[RangeInclusive<u16>], port: u16) -> bool {
    ranges.iter().any(|range| range.contains(&port))
}

fn comes_from_port(ranges: &[RangeInclusive<u16>], source: Option<SocketAddr>) -> bool {
    source.is_some_and(|from| has_port(ranges, from.port()))
}

fn is_one_of(text: Option<&str>, list: &[String]) -> bool {
    text.is_some_and(|text| list.iter().any(|entry| entry == text))
}

fn starts_with_any(text: Option<&str>, prefixes: &[String]) -> bool {
    text.is_some_and(|text| prefixes.iter().any(|p| text.starts_with(p.as_str())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use regex::Regex;

    use super::*;
    use crate::net::Destination;

    fn to(host: &str, port: u16) -> Request {
        Request::new(Destination::tcp(host, port).unwrap())
    }

    fn from(source: &str) -> Request {
        Request {
            source: Some(source.parse().unwrap()),
            ..to("a.com", 80)
        }
    }

    fn user(name: &str) -> Request {
        Request {
            user: Some(name.into()),
            ..to("a.com", 80)
        }
    }

    fn protocol(name: &str) -> Request {
        Request {
            protocol: Some(name.into()),
            ..to("a.com", 80)
        }
    }

    fn inbound(tag: &str) -> Request {
        Request {
            inbound: tag.into(),
            ..to("a.com", 80)
        }
    }

    fn udp(host: &str) -> Request {
        Request::new(Destination::udp(host, 53).unwrap())
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.into()).collect()
    }

    fn holds(condition: &Condition, request: &Request) -> bool {
        condition.holds(&Subject::unresolved(request))
    }

    fn check(condition: Condition, yes: &[Request], no: &[Request]) {
        for request in yes {
            assert!(holds(&condition, request), "{condition:?} {request:?}");
        }
        for request in no {
            assert!(!holds(&condition, request), "{condition:?} {request:?}");
        }
    }

    #[test]
    fn inbound_tags_are_exact() {
        check(
            Condition::InboundTag(texts(&["in", "bridge"])),
            &[inbound("in"), inbound("bridge")],
            &[inbound("In"), inbound("in "), inbound(""), inbound("inn")],
        );
    }

    #[test]
    fn domains_match_by_kind_and_case() {
        let table: [(DomainPattern, &[&str], &[&str]); 5] = [
            (
                DomainPattern::Keyword("goo".into()),
                &["google.com", "a.goo"],
                &["Google.com", "go.o"],
            ),
            (
                DomainPattern::Full("a.com".into()),
                &["a.com"],
                &["www.a.com", "A.com", "a.com."],
            ),
            (
                DomainPattern::Domain("a.com".into()),
                &["a.com", "www.a.com", "x.y.a.com"],
                &["ba.com", "a.com.org", "www.A.com", "com", "www.a.com."],
            ),
            (
                DomainPattern::Dotless("host".into()),
                &["localhost", "host"],
                &["host.lan", "local"],
            ),
            (
                DomainPattern::Regex(Regex::new(r"^goo.*\.com$").unwrap()),
                &["google.com", "goo.com"],
                &["google.org", "agoogle.com"],
            ),
        ];
        for (pattern, yes, no) in table {
            let requests = |names: &[&str]| names.iter().map(|n| to(n, 1)).collect::<Vec<_>>();
            let condition = Condition::Domain(vec![pattern]);
            check(condition, &requests(yes), &requests(no));
        }
    }

    #[test]
    fn regular_expressions_are_not_anchored() {
        let pattern = DomainPattern::Regex(Regex::new("oo").unwrap());
        check(
            Condition::Domain(vec![pattern]),
            &[to("google.com", 1)],
            &[],
        );
    }

    #[test]
    fn addresses_are_no_domains_and_domains_no_addresses() {
        let any_name = DomainPattern::Keyword("".into());
        check(
            Condition::Domain(vec![any_name]),
            &[to("a.com", 1)],
            &[to("192.0.2.1", 1)],
        );
        check(
            Condition::Ip(nets(&["0.0.0.0/0", "::/0"])),
            &[to("192.0.2.1", 1), to("2001:db8::1", 1)],
            &[to("a.com", 1)],
        );
    }

    #[test]
    fn overlapping_ranges_are_all_tried() {
        let overlapping = nets(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.0.2.7/32"]);
        check(
            Condition::Ip(overlapping),
            &[
                to("10.2.3.4", 1),
                to("10.1.2.3", 1),
                to("10.255.0.1", 1),
                to("192.0.2.7", 1),
            ],
            &[to("11.0.0.1", 1), to("192.0.2.8", 1), to("::1", 1)],
        );
    }

    #[test]
    fn an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address() {
        check(
            Condition::Source(nets(&["127.0.0.0/8"])),
            &[from("[::ffff:127.0.0.1]:5"), from("127.3.2.1:5")],
            &[from("[::1]:5"), from("128.0.0.1:5"), to("127.0.0.1", 5)],
        );
    }

    #[test]
    fn port_zero_is_a_port_and_reversed_ranges_hold_none() {
        check(
            Condition::Port(vec![80..=80, 1000..=2000]),
            &[to("a.com", 80), to("a.com", 1000), to("a.com", 2000)],
            &[to("a.com", 0), to("a.com", 81), to("a.com", 2001)],
        );
        check(
            Condition::Port(vec![0..=0]),
            &[to("a.com", 0)],
            &[to("a.com", 1)],
        );
        #[allow(clippy::reversed_empty_ranges)] // what "2000-1000" is read as
        let reversed = vec![2000..=1000];
        check(
            Condition::Port(reversed),
            &[],
            &[to("a.com", 1500), to("a.com", 1000), to("a.com", 2000)],
        );
        check(Condition::Port(vec![]), &[], &[to("a.com", 0)]);
    }

    #[test]
    fn a_source_port_needs_a_source() {
        check(
            Condition::SourcePort(vec![0..=65_535]),
            &[from("192.0.2.1:0"), from("[2001:db8::1]:65535")],
            &[to("a.com", 80)],
        );
        check(
            Condition::SourcePort(vec![1..=9]),
            &[from("192.0.2.1:9")],
            &[from("192.0.2.1:10")],
        );
    }

    #[test]
    fn networks_are_those_that_are_set() {
        let network = |tcp, udp| Condition::Network { tcp, udp };
        check(network(true, false), &[to("a.com", 1)], &[udp("a.com")]);
        check(network(false, true), &[udp("a.com")], &[to("a.com", 1)]);
        check(network(true, true), &[udp("a.com"), to("a.com", 1)], &[]);
        check(network(false, false), &[], &[udp("a.com"), to("a.com", 1)]);
    }

    #[test]
    fn users_are_exact_and_nobody_is_no_user() {
        check(
            Condition::User(texts(&["a@b.c", ""])),
            &[user("a@b.c")],
            &[user("A@b.c"), user("a@b.cc"), to("a.com", 1)],
        );
    }

    #[test]
    fn protocols_match_by_prefix() {
        check(
            Condition::Protocol(texts(&["http", "tls"])),
            &[protocol("http/1.1"), protocol("http"), protocol("tls")],
            &[protocol("HTTP/1.1"), protocol("htt"), to("a.com", 1)],
        );
    }

    #[test]
    fn conditions_are_and_their_lists_are_or() {
        let rule = Rule {
            outbound: "out".into(),
            conditions: vec![
                Condition::Port(vec![80..=80, 443..=443]),
                Condition::Domain(vec![
                    DomainPattern::Full("a.com".into()),
                    DomainPattern::Full("b.com".into()),
                ]),
            ],
        };
        let matches = |host, port| rule.matches(&Subject::unresolved(&to(host, port)));
        assert!(matches("a.com", 80) && matches("b.com", 443));
        assert!(!matches("a.com", 81) && !matches("c.com", 80));
    }

    #[test]
    fn a_name_is_resolved_once_and_only_for_address_conditions() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let resolver: Resolver = Box::new(move |_, _: &Domain| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(vec![IpAddr::from([192, 0, 2, 1]), [10, 1, 2, 3].into()])
        });
        let request = to("a.com", 80);
        let subject = Subject::resolving(&request, &resolver);
        assert!(Condition::Port(vec![80..=80]).holds(&subject));
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert!(Condition::Ip(nets(&["10.0.0.0/8"])).holds(&subject));
        assert!(!Condition::Ip(nets(&["172.16.0.0/12"])).holds(&subject));
        let name = DomainPattern::Full("a.com".into());
        assert!(Condition::Domain(vec![name]).holds(&subject));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_in_no_range() {
        let resolver: Resolver = Box::new(|_, _: &Domain| Err(std::io::ErrorKind::NotFound.into()));
        let request = to("a.com", 80);
        let subject = Subject::resolving(&request, &resolver);
        assert!(!Condition::Ip(nets(&["0.0.0.0/0", "::/0"])).holds(&subject));
    }
}
