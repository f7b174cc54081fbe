use std::fmt;
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

/// One server, and who we may be there.
#[derive(Clone, PartialEq, Eq)]
pub struct Server<User> {
    /// Its host.
    pub address: Address,
    /// Its port.
    pub port: u16,
    /// Who we are there: one of these at random.
    pub users: Vec<User>,
}

/// Not the id, which is a secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// Not the users, who are secrets.
impl<User> fmt::Debug for Server<User> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
