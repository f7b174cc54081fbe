use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::net::Address;
use crate::transport::proxy_protocol::Version;

/// Which addresses of a name are dialled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DomainStrategy {
    /// What the system's resolver says, in its order (`AsIs`).
    #[default]
    AsIs,
    /// One at random of all (`UseIP`).
    UseIp,
    /// One at random of IPv4 (`UseIPv4`).
    UseIpv4,
    /// One at random of IPv6 (`UseIPv6`).
    UseIpv6,
}

/// Settings of a freedom outbound (section 3.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundOptions {
    /// Which addresses of a name are dialled.
    pub domain_strategy: DomainStrategy,
    /// Replaces the target's host, unless `None`.
    pub redirect_address: Option<Address>,
    /// Replaces the target's port, unless 0.
    pub redirect_port: u16,
    /// What may be dialled; the first that holds for an address decides.
    pub final_rules: Vec<FinalRule>,
    /// Local address to dial from (`sendThrough`).
    pub send_through: Option<IpAddr>,
    /// Says in a PROXY header of this version, in front of each stream and
    /// below all layers, where it comes from. Datagrams have none.
    pub proxy_protocol: Option<Version>,
}

/// A word about the addresses that may be dialled (`finalRules` of Xray).
///
/// What is looked at is the address that is dialled, never a name: what a name
/// stands for may be another address at the next look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalRule {
    /// Whether it lets what it holds for through, or keeps it back.
    pub allow: bool,
    /// Whether it holds for streams.
    pub tcp: bool,
    /// Whether it holds for datagrams.
    pub udp: bool,
    /// The ports that it holds for; all of them if empty.
    pub ports: Vec<RangeInclusive<u16>>,
    /// The addresses that it holds for; all of them if empty.
    pub nets: Vec<IpNet>,
}
