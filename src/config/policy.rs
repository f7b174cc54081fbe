//! `policy`: the times of each level (section 4), and the bounds of carriers.

use std::collections::HashMap;
use std::time::Duration;

use super::carriers;
use super::error::ConfigError;
use super::json::{Member, Node, Value};
use super::listeners;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::words::quoted;
use crate::limits::{CONN_IDLE, DRAIN, HALF_OPEN_IDLE, HANDSHAKE, LONGEST_WAIT};
use crate::mux::CarrierOptions;
use crate::transport::tcp::{IdleTimes, ServerLimits};

const POLICY: Keys = Keys {
    known: &["levels", "system", "mux", "inbounds", "drain"],
    unsupported: &[],
};

const SYSTEM: Keys = Keys {
    known: &SYSTEM_STATISTICS,
    unsupported: &[],
};

const SYSTEM_STATISTICS: [&str; 4] = [
    "statsInboundUplink",
    "statsInboundDownlink",
    "statsOutboundUplink",
    "statsOutboundDownlink",
];

const USER_STATISTICS: [&str; 3] = ["statsUserUplink", "statsUserDownlink", "statsUserOnline"];

const LEVEL: Keys = Keys {
    known: &[
        "handshake",
        "connIdle",
        "uplinkOnly",
        "downlinkOnly",
        "bufferSize",
        USER_STATISTICS[0],
        USER_STATISTICS[1],
        USER_STATISTICS[2],
    ],
    unsupported: &[],
};

const NO_BUFFERS: &str = "has no effect: the buffers of muxcool are of fixed size";

/// In V2Ray they show in its API alone, which is refused.
const NO_STATISTICS: &str = "has no effect: no statistics are kept";

/// V2Ray's `connIdle` for level 1 where there is no `policy` at all.
const LEVEL_1_IDLE: Duration = Duration::from_secs(600);

/// What a user's level decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) handshake: Duration,
    pub(super) conn_idle: Duration,
    pub(super) uplink_only: Duration,
    pub(super) downlink_only: Duration,
}

/// What differs from the defaults.
pub(super) struct Policy {
    levels: HashMap<u32, Level>,
    mux: CarrierOptions,
    inbounds: ServerLimits,
    drain: Duration,
    is_sound: bool,
}

impl Policy {
    /// Reads `policy`, if there is one. Of what is wrong the default is taken.
    pub(super) fn read(node: Option<&Node>, notes: &Notes) -> Self {
        let Some(fields) = node.and_then(|node| Fields::open(node, &POLICY, notes)) else {
            return Self::absent();
        };
        let system = fields.get("system");
        if let Some(system) = system.and_then(|node| Fields::open(node, &SYSTEM, notes)) {
            statistics(&system, &SYSTEM_STATISTICS);
        }
        Self {
            levels: read_levels(&fields),
            mux: carriers::read(fields.get("mux"), notes),
            inbounds: listeners::read(fields.get("inbounds"), notes),
            drain: fields.read("drain", drain_time).unwrap_or(DRAIN),
            is_sound: fields.is_sound(),
        }
    }

    /// The bounds of mux carriers.
    pub(super) fn mux(&self) -> &CarrierOptions {
        &self.mux
    }

    /// The bounds of each listener.
    pub(super) fn inbounds(&self) -> ServerLimits {
        self.inbounds
    }

    /// How long connections may go on when the program is told to stop.
    pub(super) fn drain(&self) -> Duration {
        self.drain
    }

    /// Whether levels have the values that are meant.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// The values of a level; the default for one that is not listed.
    pub(super) fn level(&self, number: u32) -> Level {
        self.levels.get(&number).copied().unwrap_or_default()
    }

    /// The level that an object names under `userLevel`, with the older
    /// `timeout` of the same object, which V2Ray heeds at level 0 only.
    pub(super) fn of_settings(&self, fields: &Fields<'_>) -> Level {
        let number = fields.read("userLevel", Node::uint32).unwrap_or_default();
        let timeout = fields.read("timeout", Node::seconds).unwrap_or_default();
        let mut level = self.level(number);
        if number == 0 && !timeout.is_zero() {
            level.conn_idle = timeout;
        }
        level
    }

    fn absent() -> Self {
        let level_1 = Level {
            conn_idle: LEVEL_1_IDLE,
            ..Level::default()
        };
        Self {
            levels: HashMap::from([(1, level_1)]),
            mux: CarrierOptions::default(),
            inbounds: ServerLimits::default(),
            drain: DRAIN,
            is_sound: true,
        }
    }
}

impl Level {
    /// The times of an inbound's connections: what we read there is uplink.
    pub(super) fn inbound_idle(&self) -> IdleTimes {
        IdleTimes {
            both: self.conn_idle,
            after_read: self.downlink_only,
            after_write: self.uplink_only,
        }
    }

    /// The times of an outbound's connections: what we read there is downlink.
    pub(super) fn outbound_idle(&self) -> IdleTimes {
        IdleTimes {
            both: self.conn_idle,
            after_read: self.uplink_only,
            after_write: self.downlink_only,
        }
    }

    fn read(node: &Node, notes: &Notes) -> Option<Self> {
        let fields = Fields::open(node, &LEVEL, notes)?;
        let default = Self::default();
        let some = |key| fields.read(key, Node::some_seconds);
        let any = |key| fields.read(key, Node::seconds);
        let conn_idle = some("connIdle").unwrap_or(default.conn_idle);
        let level = Self {
            handshake: some("handshake").unwrap_or(default.handshake),
            conn_idle,
            uplink_only: any("uplinkOnly").unwrap_or(default.uplink_only),
            downlink_only: any("downlinkOnly").unwrap_or(conn_idle),
        };
        fields.read("bufferSize", |size| {
            size.whole(i64::from(i32::MIN)..=i64::from(i32::MAX))?;
            notes.add(&size.mark, NO_BUFFERS);
            Ok(())
        });
        statistics(&fields, &USER_STATISTICS);
        Some(level)
    }
}

/// V2Ray gives a target 1 s for its answer once the visitor has ended its own
/// direction, for it cannot tell the target of that. We can, so an answer has
/// as long as it wants.
impl Default for Level {
    fn default() -> Self {
        Self {
            handshake: HANDSHAKE,
            conn_idle: CONN_IDLE,
            uplink_only: HALF_OPEN_IDLE,
            downlink_only: CONN_IDLE,
        }
    }
}

fn statistics(fields: &Fields<'_>, keys: &[&str]) {
    for key in keys {
        if fields.flag(key)
            && let Some(node) = fields.get(key)
        {
            fields.notes().add(&node.mark, NO_STATISTICS);
        }
    }
}

fn read_levels(fields: &Fields<'_>) -> HashMap<u32, Level> {
    let members = fields.read("levels", Node::members).unwrap_or_default();
    let levels = members.iter();
    levels
        .filter_map(|member| read_level(member, fields.notes()))
        .collect()
}

/// A level with its number, unless it says nothing.
fn read_level(member: &Member, notes: &Notes) -> Option<(u32, Level)> {
    let number = notes.keep(level_number(member));
    match member.value.value {
        Value::Null => None,
        _ => number.zip(Level::read(&member.value, notes)),
    }
}

fn level_number(member: &Member) -> Result<u32, ConfigError> {
    member.key.parse().map_err(|_| {
        let what = format!("{} is no level", quoted(&member.key));
        member.mark.error(what).help("use a number such as \"0\"")
    })
}

/// In seconds, as ours alone; V2Ray reads past it.
fn drain_time(node: &Node) -> Result<Duration, ConfigError> {
    let seconds = node.whole(0..=LONGEST_WAIT.as_secs() as i64)?;
    Ok(Duration::from_secs(seconds as u64))
}
