use std::net::{IpAddr, SocketAddr};

use super::FinalRule;
use crate::net::Network;

impl FinalRule {
    /// Whether it holds for every address and port.
    pub fn is_for_all(&self) -> bool {
        self.tcp && self.udp && self.ports.is_empty() && self.nets.is_empty()
    }

    fn holds(&self, network: Network, ip: IpAddr, port: u16) -> bool {
        let of_network = match network {
            Network::Tcp => self.tcp,
            Network::Udp => self.udp,
        };
        let has_port = self.ports.is_empty() || self.ports.iter().any(|r| r.contains(&port));
        let has_ip = self.nets.is_empty() || self.nets.iter().any(|net| net.contains(&ip));
        of_network && has_port && has_ip
    }
}

/// What the first rule that holds for `target` says. Where none does, it is
/// let through. An IPv4 address in the clothes of IPv6 is the IPv4 address.
pub(super) fn permit(rules: &[FinalRule], network: Network, target: SocketAddr) -> bool {
    let ip = target.ip().to_canonical();
    let mut rules = rules.iter();
    let first = rules.find(|rule| rule.holds(network, ip, target.port()));
    first.is_none_or(|rule| rule.allow)
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

    fn rule(allow: bool, nets: &[&str], ports: &[RangeInclusive<u16>]) -> FinalRule {
        FinalRule {
            allow,
            tcp: true,
            udp: true,
            ports: ports.to_vec(),
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        }
    }

    #[track_caller]
    fn check(rules: &[FinalRule], network: Network, target: &str, expected: bool) {
        let permitted = permit(rules, network, target.parse().unwrap());
        assert_eq!(permitted, expected, "{target}");
    }

    #[test]
    fn without_rules_everything_goes_through() {
        check(&[], Network::Tcp, "127.0.0.1:22", true);
        check(&[], Network::Udp, "[::1]:53", true);
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = [
            rule(true, &["127.0.0.1/32"], &[80..=80, 8000..=8999]),
            rule(false, &["127.0.0.0/8", "::1/128"], &[]),
            rule(true, &["127.0.0.0/8"], &[]),
        ];
        for (target, expected) in [
            ("127.0.0.1:80", true),
            ("[::ffff:127.0.0.1]:8999", true),
            ("127.0.0.1:81", false),
            ("[::ffff:127.0.0.1]:81", false),
            ("127.0.0.2:80", false),
            ("[::1]:80", false),
            ("192.0.2.1:81", true),
        ] {
            check(&rules, Network::Tcp, target, expected);
        }
    }

    #[test]
    fn a_rule_for_streams_says_nothing_of_datagrams() {
        let no_streams = FinalRule {
            udp: false,
            ..rule(false, &[], &[])
        };
        assert!(!no_streams.is_for_all() && rule(false, &[], &[]).is_for_all());
        check(
            std::slice::from_ref(&no_streams),
            Network::Tcp,
            "192.0.2.1:53",
            false,
        );
        check(&[no_streams], Network::Udp, "192.0.2.1:53", true);
    }
}
