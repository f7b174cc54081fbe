//! Reverse tunnels: portal and bridge (section 9).

mod options;

pub use options::{BridgeOptions, PortalOptions};
