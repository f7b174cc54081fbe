//! Settings of VMess inbounds and outbounds (section 2.7).

use std::net::IpAddr;

use super::clients;
use super::error::ConfigError;
use super::json::{Mark, Node};
use super::notes::Notes;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::servers::{self, Form};
use super::socks::Levels;
use super::words::quoted;
use crate::proxy::vmess::{InboundOptions, OutboundOptions, Security, User};

const INBOUND: Keys = Keys {
    known: &["clients", "users", "disableInsecureEncryption"],
    unsupported: &[
        ("default", NO_DETOUR),
        ("detour", NO_DETOUR),
        ("features", NO_DETOUR),
    ],
};

const CLIENT: Keys = Keys {
    known: &["id", "alterId", "email", "level", "security"],
    unsupported: &[("experiments", "it belongs to an outbound's users")],
};

const OUTBOUND: Keys = Keys {
    known: &[
        "vnext",
        "address",
        "port",
        "id",
        "alterId",
        "security",
        "experiments",
        "level",
        "email",
    ],
    unsupported: &[],
};

const SERVERS: Form = Form {
    list: "vnext",
    user: Keys {
        known: &["id", "alterId", "security", "experiments", "level", "email"],
        unsupported: &[],
    },
    needs_user: true,
};

const NO_DETOUR: &str = "connections stay on the port that they came to";

const OLD_CLIENTS: &str = "the old header of VMess is not read: clients of V2Ray 4 that have an \
                           \"alterId\" above 0, or are older than 4.28, are refused";
const OLD_SERVERS: &str = "the old header of VMess is not sent: servers older than V2Ray 4.28 \
                           refuse the new one";

/// How bodies may be encrypted; `None` is by the processor.
const SECURITIES: [(&str, Option<Security>); 5] = [
    ("auto", None),
    ("", None),
    ("aes-128-gcm", Some(Security::Aes128Gcm)),
    ("chacha20-poly1305", Some(Security::Chacha20Poly1305)),
    ("none", Some(Security::None)),
];

/// Reads an inbound's settings. The handshake is over before the client is
/// known, so its bound is level 0's.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    let mut common = Common::new(policy);
    let clients = clients::read(&fields, &CLIENT, |client| {
        // What the client uses decides; V2Ray reads past it here.
        client.read("security", security);
        common.add(client);
    });
    let options = InboundOptions {
        clients,
        only_encrypted: fields.flag("disableInsecureEncryption"),
    };
    let level = Level {
        handshake: policy.level(0).handshake,
        ..common.level(OLD_CLIENTS, notes)
    };
    Some((options, level))
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &Notes,
) -> Option<(OutboundOptions, Level)> {
    let fields = Fields::open(node, &OUTBOUND, notes)?;
    let mut common = Common::new(policy);
    let options = OutboundOptions {
        servers: servers::read(&fields, &SERVERS, |fields| user(fields, &mut common)),
        send_through,
    };
    Some((options, common.level(OLD_SERVERS, notes)))
}

/// What is decided by all users of an inbound or outbound together.
struct Common<'a> {
    policy: &'a Policy,
    levels: Levels,
    /// The first `alterId` above 0. A client of V2Ray 4 chooses the old header
    /// for it, which anybody can replay; its server takes either header.
    old: Option<Mark>,
}

impl<'a> Common<'a> {
    fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            levels: Levels::default(),
            old: None,
        }
    }

    /// Reads the keys of one user that say nothing about him alone.
    fn add(&mut self, fields: &Fields<'_>) {
        let alter_id = fields.read("alterId", |node| node.whole(0..=65_535));
        let old = fields.get("alterId").filter(|_| alter_id > Some(0));
        self.old = self.old.take().or(old.map(|node| node.mark.clone()));
        self.levels.add(fields, self.policy);
    }

    fn level(self, old_header: &str, notes: &Notes) -> Level {
        if let Some(mark) = &self.old {
            notes.add(mark, old_header);
        }
        self.levels.one(self.policy)
    }
}

fn user(fields: &Fields<'_>, common: &mut Common<'_>) -> Option<User> {
    fields.text("email");
    common.add(fields);
    let id = fields.need("id", Node::id);
    let security = fields.read("security", security).flatten();
    let sealed_sizes = sealed_sizes(fields, security);
    Some(User {
        id: id?,
        security,
        sealed_sizes,
    })
}

/// V2Ray takes what it does not know for "auto".
fn security(node: &Node) -> Result<Option<Security>, ConfigError> {
    if node.string()?.eq_ignore_ascii_case("zero") {
        return Err(node
            .error("V2Ray 4 takes \"zero\" for \"auto\", V2Ray 5 for no encryption")
            .help("use \"auto\" or \"none\""));
    }
    node.choice("security", &SECURITIES)
}

/// The words of V2Ray 5 and Xray, with bars between them.
fn sealed_sizes(fields: &Fields<'_>, security: Option<Security>) -> bool {
    let words = fields.text("experiments").split('|').map(str::trim);
    let words = words.filter(|word| !word.is_empty());
    let Some(node) = fields.get("experiments") else {
        return false;
    };
    let notes = fields.notes();
    let known = words.filter_map(|word| notes.keep(experiment(node, word)));
    let sealed = known.count() > 0;
    if sealed && security == Some(Security::None) {
        let what = "without encryption there are no encrypted lengths";
        notes.blame(node.error(what).help("use another \"security\""));
    }
    sealed
}

/// Only one of them is known.
fn experiment(node: &Node, word: &str) -> Result<(), ConfigError> {
    match word {
        "AuthenticatedLength" => Ok(()),
        "NoTerminationSignal" => Err(node
            .error("\"NoTerminationSignal\" is not supported by muxcool")
            .help("leave it out: without the signal an end cannot be told from a cut")),
        other => Err(node
            .error(format!("unknown experiment {}", quoted(other)))
            .help("known here: \"AuthenticatedLength\"")),
    }
}
