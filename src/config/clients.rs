//! Who may use an inbound of VLESS or VMess.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::error::ConfigError;
use super::json::Node;
use super::read::{Fields, Keys};
use super::words::quoted;
use crate::proxy::Client;

/// Reads a list of clients with these keys, of which `more` reads those that
/// are not of every protocol.
pub(super) fn read(
    nodes: &[Node],
    keys: &'static Keys,
    mut more: impl FnMut(&Fields<'_>) -> Result<(), ConfigError>,
) -> Result<Vec<Client>, ConfigError> {
    let mut seen = Seen::default();
    let mut clients = Vec::new();
    for node in nodes {
        let fields = Fields::open(node, keys)?;
        let client = Client {
            id: fields.need("id")?.id()?,
            email: Arc::from(fields.text("email")?),
        };
        more(&fields)?;
        fields.finish()?;
        seen.add(node, &client)?;
        clients.push(client);
    }
    Ok(clients)
}

/// What the clients before had.
#[derive(Default)]
struct Seen {
    ids: HashSet<Uuid>,
    emails: HashSet<String>,
}

impl Seen {
    /// V2Ray refuses a second use of an e-mail address, in any case; of an id
    /// it silently keeps the last.
    fn add(&mut self, node: &Node, client: &Client) -> Result<(), ConfigError> {
        if !self.ids.insert(client.id) {
            return Err(node.error("another client has the same \"id\""));
        }
        let email = client.email.to_lowercase();
        if !email.is_empty() && !self.emails.insert(email) {
            let what = format!("another client has the \"email\" {}", quoted(&client.email));
            return Err(node.error(what));
        }
        Ok(())
    }
}
