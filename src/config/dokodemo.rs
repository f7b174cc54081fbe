//! Settings of dokodemo-door inbounds.

use super::error::ConfigError;
use super::json::Node;
use super::policy::{Level, Policy};
use super::read::{Fields, Keys};
use super::value::Networks;
use crate::proxy::dokodemo::InboundOptions;

const INBOUND: Keys = Keys {
    known: &["address", "port", "network", "timeout", "userLevel"],
    unsupported: &[("followRedirect", "give \"address\" and \"port\" instead")],
};

/// Reads an inbound's settings. The networks are TCP alone unless they say
/// otherwise.
pub(super) fn inbound(
    node: &Node,
    policy: &Policy,
) -> Result<(InboundOptions, Level), ConfigError> {
    let fields = Fields::open(node, &INBOUND)?;
    let networks = fields
        .get("network")
        .map_or(Ok(Networks::default()), Node::networks)?;
    let options = InboundOptions {
        address: fields.need("address")?.address()?,
        port: fields.need("port")?.port()?,
        tcp: networks.tcp || !networks.udp,
        udp: networks.udp,
    };
    let level = policy.of_settings(&fields)?;
    fields.finish()?;
    Ok((options, level))
}
