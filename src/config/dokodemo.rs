//! Settings of dokodemo-door inbounds.

use super::json::Node;
use super::notes::Notes;
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
    notes: &Notes,
) -> Option<(InboundOptions, Level)> {
    let fields = Fields::open(node, &INBOUND, notes)?;
    let networks = fields.either("network", "allowedNetwork");
    let networks = networks.map(|node| Networks::read(node.items(notes), notes));
    let networks = networks.unwrap_or_default();
    let address = fields.need_either("address", "rewriteAddress", Node::address);
    let port = fields.need_either("port", "rewritePort", Node::port);
    let level = policy.of_settings(&fields);
    let options = InboundOptions {
        address: address?,
        port: port?,
        tcp: networks.tcp || !networks.udp,
        udp: networks.udp,
    };
    Some((options, level))
}
