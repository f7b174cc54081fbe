//! Settings of HTTP inbounds.

use super::json::Node;
use super::notes::Notes;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::socks::accounts;
use crate::proxy::http::InboundOptions;

const INBOUND: Keys = Keys {
    known: &[
        "accounts",
        "users",
        "allowTransparent",
        "timeout",
        "userLevel",
    ],
    unsupported: &[],
};

/// Reads an inbound's settings.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    let options = InboundOptions {
        accounts: accounts(fields.list_either("accounts", "users"), notes),
        allow_transparent: fields.flag("allowTransparent"),
    };
    Some((options, policy.of_settings(&fields)))
}
