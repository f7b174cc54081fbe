//! `control`: where the control socket is. The object is ours; V2Ray reads past
//! it.

use super::error::ConfigError;
use super::json::Node;
use super::plan::ControlPlan;
use super::read::{Fields, Keys};

const CONTROL: Keys = Keys {
    known: &["socket"],
    unsupported: &[],
};

/// Reads the object, if there is one. As in `log`, "none" is nowhere.
pub(super) fn read(node: Option<&Node>) -> Result<ControlPlan, ConfigError> {
    let Some(node) = node else {
        return Ok(ControlPlan::default());
    };
    let fields = Fields::open(node, &CONTROL)?;
    let plan = match fields.text("socket")? {
        "" => ControlPlan::ByProcess,
        "none" => ControlPlan::Off,
        path => ControlPlan::At(path.into()),
    };
    fields.finish()?;
    Ok(plan)
}
