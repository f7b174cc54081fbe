//! Settings of VLESS inbounds and outbounds (section 1.5).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::error::ConfigError;
use super::json::Node;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::socks::Levels;
use super::words::quoted;
use crate::proxy::vless::{Client, InboundOptions, OutboundOptions, Server};

const INBOUND: Keys = Keys {
    known: &["clients", "decryption"],
    unsupported: &[
        ("fallbacks", "strangers are disconnected"),
        ("fallback", "strangers are disconnected"),
    ],
};

const CLIENT: Keys = Keys {
    known: &["id", "email", "level"],
    unsupported: &[
        ("flow", NO_FLOW),
        ("encryption", "it belongs to an outbound's users"),
        ("reverse", "use the \"reverse\" object of V2Ray"),
    ],
};

const OUTBOUND: Keys = Keys {
    known: &["vnext"],
    unsupported: &[
        ("address", FLAT),
        ("port", FLAT),
        ("id", FLAT),
        ("encryption", FLAT),
        ("flow", FLAT),
        ("level", FLAT),
        ("email", FLAT),
        ("reverse", "use the \"reverse\" object of V2Ray"),
    ],
};

const SERVER: Keys = Keys {
    known: &["address", "port", "users"],
    unsupported: &[],
};

const USER: Keys = Keys {
    known: &["id", "encryption", "level", "email"],
    unsupported: &[("flow", NO_FLOW)],
};

const NO_FLOW: &str = "leave it out, there is no XTLS here";
const FLAT: &str = "put it into \"vnext\": [{\"address\", \"port\", \"users\": [{…}]}]";

/// Reads an inbound's settings. The handshake is over before the client is
/// known, so its bound is level 0's.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    must_be_none(&fields, "decryption")?;
    let mut levels = Levels::default();
    let mut clients = Vec::new();
    let mut seen = Seen::default();
    for node in fields.list("clients")? {
        let client = client(node, policy, &mut levels)?;
        seen.add(node, &client)?;
        clients.push(client);
    }
    fields.finish()?;
    let level = Level {
        handshake: policy.level(0).handshake,
        ..levels.one(policy)
    };
    Ok((InboundOptions { clients }, level))
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
) -> Result<(OutboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &OUTBOUND)?;
    let mut levels = Levels::default();
    let mut servers = Vec::new();
    for node in fields.list("vnext")? {
        servers.push(server(node, policy, &mut levels)?);
    }
    let list = fields.get("vnext").unwrap_or(node);
    fields.finish()?;
    if servers.is_empty() {
        return Err(list
            .error("at least one server is needed")
            .help("\"vnext\" lists them"));
    }
    let options = OutboundOptions {
        servers,
        send_through,
    };
    Ok((options, levels.one(policy)))
}

fn client(node: &Node, policy: &Policy, levels: &mut Levels) -> Result<Client, ConfigError> {
    let fields = Fields::open(node, &CLIENT)?;
    let client = Client {
        id: fields.need("id")?.id()?,
        email: Arc::from(fields.text("email")?),
    };
    levels.add(&fields, policy)?;
    fields.finish()?;
    Ok(client)
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

fn server(node: &Node, policy: &Policy, levels: &mut Levels) -> Result<Server, ConfigError> {
    let fields = Fields::open(node, &SERVER)?;
    let users = fields.need("users")?;
    let server = Server {
        address: fields.need("address")?.address()?,
        port: fields.need("port")?.port()?,
        ids: users
            .elements()?
            .iter()
            .map(|node| user(node, policy, levels))
            .collect::<Result<_, _>>()?,
    };
    fields.finish()?;
    if server.ids.is_empty() {
        return Err(users.error("at least one user is needed"));
    }
    Ok(server)
}

fn user(node: &Node, policy: &Policy, levels: &mut Levels) -> Result<Uuid, ConfigError> {
    let fields = Fields::open(node, &USER)?;
    let id = fields.need("id")?.id()?;
    must_be_none(&fields, "encryption")?;
    fields.text("email")?;
    levels.add(&fields, policy)?;
    fields.finish()?;
    Ok(id)
}

/// Both V2Ray and Xray want it written out.
fn must_be_none(fields: &Fields<'_>, key: &str) -> Result<(), ConfigError> {
    let help = format!("write \"{key}\": \"none\"");
    let node = fields.need(key).map_err(|error| error.help(&help))?;
    match node.string()? {
        "none" => Ok(()),
        text => Err(node
            .error(format!("VLESS has no {key} {}", quoted(text)))
            .help(help)),
    }
}
