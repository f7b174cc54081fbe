//! Tells a program that runs to read its configuration again.

use serde_json::json;

use super::args::TargetArgs;
use super::failure::Failure;
use crate::app::control::{AskError, ask};
use crate::limits::RELOAD_PATIENCE;

/// Asks, and returns what the program says has changed.
pub(super) fn ask_to_reload(target: &TargetArgs) -> Result<String, Failure> {
    let socket = target.find()?;
    match ask(&socket, &json!({ "command": "reload" }), RELOAD_PATIENCE) {
        Ok(changes) => Ok(changes.as_str().unwrap_or_default().to_owned()),
        Err(AskError::Refused(why)) => Err(Failure::NotReloaded(why)),
        Err(e) => Err(Failure::Ask(socket, e)),
    }
}
