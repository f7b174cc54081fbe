//! Settings of VLESS inbounds and outbounds (section 1.5).

use std::net::IpAddr;

use uuid::Uuid;

use super::clients;
use super::error::ConfigError;
use super::json::Node;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::servers::{self, Form};
use super::socks::Levels;
use super::words::quoted;
use crate::proxy::vless::{InboundOptions, OutboundOptions};

const INBOUND: Keys = Keys {
    known: &["clients", "users", "decryption"],
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
    known: &[
        "vnext",
        "address",
        "port",
        "id",
        "encryption",
        "level",
        "email",
    ],
    unsupported: &[
        ("flow", NO_FLOW),
        ("reverse", "use the \"reverse\" object of V2Ray"),
    ],
};

const SERVERS: Form = Form {
    list: "vnext",
    user: Keys {
        known: &["id", "encryption", "level", "email"],
        unsupported: &[("flow", NO_FLOW)],
    },
    needs_user: true,
};

const NO_FLOW: &str = "leave it out, there is no XTLS here";

/// Reads an inbound's settings. The handshake is over before the client is
/// known, so its bound is level 0's.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    must_be_none(&fields, "decryption")?;
    let mut levels = Levels::default();
    let clients = clients::read(fields.list_either("clients", "users")?, &CLIENT, |client| {
        levels.add(client, policy)
    })?;
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
    let options = OutboundOptions {
        servers: servers::read(&fields, &SERVERS, |fields| {
            user(fields, policy, &mut levels)
        })?,
        send_through,
    };
    fields.finish()?;
    Ok((options, levels.one(policy)))
}

fn user(fields: &Fields<'_>, policy: &Policy, levels: &mut Levels) -> Result<Uuid, ConfigError> {
    let id = fields.need("id")?.id()?;
    must_be_none(fields, "encryption")?;
    fields.text("email")?;
    levels.add(fields, policy)?;
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
