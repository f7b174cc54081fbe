use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Addresses and ports that may be dialled, and no others.
///
/// What is checked is the address that is dialled, never a name: what a name
/// stands for may be another address at the next look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedTargets {
    ranges: Vec<TargetRange>,
}

/// Some of the [`AllowedTargets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRange {
    /// The addresses; all of them if `None`.
    pub net: Option<IpNet>,
    /// The ports.
    pub ports: RangeInclusive<u16>,
}

impl AllowedTargets {
    /// Whatever is in one of these; nothing if there are none.
    pub fn new(ranges: Vec<TargetRange>) -> Self {
        Self { ranges }
    }

    /// Whether `target` may be dialled. An IPv4 address in the clothes of IPv6
    /// is the IPv4 address.
    pub fn permits(&self, target: SocketAddr) -> bool {
        self.permitting(target).is_some()
    }

    /// The first range that `target` is in.
    pub fn permitting(&self, target: SocketAddr) -> Option<&TargetRange> {
        let ip = target.ip().to_canonical();
        let mut ranges = self.ranges.iter();
        ranges.find(|range| range.contains(ip, target.port()))
    }
}

impl TargetRange {
    fn contains(&self, ip: IpAddr, port: u16) -> bool {
        let has_address = self.net.is_none_or(|net| net.contains(&ip));
        has_address && self.ports.contains(&port)
    }
}

/// As configurations have it: `10.0.0.0/8`, `192.0.2.1:80`, `[fc00::/7]:443` or
/// `:8000-8999`.
impl fmt::Display for TargetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        let has_ports = (first, last) != (0, u16::MAX) || self.net.is_none();
        match self.net {
            None => {}
            Some(net) if net.addr().is_ipv6() && has_ports => write!(f, "[{}]", shown(net))?,
            Some(net) => f.write_str(&shown(net))?,
        }
        match has_ports {
            true if first == last => write!(f, ":{first}"),
            true => write!(f, ":{first}-{last}"),
            false => Ok(()),
        }
    }
}

/// A range of one address is that address.
fn shown(net: IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<u16> = 0..=u16::MAX;

    fn allowed(ranges: &[(&str, RangeInclusive<u16>)]) -> AllowedTargets {
        let range = |(net, ports): &(&str, RangeInclusive<u16>)| TargetRange {
            net: (*net != "*").then(|| net.parse().unwrap()),
            ports: ports.clone(),
        };
        AllowedTargets::new(ranges.iter().map(range).collect())
    }

    #[track_caller]
    fn check(targets: &AllowedTargets, address: &str, expected: bool) {
        let parsed = address.parse().unwrap();
        assert_eq!(targets.permits(parsed), expected, "{address}");
    }

    #[test]
    fn nothing_is_allowed_that_is_not_named() {
        check(&allowed(&[]), "127.0.0.1:80", false);
        let service = allowed(&[("192.0.2.1/32", 80..=80)]);
        check(&service, "192.0.2.1:80", true);
        for other in ["192.0.2.1:81", "192.0.2.2:80", "[::1]:80", "0.0.0.0:80"] {
            check(&service, other, false);
        }
    }

    #[test]
    fn an_address_is_the_same_in_all_its_spellings() {
        let local = allowed(&[("127.0.0.0/8", ALL)]);
        check(&local, "127.0.0.1:22", true);
        check(&local, "[::ffff:127.0.0.1]:22", true);
        check(&local, "[::1]:22", false);
        check(&local, "[::7f00:1]:22", false);
        let six = allowed(&[("fc00::/7", 1000..=2000)]);
        check(&six, "[fd00::1%3]:1000", true);
        check(&six, "[fd00::1]:2001", false);
    }

    #[test]
    fn a_range_is_shown_as_it_is_configured() {
        let table = [
            ("192.0.2.1/32", ALL, "192.0.2.1"),
            ("10.0.0.0/8", 80..=90, "10.0.0.0/8:80-90"),
            ("fc00::/7", ALL, "fc00::/7"),
            ("fc00::/7", 443..=443, "[fc00::/7]:443"),
            ("*", 80..=80, ":80"),
            ("*", ALL, ":0-65535"),
        ];
        for (net, ports, shown) in table {
            let range = &allowed(&[(net, ports)]).ranges[0];
            assert_eq!(range.to_string(), shown);
        }
    }

    #[test]
    fn ports_alone_are_ports_of_every_address() {
        let web = allowed(&[("*", 80..=80), ("198.51.100.0/24", 443..=443)]);
        check(&web, "203.0.113.9:80", true);
        check(&web, "[2001:db8::1]:80", true);
        check(&web, "198.51.100.7:443", true);
        check(&web, "203.0.113.9:443", false);
    }
}
