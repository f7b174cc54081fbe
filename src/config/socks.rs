//! Settings of SOCKS inbounds and outbounds, and the accounts that HTTP
//! inbounds have too.

use std::collections::HashSet;

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::servers::{self, Form};
use super::words::quoted;
use crate::limits::MAX_SOCKS_CREDENTIAL;
use crate::proxy::socks::{Account, InboundOptions, OutboundOptions};

const INBOUND: Keys = Keys {
    known: &[
        "auth",
        "accounts",
        "users",
        "udp",
        "ip",
        "timeout",
        "userLevel",
    ],
    unsupported: &[],
};

const ACCOUNT: Keys = Keys {
    known: &["user", "pass"],
    unsupported: &[],
};

const OUTBOUND: Keys = Keys {
    known: &[
        "servers", "address", "port", "user", "pass", "level", "email",
    ],
    unsupported: &[("version", "servers are spoken to in SOCKS 5")],
};

const SERVERS: Form = Form {
    list: "servers",
    user: Keys {
        known: &["user", "pass", "level", "email"],
        unsupported: &[],
    },
    needs_user: false,
};

const NO_ACCOUNTS: &str = "has no effect while \"auth\" is not \"password\"";

const DIFFERENT: &str = "users of different levels side by side are not supported by muxcool";
const THE_SAME: &str = "give all of them the same level";

/// Reads an inbound's settings.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    let by_password = fields.read_or("auth", false, by_password);
    let list = fields.either("accounts", "users");
    let nodes = list.and_then(|list| notes.keep(list.elements()));
    let accounts = accounts(nodes.unwrap_or_default(), notes);
    if let Some(list) = list.filter(|_| by_password == Some(false) && !accounts.is_empty()) {
        notes.add(&list.mark, NO_ACCOUNTS);
    }
    let options = InboundOptions {
        accounts: by_password.unwrap_or_default().then_some(accounts),
        udp: fields.flag("udp"),
        ip: fields.read("ip", Node::ip),
    };
    Some((options, policy.of_settings(&fields)))
}

fn by_password(auth: &Node) -> Result<bool, ConfigError> {
    match auth.is_empty() {
        true => Ok(false),
        false => auth.choice("authentication", &[("noauth", false), ("password", true)]),
    }
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    policy: &Policy,
    notes: &Notes,
) -> Option<(OutboundOptions, Level)> {
    let fields = Fields::open(node, &OUTBOUND, notes)?;
    let mut levels = Levels::default();
    let servers = servers::read(&fields, &SERVERS, |fields| {
        user(fields, policy, &mut levels)
    });
    Some((OutboundOptions { servers }, levels.one(policy)))
}

/// Reads `accounts`; no name may come twice.
pub(super) fn accounts(nodes: &[Node], notes: &Notes) -> Vec<Account> {
    let mut accounts = Vec::with_capacity(nodes.len());
    let mut names = HashSet::new();
    for node in nodes {
        let fields = Fields::open(node, &ACCOUNT, notes);
        let Some(account) = fields.and_then(|fields| account(&fields)) else {
            continue;
        };
        if !names.insert(account.user.clone()) {
            let what = format!("the user {} is given twice", quoted(&account.user));
            notes.blame(node.error(what));
        }
        accounts.push(account);
    }
    accounts
}

/// The level of all users of an outbound, or of all clients of an inbound.
#[derive(Default)]
pub(super) struct Levels(Option<Level>);

impl Levels {
    /// Adds one that is named under `level`. We keep one set of times for
    /// all, so the values of another level must be the same.
    pub(super) fn add(&mut self, fields: &Fields<'_>, policy: &Policy) {
        let Some(number) = fields.read_or("level", 0, Node::uint32) else {
            return;
        };
        let level = policy.level(number);
        let differs = self.0.replace(level).is_some_and(|before| before != level);
        if differs && policy.is_sound() {
            let node = fields.get("level").unwrap_or(fields.node());
            fields.notes().blame(node.error(DIFFERENT).help(THE_SAME));
        }
    }

    /// That level; level 0 if there was nobody.
    pub(super) fn one(&self, policy: &Policy) -> Level {
        self.0.unwrap_or_else(|| policy.level(0))
    }
}

fn user(fields: &Fields<'_>, policy: &Policy, levels: &mut Levels) -> Option<Account> {
    fields.text("email");
    levels.add(fields, policy);
    account(fields)
}

fn account(fields: &Fields<'_>) -> Option<Account> {
    let user = fields.need("user", |node| match node.string()? {
        "" => Err(node.error("an empty user name")),
        _ => credential(node),
    });
    let password = fields.need("pass", credential);
    Some(Account {
        user: user?.into(),
        password: password?.into(),
    })
}

/// The wire has one byte for its length.
fn credential(node: &Node) -> Result<&str, ConfigError> {
    let text = node.string()?;
    match text.len() <= MAX_SOCKS_CREDENTIAL {
        true => Ok(text),
        false => Err(node.error(format!("longer than {MAX_SOCKS_CREDENTIAL} bytes"))),
    }
}
