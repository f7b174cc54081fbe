use crate::limits::CONTROL_DOMAINS;

/// The end of a reverse tunnel that visitors come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalOptions {
    /// Its name as an outbound.
    pub tag: String,
    /// The name that bridges ask for, compared exactly.
    pub domain: String,
    /// The name under which it opens control sessions: one of
    /// [`CONTROL_DOMAINS`], by default the first.
    pub control_domain: String,
}

impl PortalOptions {
    /// A portal with defaults.
    pub fn new(tag: impl Into<String>, domain: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            domain: domain.into(),
            control_domain: CONTROL_DOMAINS[0].into(),
        }
    }
}

/// The end of a reverse tunnel that reaches the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeOptions {
    /// Its name as an inbound of what comes through the tunnel.
    pub tag: String,
    /// The name that it asks its portal for.
    pub domain: String,
}
