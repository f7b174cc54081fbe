//! Settings of VLESS inbounds and outbounds (section 1.5).

use std::net::IpAddr;

use uuid::Uuid;

use super::clients;
use super::json::Node;
use super::notes::Notes;
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
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    must_be_none(&fields, "decryption");
    let mut levels = Levels::default();
    let clients = clients::read(&fields, &CLIENT, |client| levels.add(client, policy));
    let level = Level {
        handshake: policy.level(0).handshake,
        ..levels.one(policy)
    };
    Some((InboundOptions { clients }, level))
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &Notes,
) -> Option<(OutboundOptions, Level)> {
    let fields = Fields::open(node, &OUTBOUND, notes)?;
    let mut levels = Levels::default();
    let options = OutboundOptions {
        servers: servers::read(&fields, &SERVERS, |fields| {
            user(fields, policy, &mut levels)
        }),
        send_through,
    };
    Some((options, levels.one(policy)))
}

fn user(fields: &Fields<'_>, policy: &Policy, levels: &mut Levels) -> Option<Uuid> {
    must_be_none(fields, "encryption");
    fields.text("email");
    levels.add(fields, policy);
    fields.need("id", Node::id)
}

/// Both V2Ray and Xray want it written out.
fn must_be_none(fields: &Fields<'_>, key: &str) {
    let help = format!("write \"{key}\": \"none\"");
    if fields.get(key).is_none() {
        fields.miss(key, Some(&help));
    }
    fields.read(key, |node| match node.string()? {
        "none" => Ok(()),
        text => {
            let what = format!("VLESS has no {key} {}", quoted(text));
            Err(node.error(what).help(help))
        }
    });
}
