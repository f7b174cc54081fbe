//! What connections go to: networks, addresses, ports, destinations.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

mod codec;
mod origin;
mod targets;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

pub use codec::{
    AddressError, AddressFormat, read_address, read_port_address, read_port_ip, write_address,
    write_port_address,
};
pub use origin::Origin;
pub(crate) use origin::canonical;
pub use targets::{AllowedTargets, TargetRange};

use crate::limits::MAX_DOMAIN;

/// The kind of conversation: a stream of bytes or separate datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Network::Tcp => "tcp",
            Network::Udp => "udp",
        })
    }
}

/// A host name as the family's wire formats allow it: 1 to 255 bytes of
/// letters, digits, `-`, `.` and `_`, not an IP address in disguise.
///
/// Cloning is cheap. Comparison is exact: the reference folds no case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Checks `name` and keeps it.
    pub fn new(name: &str) -> Result<Self, AddressError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > MAX_DOMAIN || !name.bytes().all(allowed) {
            return Err(AddressError::InvalidDomain);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A host: an IP address or a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address; an IPv4 address mapped into IPv6 is always kept as IPv4.
    Ip(IpAddr),
    /// A name.
    Domain(Domain),
}

impl Address {
    /// The IPv4 loopback address.
    pub const LOCALHOST: Address = Address::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// The name, if it is one.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Address::Domain(name) => Some(name.as_str()),
            Address::Ip(_) => None,
        }
    }

    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(ip) => Some(*ip),
            Address::Domain(_) => None,
        }
    }
}

/// An IPv6 address of the form `::ffff:a.b.c.d` becomes the IPv4 address.
impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Address::Ip(ip.to_canonical())
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Address::Ip(IpAddr::V4(ip))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::V6(ip).into()
    }
}

/// Reads an IP address, with or without brackets around IPv6, or else a name.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match parse_ip(text) {
            Some(ip) => Ok(ip.into()),
            None => Domain::new(text).map(Address::Domain),
        }
    }
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Address::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Address::Domain(name) => name.fmt(f),
        }
    }
}

/// Where a connection goes. Printed as `tcp:example.com:80`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Stream or datagrams.
    pub network: Network,
    /// The host.
    pub address: Address,
    /// The port; 0 is legal on the wire and used by the control sessions.
    pub port: u16,
}

impl Destination {
    /// A destination of any kind.
    pub fn new(network: Network, address: Address, port: u16) -> Self {
        Self {
            network,
            address,
            port,
        }
    }

    /// A stream to `host`, an IP address or a name.
    ///
    /// # Errors
    /// [`AddressError::InvalidDomain`] when `host` is neither.
    pub fn tcp(host: &str, port: u16) -> Result<Self, AddressError> {
        Ok(Self::new(Network::Tcp, host.parse()?, port))
    }

    /// Datagrams to `host`, an IP address or a name.
    ///
    /// # Errors
    /// [`AddressError::InvalidDomain`] when `host` is neither.
    pub fn udp(host: &str, port: u16) -> Result<Self, AddressError> {
        Ok(Self::new(Network::Udp, host.parse()?, port))
    }

    /// `host:port` without the network, as most programs print it.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }
}

impl From<(Network, SocketAddr)> for Destination {
    fn from((network, addr): (Network, SocketAddr)) -> Self {
        Self::new(network, addr.ip().into(), addr.port())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.network, self.address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_print_as_the_family_prints_them() {
        let cases = [
            (Destination::tcp("example.com", 80), "tcp:example.com:80"),
            (Destination::udp("192.0.2.1", 53), "udp:192.0.2.1:53"),
            (Destination::tcp("::1", 443), "tcp:[::1]:443"),
            (Destination::tcp("[::ffff:192.0.2.1]", 1), "tcp:192.0.2.1:1"),
        ];
        for (destination, text) in cases {
            assert_eq!(destination.unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_that_the_wire_cannot_carry_are_refused() {
        let long = "a".repeat(256);
        for name in [
            "",
            "a b",
            "a$b.com",
            "*",
            "ex\u{e4}mple",
            "fe80::1%eth0",
            &long,
        ] {
            assert!(name.parse::<Address>().is_err(), "{name:?}");
        }
    }
}
