//! `log`.

use log::LevelFilter;

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::plan::{LogPlan, LogTarget};
use super::read::{Fields, Keys};

const LOG: Keys = Keys {
    known: &["access", "error", "loglevel"],
    unsupported: &[("dnsLog", ""), ("maskAddress", "")],
};

const LEVELS: [(&str, LevelFilter); 5] = [
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warning", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    ("none", LevelFilter::Off),
];

/// Reads `log`. Without it there are no access lines; with it there are,
/// unless it says otherwise, as in V2Ray. The level "none" silences both.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> LogPlan {
    let Some(fields) = node.and_then(|node| Fields::open(node, &LOG, notes)) else {
        return LogPlan::default();
    };
    let level = fields.read("loglevel", level).unwrap_or(LevelFilter::Warn);
    let (access, error) = (target(fields.text("access")), target(fields.text("error")));
    match level {
        LevelFilter::Off => LogPlan {
            access: LogTarget::Off,
            error: LogTarget::Off,
            level,
        },
        _ => LogPlan {
            access,
            error,
            level,
        },
    }
}

fn level(node: &Node) -> Result<LevelFilter, ConfigError> {
    match node.is_empty() {
        true => Ok(LevelFilter::Warn),
        false => node.choice("log level", &LEVELS),
    }
}

fn target(text: &str) -> LogTarget {
    match text {
        "" => LogTarget::Console,
        "none" => LogTarget::Off,
        path => LogTarget::File(path.into()),
    }
}
