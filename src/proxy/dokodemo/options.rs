use crate::net::Address;

/// Settings of a dokodemo-door inbound (section 3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundOptions {
    /// The target's host.
    pub address: Address,
    /// The target's port.
    pub port: u16,
    /// Whether TCP connections are taken.
    pub tcp: bool,
    /// Whether datagrams are taken.
    pub udp: bool,
}
