//! `policy.inbounds`: how much visitors can make a listener hold. The object is
//! ours; V2Ray reads past it.

use super::error::ConfigError;
use super::json::Node;
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
pub(super) fn read(node: Option<&Node>) -> Result<ServerLimits, ConfigError> {
    let default = ServerLimits::default();
    let Some(node) = node else {
        return Ok(default);
    };
    let fields = Fields::open(node, &INBOUNDS)?;
    let count = |key, default| {
        fields.get(key).map_or(Ok(default), |node| {
            node.whole(1..=MOST).map(|count| count as usize)
        })
    };
    let limits = ServerLimits {
        connections: count("connections", default.connections)?,
        connections_per_source: count("connectionsPerSource", default.connections_per_source)?,
        handshakes: count("handshakes", default.handshakes)?,
        handshakes_per_source: count("handshakesPerSource", default.handshakes_per_source)?,
    };
    fields.finish()?;
    Ok(limits)
}
