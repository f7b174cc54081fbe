use super::Announcement;
use crate::limits::CONTROL_DOMAINS;
use crate::mux::CarrierOptions;
use crate::net::AllowedTargets;

/// The end of a reverse tunnel that visitors come to.
#[derive(Debug, Clone, PartialEq)]
pub struct PortalOptions {
    /// Its name as an outbound.
    pub tag: String,
    /// The name that bridges ask for, compared exactly.
    pub domain: String,
    /// The name under which it opens control sessions: one of
    /// [`CONTROL_DOMAINS`], by default the first.
    pub control_domain: String,
    /// Names of the services for which it knows which bridges have them: those
    /// of visitors whose target's first label is one of these. A bridge that
    /// says nothing of itself has them all.
    pub services: Vec<String>,
    /// The carriers that bridges open to it. Without a timer they have the
    /// portal's.
    pub carrier: CarrierOptions,
}

/// The end of a reverse tunnel that reaches the services.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeOptions {
    /// Its name as an inbound of what comes through the tunnel.
    pub tag: String,
    /// The name that it asks its portal for.
    pub domain: String,
    /// What it says of itself to its portal, which must be muxcool to
    /// understand it.
    pub announcement: Announcement,
    /// Where sessions may go that come through the tunnel; everywhere if
    /// `None`. The connection to the portal is not meant.
    pub allow_targets: Option<AllowedTargets>,
    /// The carriers that it opens to its portal. Without a timer they have the
    /// bridge's.
    pub carrier: CarrierOptions,
}

impl PortalOptions {
    /// A portal with defaults.
    pub fn new(tag: impl Into<String>, domain: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            domain: domain.into(),
            control_domain: CONTROL_DOMAINS[0].into(),
            services: Vec::new(),
            carrier: CarrierOptions::default(),
        }
    }
}

impl BridgeOptions {
    /// A bridge with defaults.
    pub fn new(tag: impl Into<String>, domain: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            domain: domain.into(),
            announcement: Announcement::default(),
            allow_targets: None,
            carrier: CarrierOptions::default(),
        }
    }

    /// The name that it asks its portal for.
    pub fn asked(&self) -> String {
        self.announcement.name(&self.domain)
    }
}
