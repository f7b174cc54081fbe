//! Settings of HTTP inbounds.

use super::error::ConfigError;
use super::json::Node;
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
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let options = InboundOptions {
        accounts: accounts(fields.list_either("accounts", "users")?)?,
        allow_transparent: fields.flag("allowTransparent")?,
    };
    let level = policy.of_settings(&fields)?;
    fields.finish()?;
    Ok((options, level))
}
