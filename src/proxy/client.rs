use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// One who may use an inbound.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// The secret.
    pub id: Uuid,
    /// The name in routing rules and access lines; empty if it has none.
    pub email: Arc<str>,
}

/// Not the id, which is a secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}
