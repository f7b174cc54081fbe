use std::net::IpAddr;

use crate::proxy;

/// A user name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Settings of a SOCKS inbound (section 3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// Who may use it (`auth: "password"`); `None` lets in everybody.
    pub accounts: Option<Vec<Account>>,
    /// Whether UDP ASSOCIATE is served.
    pub udp: bool,
    /// The address that answers to UDP ASSOCIATE name.
    pub ip: Option<IpAddr>,
}

/// Settings of a SOCKS outbound (section 3.2): servers in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundOptions {
    /// The servers; at least one.
    pub servers: Vec<Server>,
}

/// One SOCKS server. Without users we are nobody there.
pub type Server = proxy::Server<Account>;
