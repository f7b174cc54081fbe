use std::net::SocketAddr;

/// Where a connection comes from, as far as that is known. An IPv4 address
/// mapped into IPv6 is always kept as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    source: SocketAddr,
    local: Option<SocketAddr>,
}

impl Origin {
    /// A visitor from `source`, who connected to the address `local`. An
    /// unspecified one, which a listener on all addresses has, says nothing.
    pub fn new(source: SocketAddr, local: Option<SocketAddr>) -> Self {
        let local = local.filter(|local| !local.ip().is_unspecified());
        Self {
            source: canonical(source),
            local: local.map(canonical),
        }
    }

    /// The visitor's address.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// The address that he connected to.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }
}

/// An IPv4 address mapped into IPv6 as IPv4, any other as it is.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
