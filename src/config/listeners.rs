//! `policy.inbounds`: how much visitors can make a listener hold. The object is
//! ours; V2Ray reads past it.

use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use crate::limits::MAX_THREADS;
use crate::transport::tcp::ServerLimits;

const INBOUNDS: Keys = Keys {
    known: &[
        "connections",
        "connectionsPerSource",
        "handshakes",
        "handshakesPerSource",
    ],
    unsupported: &[],
};

/// Each connection has a thread.
const MOST: i64 = MAX_THREADS as i64;

/// Reads the object, if there is one: numbers of connections.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> ServerLimits {
    let default = ServerLimits::default();
    let Some(fields) = node.and_then(|node| Fields::open(node, &INBOUNDS, notes)) else {
        return default;
    };
    let count = |key, default| {
        let count = fields.read(key, |node| node.whole(1..=MOST));
        count.map_or(default, |count| count as usize)
    };
    ServerLimits {
        connections: count("connections", default.connections),
        connections_per_source: count("connectionsPerSource", default.connections_per_source),
        handshakes: count("handshakes", default.handshakes),
        handshakes_per_source: count("handshakesPerSource", default.handshakes_per_source),
    }
}
