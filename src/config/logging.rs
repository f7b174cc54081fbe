//! `log`.

use log::LevelFilter;

use super::error::ConfigError;
use super::json::Node;
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
pub(super) fn read(node: Option<&Node>) -> Result<LogPlan, ConfigError> {
    let Some(node) = node else {
        return Ok(LogPlan::default());
    };
    let fields = Fields::open(node, &LOG)?;
    let level = match fields.get("loglevel").filter(|level| !level.is_empty()) {
        Some(level) => level.choice("log level", &LEVELS)?,
        None => LevelFilter::Warn,
    };
    let (access, error) = (
        target(fields.text("access")?),
        target(fields.text("error")?),
    );
    fields.finish()?;
    Ok(match level {
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
    })
}

fn target(text: &str) -> LogTarget {
    match text {
        "" => LogTarget::Console,
        "none" => LogTarget::Off,
        path => LogTarget::File(path.into()),
    }
}
