use std::net::IpAddr;

use super::FinalRule;
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
