//! Our choice: portals and bridges.

use std::time::Duration;

use super::MAX_PLAIN_DATAGRAM;

/// Interval of a portal's heartbeat and of a bridge's monitor, as in V2Ray.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// Sessions ever opened on a portal's worker before it drains, as in V2Ray.
pub const DRAIN_AFTER: u32 = 256;

/// Most random bytes in a heartbeat; at least one, for an empty message would
/// not be sent.
pub const HEARTBEAT_PADDING: usize = 64;

/// Longest Control message that we read, in bytes: what fits V2Ray's datagrams.
/// The family's own are at most 69 bytes long.
pub const MAX_CONTROL: usize = MAX_PLAIN_DATAGRAM;

/// Mean sessions of a bridge's workers beyond which it opens another.
pub const BRIDGE_SESSIONS: usize = 16;

/// Carriers in use that one bridge keeps open at the most.
pub const BRIDGE_WORKERS: usize = 16;

/// Draining carriers that one bridge keeps at the most: then it opens no other
/// until one has ended, and the portal goes on with those that there are.
pub const BRIDGE_DRAINING: usize = 256;

/// First and longest pause of a bridge between dials while its portal cannot
/// be reached or its carriers do not last.
pub const REDIAL_BACKOFF: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(10));
