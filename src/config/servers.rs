//! The servers of an outbound.

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

/// Reads all servers out of an outbound's settings; `user` reads one user.
pub(super) fn read<User>(
    settings: &Fields<'_>,
    form: &'static Form,
    mut user: impl FnMut(&Fields<'_>) -> Result<User, ConfigError>,
) -> Result<Vec<Server<User>>, ConfigError> {
    let list = settings.get(form.list);
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
