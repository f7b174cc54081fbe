use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::net::Address;

/// One who may use an inbound.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// The secret.
    pub id: Uuid,
    /// The name in routing rules and access lines; empty if it has none.
    pub email: Arc<str>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

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

/// One VLESS server.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its host.
    pub address: Address,
    /// Its port.
    pub port: u16,
    /// Who we are there: one of these at random; at least one.
    pub ids: Vec<Uuid>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
