use std::net::{IpAddr, SocketAddr};

use super::{FinalRule, OutboundOptions};
use crate::net::{Destination, Network};

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

impl OutboundOptions {
    /// Where a connection to `target` goes.
    pub fn redirected(&self, target: &Destination) -> Destination {
        let address = self.redirect_address.as_ref().unwrap_or(&target.address);
        let port = match self.redirect_port {
            0 => target.port,
            port => port,
        };
        Destination::new(target.network, address.clone(), port)
    }

    /// The first final rule that holds for `target`, by its index. An IPv4
    /// address in the clothes of IPv6 is the IPv4 address.
    pub fn deciding_rule(&self, network: Network, target: SocketAddr) -> Option<usize> {
        let ip = target.ip().to_canonical();
        let mut rules = self.final_rules.iter();
        rules.position(|rule| rule.holds(network, ip, target.port()))
    }

    /// What that rule says. Where none holds, the target is let through.
    pub(super) fn permits(&self, network: Network, target: SocketAddr) -> bool {
        let index = self.deciding_rule(network, target);
        let rule = index.and_then(|index| self.final_rules.get(index));
        rule.is_none_or(|rule| rule.allow)
    }
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
        let options = OutboundOptions {
            final_rules: rules.to_vec(),
            ..OutboundOptions::default()
        };
        let permitted = options.permits(network, target.parse().unwrap());
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
