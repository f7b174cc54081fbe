//! The servers of an outbound: in a list as V2Ray has it, or a single one whose
//! keys, and its user's, stand in the settings themselves as in Xray.

use super::error::ConfigError;
use super::json::Node;
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
    user: impl FnMut(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<Vec<Server<User>>, ConfigError> {
    let list = settings.get(form.list);
    let server_keys = ["address", "port"].into_iter();
    let flat = first(settings, server_keys.chain(form.user.known.iter().copied()));
    match (flat, list.filter(|list| !list.is_empty())) {
        (Some(key), Some(_)) => Err(key
            .error(format!("a server beside \"{}\"", form.list))
            .help("put it into that list, or leave the list out")),
        (Some(_), None) => Ok(vec![flat_server(settings, form, user)?]),
        (None, _) => listed(settings, list, form, user),
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
    user: impl FnOnce(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<Server<User>, ConfigError> {
    let mut known = form.user.known.iter().copied();
    let is_somebody = known.any(|key| {
        let says = settings.get(key).is_some_and(|node| !node.is_empty());
        says && !OF_ANYBODY.contains(&key)
    });
    let users = match form.needs_user || is_somebody {
        true => vec![user(settings)?],
        false => Vec::new(),
    };
    Ok(Server {
        address: settings.need("address")?.address()?,
        port: settings.need("port")?.port()?,
        users,
    })
}

fn listed<User>(
    settings: &Fields<'_>,
    list: Option<&Node>,
    form: &'static Form,
    mut user: impl FnMut(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<Vec<Server<User>>, ConfigError> {
    let nodes = list.map_or(Ok(&[][..]), Node::elements)?;
    if nodes.is_empty() {
        return Err(none(list.unwrap_or(settings.node()), form));
    }
    nodes
        .iter()
        .map(|node| server(node, form, &mut user))
        .collect()
}

fn server<User>(
    node: &Node,
    form: &'static Form,
    mut user: impl FnMut(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<Server<User>, ConfigError> {
    let fields = Fields::open(node, &SERVER)?;
    let users = match form.needs_user {
        true => Some(fields.need("users")?),
        false => fields.get("users"),
    };
    let server = Server {
        address: fields.need("address")?.address()?,
        port: fields.need("port")?.port()?,
        users: users
            .map_or(Ok(&[][..]), Node::elements)?
            .iter()
            .map(|node| one_user(node, form, &mut user))
            .collect::<Result<_, _>>()?,
    };
    fields.finish()?;
    match users {
        Some(list) if form.needs_user && server.users.is_empty() => {
            Err(list.error("at least one user is needed"))
        }
        _ => Ok(server),
    }
}

fn one_user<User>(
    node: &Node,
    form: &'static Form,
    user: impl FnOnce(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<User, ConfigError> {
    let fields = Fields::open(node, &form.user)?;
    let user = user(&fields)?;
    fields.finish()?;
    Ok(user)
}

fn none(node: &Node, form: &Form) -> ConfigError {
    node.error("at least one server is needed")
        .help(format!("\"{}\" lists them", form.list))
}
