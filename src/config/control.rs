//! `control`: where the control socket is. The object is ours; V2Ray reads past
//! it.

use super::json::Node;
use super::notes::Notes;
use super::plan::ControlPlan;
use super::read::{Fields, Keys};

const CONTROL: Keys = Keys {
    known: &["socket"],
    unsupported: &[],
};

/// Reads the object, if there is one. As in `log`, "none" is nowhere.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> ControlPlan {
    let fields = node.and_then(|node| Fields::open(node, &CONTROL, notes));
    match fields.map_or("", |fields| fields.text("socket")) {
        "" => ControlPlan::ByProcess,
        "none" => ControlPlan::Off,
        path => ControlPlan::At(path.into()),
    }
}
