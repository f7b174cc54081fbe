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
    notes: &mut Notes,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let mut common = Common::new(policy);
    let options = InboundOptions {
        clients: clients::read(fields.list_either("clients", "users")?, &CLIENT, |client| {
            // What the client uses decides; V2Ray reads past it here.
            security(client)?;
            common.add(client)
        })?,
        only_encrypted: fields.flag("disableInsecureEncryption")?,
    };
    fields.finish()?;
    let level = Level {
        handshake: policy.level(0).handshake,
        ..common.level(OLD_CLIENTS, notes)
    };
    Ok((options, level))
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    send_through: Option<IpAddr>,
    policy: &Policy,
    notes: &mut Notes,
) -> Result<(OutboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &OUTBOUND)?;
    let mut common = Common::new(policy);
    let options = OutboundOptions {
        servers: servers::read(&fields, &SERVERS, |fields| user(fields, &mut common))?,
        send_through,
    };
    fields.finish()?;
    Ok((options, common.level(OLD_SERVERS, notes)))
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
    fn add(&mut self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        if let Some(node) = fields.get("alterId")
            && node.whole(0..=65_535)? > 0
        {
            self.old.get_or_insert_with(|| node.mark.clone());
        }
        self.levels.add(fields, self.policy)
    }

    fn level(self, old_header: &str, notes: &mut Notes) -> Level {
        if let Some(mark) = &self.old {
            notes.add(mark, old_header);
        }
        self.levels.one(self.policy)
    }
}

fn user(fields: &Fields<'_>, common: &mut Common<'_>) -> Result<User, ConfigError> {
    let security = security(fields)?;
    let user = User {
        id: fields.need("id")?.id()?,
        security,
        sealed_sizes: sealed_sizes(fields, security)?,
    };
    fields.text("email")?;
    common.add(fields)?;
    Ok(user)
}

/// V2Ray takes what it does not know for "auto".
fn security(fields: &Fields<'_>) -> Result<Option<Security>, ConfigError> {
    let Some(node) = fields.get("security") else {
        return Ok(None);
    };
    if node.string()?.eq_ignore_ascii_case("zero") {
        return Err(node
            .error("V2Ray 4 takes \"zero\" for \"auto\", V2Ray 5 for no encryption")
            .help("use \"auto\" or \"none\""));
    }
    node.choice("security", &SECURITIES)
}

/// The words of V2Ray 5 and Xray, with bars between them.
fn sealed_sizes(fields: &Fields<'_>, security: Option<Security>) -> Result<bool, ConfigError> {
    let Some(node) = fields.get("experiments") else {
        return Ok(false);
    };
    let words = node.string()?.split('|').map(str::trim);
    let mut sealed = false;
    for word in words.filter(|word| !word.is_empty()) {
        sealed |= experiment(node, word)?;
    }
    if sealed && security == Some(Security::None) {
        return Err(node
            .error("without encryption there are no encrypted lengths")
            .help("use another \"security\""));
    }
    Ok(sealed)
}

/// Whether it is the one that we know.
fn experiment(node: &Node, word: &str) -> Result<bool, ConfigError> {
    match word {
        "AuthenticatedLength" => Ok(true),
        "NoTerminationSignal" => Err(node
            .error("\"NoTerminationSignal\" is not supported by muxcool")
            .help("leave it out: without the signal an end cannot be told from a cut")),
        other => Err(node
            .error(format!("unknown experiment {}", quoted(other)))
            .help("known here: \"AuthenticatedLength\"")),
    }
}
