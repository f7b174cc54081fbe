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
}

impl Policy {
    /// Reads `policy`, if there is one. Of what is wrong the default is taken.
    pub(super) fn read(node: Option<&Node>, notes: &mut Notes) -> Self {
        let fields = node.and_then(|node| Fields::open_noting(node, &POLICY, notes));
        let Some(fields) = fields else {
            return Self::absent();
        };
        if let Some(system) = fields.get("system")
            && let Some(fields) = Fields::open_noting(system, &SYSTEM, notes)
        {
            let read = statistics(&fields, &SYSTEM_STATISTICS, notes);
            if notes.keep(read).is_some() {
                fields.finish_noting(notes);
            }
        }
        let levels = read_levels(fields.get("levels"), notes);
        let mux = carriers::read(fields.get("mux"), notes);
        let mux = notes.keep(mux).unwrap_or_default();
        let inbounds = listeners::read(fields.get("inbounds"));
        let inbounds = notes.keep(inbounds).unwrap_or_default();
        let drain = fields.get("drain").map_or(Ok(DRAIN), drain_time);
        let drain = notes.keep(drain).unwrap_or(DRAIN);
        fields.finish_noting(notes);
        Self {
            levels,
            mux,
            inbounds,
            drain,
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

    /// The values of a level; the default for one that is not listed.
    pub(super) fn level(&self, number: u32) -> Level {
        self.levels.get(&number).copied().unwrap_or_default()
    }

    /// The level that an object names under `userLevel`, with the older
    /// `timeout` of the same object, which V2Ray heeds at level 0 only.
    pub(super) fn of_settings(&self, fields: &Fields<'_>) -> Result<Level, ConfigError> {
        let number = fields.get("userLevel").map_or(Ok(0), Node::uint32)?;
        let timeout = fields
            .get("timeout")
            .map_or(Ok(Duration::ZERO), Node::seconds)?;
        let mut level = self.level(number);
        if number == 0 && !timeout.is_zero() {
            level.conn_idle = timeout;
        }
        Ok(level)
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

    fn read(node: &Node, notes: &mut Notes) -> Result<Self, ConfigError> {
        let fields = Fields::open(node, &LEVEL)?;
        let default = Self::default();
        let conn_idle = or(
            fields.get("connIdle"),
            Node::some_seconds,
            default.conn_idle,
        )?;
        let level = Self {
            handshake: or(
                fields.get("handshake"),
                Node::some_seconds,
                default.handshake,
            )?,
            conn_idle,
            uplink_only: or(fields.get("uplinkOnly"), Node::seconds, default.uplink_only)?,
            downlink_only: or(fields.get("downlinkOnly"), Node::seconds, conn_idle)?,
        };
        if let Some(size) = fields.get("bufferSize") {
            size.whole(i64::from(i32::MIN)..=i64::from(i32::MAX))?;
            notes.add(
                &size.mark,
                "has no effect: the buffers of muxcool are of fixed size",
            );
        }
        statistics(&fields, &USER_STATISTICS, notes)?;
        fields.finish()?;
        Ok(level)
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

fn statistics(fields: &Fields<'_>, keys: &[&str], notes: &mut Notes) -> Result<(), ConfigError> {
    for key in keys {
        if fields.flag(key)?
            && let Some(node) = fields.get(key)
        {
            notes.add(&node.mark, NO_STATISTICS);
        }
    }
    Ok(())
}

fn read_levels(node: Option<&Node>, notes: &mut Notes) -> HashMap<u32, Level> {
    let members = node.map_or(Ok(&[][..]), Node::members);
    let mut levels = HashMap::new();
    for member in notes.keep(members).unwrap_or_default() {
        let level = read_level(member, notes);
        levels.extend(notes.keep(level).flatten());
    }
    levels
}

/// A level with its number, unless it says nothing.
fn read_level(member: &Member, notes: &mut Notes) -> Result<Option<(u32, Level)>, ConfigError> {
    let number = level_number(member)?;
    match member.value.value {
        Value::Null => Ok(None),
        _ => Ok(Some((number, Level::read(&member.value, notes)?))),
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

fn or(
    node: Option<&Node>,
    read: impl Fn(&Node) -> Result<Duration, ConfigError>,
    default: Duration,
) -> Result<Duration, ConfigError> {
    node.map_or(Ok(default), read)
}
