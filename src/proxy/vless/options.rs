use std::net::IpAddr;

use uuid::Uuid;

use crate::proxy::{self, Client};

/// Settings of a VLESS inbound (section 1.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// Who may use it; nobody if empty.
    pub clients: Vec<Client>,
}

/// Settings of a VLESS outbound (section 1.5): servers in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundOptions {
    /// The servers; at least one.
    pub servers: Vec<Server>,
    /// Local address to dial from (`sendThrough`).
    pub send_through: Option<IpAddr>,
}

/// One VLESS server, whose users are ids; at least one.
pub type Server = proxy::Server<Uuid>;
