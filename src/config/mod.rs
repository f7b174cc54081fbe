//! V2Ray 4.34's JSON configuration, read and checked into a [`Plan`].
//!
//! What V2Ray accepts and means something by, within what this program can
//! do, is accepted with the same meaning. What V2Ray silently ignores or
//! misreads is an error here: unknown and repeated keys, names that lead
//! nowhere, impossible ports, text after the end. So is what V2Ray can do and
//! we cannot. A [`ConfigError`] says in one line where, what, and what would
//! be right:
//!
//! ```
//! let text = r#"{ "outbounds": [{ "protocol": "fredom" }] }"#;
//! let error = muxcool::config::parse("config.json", text).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "config.json:1:31: outbounds[0].protocol: \
//!      unknown protocol \"fredom\"; did you mean \"freedom\"?"
//! );
//! ```
//!
//! Nothing is opened, bound or resolved here; the only thing that is looked
//! at beside the text is an environment variable that a port names.

mod balancers;
mod carriers;
mod clients;
mod conditions;
mod control;
mod diagnosis;
mod direct;
mod dokodemo;
mod error;
mod exposure;
mod file;
mod http;
mod id;
mod inbound;
mod json;
mod listeners;
mod logging;
mod merge;
mod metrics;
mod notes;
mod outbound;
mod plan;
mod policy;
mod ports;
mod protocol;
mod read;
mod reverse;
mod root;
mod routing;
mod servers;
mod shadows;
mod sniffing;
mod socks;
mod stream;
mod tags;
mod targets;
mod text;
mod tls;
mod value;
mod vless;
mod vmess;
mod warnings;
mod words;
mod ws;

use std::path::{Path, PathBuf};

pub use diagnosis::{Diagnosis, examine, examine_all};
pub use error::{ConfigError, Place};
pub use notes::Warning;
pub use plan::{
    ControlPlan, InboundOptions, InboundPlan, LogPlan, LogTarget, MetricsPlan, MuxPlan,
    OutboundOptions, OutboundPlan, Plan,
};

/// Reads and checks the configuration in a file; `stdin:` is standard input.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn load(path: &Path) -> Result<Plan, ConfigError> {
    load_all(&[path.to_owned()])
}

/// Reads several files as one configuration. As in V2Ray, each key of a later
/// file replaces that of an earlier one, except that a lone inbound or
/// outbound replaces the one of its tag or joins the others.
///
/// # Errors
/// The first thing that is wrong, with its place. No file at all is as good
/// as one that says `{}`.
pub fn load_all(paths: &[PathBuf]) -> Result<Plan, ConfigError> {
    first(examine_all(paths))
}

/// Checks the configuration `text`; messages call it `name`.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(name: &str, text: &str) -> Result<Plan, ConfigError> {
    first(examine(name, text))
}

fn first(diagnosis: Diagnosis) -> Result<Plan, ConfigError> {
    diagnosis.into_plan().map_err(|mut all| all.swap_remove(0))
}
