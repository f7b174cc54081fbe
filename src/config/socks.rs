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

/// Reads an inbound's settings.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
    notes: &mut Notes,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let by_password = match fields.get("auth").filter(|auth| !auth.is_empty()) {
        Some(auth) => auth.choice("authentication", &[("noauth", false), ("password", true)])?,
        None => false,
    };
    let accounts = accounts(fields.list_either("accounts", "users")?)?;
    if let Some(list) = fields
        .either("accounts", "users")?
        .filter(|_| !by_password && !accounts.is_empty())
    {
        notes.add(
            &list.mark,
            "has no effect while \"auth\" is not \"password\"",
        );
    }
    let options = InboundOptions {
        accounts: by_password.then_some(accounts),
        udp: fields.flag("udp")?,
        ip: fields.get("ip").map(Node::ip).transpose()?,
    };
    let level = policy.of_settings(&fields)?;
    fields.finish()?;
    Ok((options, level))
}

/// Reads an outbound's settings.
pub(super) fn outbound(
    node: &Node,
    policy: &Policy,
) -> Result<(OutboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &OUTBOUND)?;
    let mut levels = Levels::default();
    let servers = servers::read(&fields, &SERVERS, |fields| {
        user(fields, policy, &mut levels)
    })?;
    fields.finish()?;
    Ok((OutboundOptions { servers }, levels.one(policy)))
}

/// Reads `accounts`; no name may come twice.
pub(super) fn accounts(nodes: &[Node]) -> Result<Vec<Account>, ConfigError> {
    let mut accounts = Vec::with_capacity(nodes.len());
    let mut names = HashSet::new();
    for node in nodes {
        let fields = Fields::open(node, &ACCOUNT)?;
        let account = account(&fields)?;
        if !names.insert(account.user.clone()) {
            let what = format!("the user {} is given twice", quoted(&account.user));
            return Err(node.error(what));
        }
        fields.finish()?;
        accounts.push(account);
    }
    Ok(accounts)
}

/// The level of all users of an outbound, or of all clients of an inbound.
#[derive(Default)]
pub(super) struct Levels(Option<Level>);

impl Levels {
    /// Adds one that is named under `level`. We keep one set of times for
    /// all, so the values of another level must be the same.
    pub(super) fn add(&mut self, fields: &Fields<'_>, policy: &Policy) -> Result<(), ConfigError> {
        let node = fields.get("level");
        let level = policy.level(node.map_or(Ok(0), Node::uint32)?);
        match self.0.replace(level) {
            Some(before) if before != level => Err(node
                .unwrap_or(fields.node())
                .error("users of different levels side by side are not supported by muxcool")
                .help("give all of them the same level")),
            _ => Ok(()),
        }
    }

    /// That level; level 0 if there was nobody.
    pub(super) fn one(&self, policy: &Policy) -> Level {
        self.0.unwrap_or_else(|| policy.level(0))
    }
}

fn user(fields: &Fields<'_>, policy: &Policy, levels: &mut Levels) -> Result<Account, ConfigError> {
    let account = account(fields)?;
    fields.text("email")?;
    levels.add(fields, policy)?;
    Ok(account)
}

/// The wire has one byte for each length, and a nameless user is a mistake.
fn account(fields: &Fields<'_>) -> Result<Account, ConfigError> {
    let user = fields.need("user")?;
    if user.string()?.is_empty() {
        return Err(user.error("an empty user name"));
    }
    let password = fields.need("pass")?;
    for node in [user, password] {
        if node.string()?.len() > MAX_SOCKS_CREDENTIAL {
            return Err(node.error(format!("longer than {MAX_SOCKS_CREDENTIAL} bytes")));
        }
    }
    Ok(Account {
        user: user.string()?.into(),
        password: password.string()?.into(),
    })
}
