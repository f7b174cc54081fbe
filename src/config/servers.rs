//! The servers of an outbound: in a list as V2Ray has it, or a single one whose
//! keys, and its user's, stand in the settings themselves as in Xray.

use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use crate::proxy::Server;

const SERVER: Keys = Keys {
    known: &["address", "port", "users"],
    unsupported: &[],
};

/// How servers are written.
pub(super) struct Form {
    /// The key of their list.
    pub(super) list: &'static str,
    /// The keys of one user.
    pub(super) user: Keys,
    /// Whether a server without a user makes no sense.
    pub(super) needs_user: bool,
}

/// What a user has besides being one.
const OF_ANYBODY: [&str; 2] = ["level", "email"];

/// Reads all servers out of an outbound's settings, which know the keys of a
/// server and of a user as well as that of the list; `user` reads one user.
pub(super) fn read<User>(
    settings: &Fields<'_>,
    form: &'static Form,
    user: impl FnMut(&Fields<'_>) -> Option<User>,
) -> Vec<Server<User>> {
    let list = settings.get(form.list);
    let server_keys = ["address", "port"].into_iter();
    let flat = first(settings, server_keys.chain(form.user.known.iter().copied()));
    match (flat, list.filter(|list| !list.is_empty())) {
        (Some(key), Some(_)) => {
            let what = format!("a server beside \"{}\"", form.list);
            let help = "put it into that list, or leave the list out";
            settings.notes().blame(key.error(what).help(help));
            Vec::new()
        }
        (Some(_), None) => flat_server(settings, form, user).into_iter().collect(),
        (None, _) => listed(settings, form, user),
    }
}

/// Of the keys that are there, and say something, the first one's value.
fn first<'a>(settings: &Fields<'a>, keys: impl Iterator<Item = &'static str>) -> Option<&'a Node> {
    let given = keys.map(|key| settings.get(key).filter(|node| !node.is_empty()));
    // To the end, for each key has to be asked for.
    given.fold(None, Option::or)
}

fn flat_server<User>(
    settings: &Fields<'_>,
    form: &'static Form,
    user: impl FnOnce(&Fields<'_>) -> Option<User>,
) -> Option<Server<User>> {
    let mut known = form.user.known.iter().copied();
    let is_somebody = known.any(|key| {
        let says = settings.get(key).is_some_and(|node| !node.is_empty());
        says && !OF_ANYBODY.contains(&key)
    });
    let has_user = form.needs_user || is_somebody;
    let user = has_user.then(|| user(settings)).flatten();
    let address = settings.need("address", Node::address);
    let port = settings.need("port", Node::port);
    Some(Server {
        address: address?,
        port: port?,
        users: user.into_iter().collect(),
    })
}

fn listed<User>(
    settings: &Fields<'_>,
    form: &'static Form,
    mut user: impl FnMut(&Fields<'_>) -> Option<User>,
) -> Vec<Server<User>> {
    let notes = settings.notes();
    let nodes = settings.read_or(form.list, &[][..], Node::elements);
    if matches!(nodes, Some([])) && !settings.is_asked_for(form.list) {
        let node = settings.get(form.list).unwrap_or(settings.node());
        let what = "at least one server is needed";
        let help = format!("\"{}\" lists them", form.list);
        notes.blame(node.error(what).help(help));
    }
    let nodes = nodes.unwrap_or_default().iter();
    nodes
        .filter_map(|node| server(node, form, &mut user, notes))
        .collect()
}

fn server<User>(
    node: &Node,
    form: &'static Form,
    mut user: impl FnMut(&Fields<'_>) -> Option<User>,
    notes: &Notes,
) -> Option<Server<User>> {
    let fields = Fields::open(node, &SERVER, notes)?;
    let users = match form.needs_user {
        true => fields.need_node("users"),
        false => fields.get("users"),
    };
    let nodes = fields.list("users");
    if let Some(list) = users
        && form.needs_user
        && matches!(list.elements(), Ok([]))
    {
        notes.blame(list.error("at least one user is needed"));
    }
    let address = fields.need("address", Node::address);
    let port = fields.need("port", Node::port);
    let users = nodes.iter().filter_map(|node| {
        let fields = Fields::open(node, &form.user, notes)?;
        user(&fields)
    });
    let users = users.collect();
    Some(Server {
        address: address?,
        port: port?,
        users,
    })
}
