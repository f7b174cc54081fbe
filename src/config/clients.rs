//! Who may use an inbound of VLESS or VMess.

use std::collections::HashSet;

use uuid::Uuid;

use super::json::Node;
use super::read::{Fields, Keys};
use super::words::quoted;
use crate::proxy::Client;

/// Reads the list of clients, under either of its names, with these keys, of
/// which `more` reads those that are not of every protocol.
pub(super) fn read(
    settings: &Fields<'_>,
    keys: &'static Keys,
    mut more: impl FnMut(&Fields<'_>),
) -> Vec<Client> {
    let mut seen = Seen::default();
    let mut clients = Vec::new();
    for node in settings.list_either("clients", "users") {
        let Some(fields) = Fields::open(node, keys, settings.notes()) else {
            continue;
        };
        let id = fields.need("id", Node::id);
        let email = fields.text("email");
        more(&fields);
        seen.add(&fields, id, email);
        clients.extend(id.map(|id| Client {
            id,
            email: email.into(),
        }));
    }
    clients
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
    fn add(&mut self, client: &Fields<'_>, id: Option<Uuid>, email: &str) {
        let blame = |what: String| client.notes().blame(client.node().error(what));
        if id.is_some_and(|id| !self.ids.insert(id)) {
            blame("another client has the same \"id\"".to_owned());
        }
        if !email.is_empty() && !self.emails.insert(email.to_lowercase()) {
            blame(format!(
                "another client has the \"email\" {}",
                quoted(email)
            ));
        }
    }
}
