//! Reverse tunnels: portal and bridge (section 9).

mod control;
mod control_proto;
mod options;

pub use control::{Control, ControlError, State};
pub use options::{BridgeOptions, PortalOptions};
