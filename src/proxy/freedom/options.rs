use std::net::IpAddr;

use crate::net::Address;

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
    /// Local address to dial from (`sendThrough`).
    pub send_through: Option<IpAddr>,
}
