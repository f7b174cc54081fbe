//! Settings of dokodemo-door inbounds.

use super::error::ConfigError;
use super::json::Node;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::value::Networks;
use crate::proxy::dokodemo::InboundOptions;

const INBOUND: Keys = Keys {
    known: &[
        "address",
        "rewriteAddress",
        "port",
        "rewritePort",
        "network",
        "allowedNetwork",
        "timeout",
        "userLevel",
    ],
    unsupported: &[
        ("followRedirect", "give \"address\" and \"port\" instead"),
        ("portMap", "use an inbound for each target"),
    ],
};

/// Reads an inbound's settings, with the names of V2Ray or those that Xray has
/// for its protocol "tunnel". The networks are TCP alone unless they say
/// otherwise.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let networks = fields
        .either("network", "allowedNetwork")?
        .map_or(Ok(Networks::default()), Node::networks)?;
    let options = InboundOptions {
        address: fields.need_either("address", "rewriteAddress")?.address()?,
        port: fields.need_either("port", "rewritePort")?.port()?,
        tcp: networks.tcp || !networks.udp,
        udp: networks.udp,
    };
    let level = policy.of_settings(&fields)?;
    fields.finish()?;
    Ok((options, level))
}
