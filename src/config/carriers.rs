//! `policy.mux`: the bounds of mux carriers (sections 11 to 14). The object is
//! ours; V2Ray reads past it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use crate::limits::{
    LARGEST_WINDOW, LEAST_ROOM, LONGEST_WAIT, MAX_SESSION_ID, MAX_THREADS, PARKED_PER_PROCESS,
    SESSIONS_PER_PROCESS,
};
use crate::mux::{CarrierOptions, LivenessTimes, OptionsError};
use crate::sync::Quota;

const MUX: Keys = Keys {
    known: &[
        "extensions",
        "window",
        "maxWindow",
        "parked",
        "stalledSession",
        "endQuiet",
        "probe",
        "suspect",
        "dead",
        "unread",
        "sessions",
        "allSessions",
        "dialling",
    ],
    unsupported: &[],
};

const KIB: u64 = 1024;

const LONGEST: i64 = LONGEST_WAIT.as_secs() as i64;

/// Reads the object, if there is one: sizes in KiB, times in seconds.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> CarrierOptions {
    let default = CarrierOptions::default();
    let Some(fields) = node.and_then(|node| Fields::open(node, &MUX, notes)) else {
        return default;
    };
    let windows = LEAST_ROOM as u64..=LARGEST_WINDOW;
    let room = LEAST_ROOM as u64..=PARKED_PER_PROCESS as u64;
    let extensions = fields.read("extensions", Node::boolean);
    let options = CarrierOptions {
        extensions: extensions.unwrap_or(default.extensions),
        origins: default.origins,
        window: size(&fields, "window", &windows, default.window.into()) as u32,
        max_window: size(&fields, "maxWindow", &windows, default.max_window),
        parked: size(&fields, "parked", &room, default.parked as u64) as usize,
        stalled_session: time(&fields, "stalledSession", 1, default.stalled_session),
        end_quiet: time(&fields, "endQuiet", 0, default.end_quiet),
        liveness: liveness(&fields),
        sessions: count(&fields, "sessions", MAX_SESSION_ID.into(), default.sessions),
        dialling: count(&fields, "dialling", MAX_SESSION_ID.into(), default.dialling),
        all_sessions: all_sessions(&fields),
        ..default
    };
    if fields.is_sound() {
        let checked = options.check().map_err(|e| blame(&fields, &options, e));
        notes.keep(checked);
        note_what_is_idle(&fields, &options);
    }
    options
}

/// `probe` 0 leaves all of it to the transport.
fn liveness(fields: &Fields<'_>) -> Option<LivenessTimes> {
    let default = LivenessTimes::default();
    let times = LivenessTimes {
        probe: time(fields, "probe", 0, default.probe),
        suspect: time(fields, "suspect", 1, default.suspect),
        dead: time(fields, "dead", 1, default.dead),
        unread: time(fields, "unread", 1, default.unread),
    };
    (!times.probe.is_zero()).then_some(times)
}

fn size(fields: &Fields<'_>, key: &str, range: &RangeInclusive<u64>, default: u64) -> u64 {
    let range = (range.start() / KIB) as i64..=(range.end() / KIB) as i64;
    let size = fields.read(key, |node| node.whole(range));
    size.map_or(default, |size| size as u64 * KIB)
}

fn count(fields: &Fields<'_>, key: &str, most: usize, default: usize) -> usize {
    let count = fields.read(key, |node| node.whole(1..=most as i64));
    count.map_or(default, |count| count as usize)
}

/// All carriers of the plan share it.
fn all_sessions(fields: &Fields<'_>) -> Option<Arc<Quota>> {
    let count = count(fields, "allSessions", MAX_THREADS, SESSIONS_PER_PROCESS);
    (count != SESSIONS_PER_PROCESS).then(|| Quota::new(count))
}

fn time(fields: &Fields<'_>, key: &str, least: i64, default: Duration) -> Duration {
    let seconds = fields.read(key, |node| node.whole(least..=LONGEST));
    seconds.map_or(default, |seconds| Duration::from_secs(seconds as u64))
}

/// Every value is in its own range, so it is two of them that do not go
/// together: the error stands at the first that the text has, and names both,
/// for one may be a default.
fn blame(fields: &Fields<'_>, options: &CarrierOptions, e: OptionsError) -> ConfigError {
    let times = options.liveness.unwrap_or_default();
    let seconds = |a: Duration, b: Duration| format!("{} and {} s", a.as_secs(), b.as_secs());
    let (keys, are): (&[&str], _) = match e {
        OptionsError::Suspect => (&["suspect", "probe"], seconds(times.suspect, times.probe)),
        OptionsError::Dead => (&["dead", "suspect"], seconds(times.dead, times.suspect)),
        _ => {
            let (most, first) = (options.max_window / KIB, u64::from(options.window) / KIB);
            (&["maxWindow", "window"], format!("{most} and {first} KiB"))
        }
    };
    let written = keys.iter().find_map(|key| fields.get(key));
    written
        .unwrap_or(fields.node())
        .error(e.to_string())
        .help(format!("{} are {are}", keys.join(" and ")))
}

/// Keys that mean nothing beside others.
fn note_what_is_idle(fields: &Fields<'_>, options: &CarrierOptions) {
    let idle = |keys: &[&str], why: &str| {
        for node in keys.iter().filter_map(|key| fields.get(key)) {
            let notes = fields.notes();
            notes.add(&node.mark, format_args!("has no effect: {why}"));
        }
    };
    if !options.extensions {
        idle(
            &["window", "maxWindow"],
            "there is no credit without \"extensions\"",
        );
    }
    if options.liveness.is_none() {
        idle(&["suspect", "dead", "unread"], "\"probe\" is 0");
    }
}
