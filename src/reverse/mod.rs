//! Reverse tunnels: portal and bridge (section 9).

mod announcement;
mod bridge;
mod bridge_worker;
mod control;
mod control_proto;
mod error;
mod options;
mod picker;
mod portal;
mod portal_worker;
mod redial;
mod services;

pub use announcement::Announcement;
pub use bridge::Bridge;
pub use control::{Control, ControlError, State};
pub use error::ReverseError;
pub use options::{BridgeOptions, PortalOptions};
pub use picker::StaticMuxPicker;
pub use portal::Portal;
pub use portal_worker::PortalWorker;

use log::warn;

use crate::limits::{CLOSE_GRACE, CONTROL_DOMAINS, JOIN_DEADLINE};
use crate::sync::Crew;

/// Whether a bridge would take `name` for its portal's control session. Case
/// and a trailing dot make no difference to other resolvers either.
fn is_control_domain(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let matches = |control: &&str| name.eq_ignore_ascii_case(control);
    CONTROL_DOMAINS.iter().any(matches)
}

/// Closes all carriers at once, for each may take [`CLOSE_GRACE`], and waits
/// for them. One for which there is no thread is dropped, which ends it too.
fn close_all<C: Send + 'static>(carriers: impl IntoIterator<Item = C>, close: fn(&C)) {
    let crew = Crew::new();
    for carrier in carriers {
        let closing = crew.spawn("mux-close", move || close(&carrier));
        if let Err(e) = closing {
            warn!("a carrier's threads are not waited for: {e}");
        }
    }
    crew.join(CLOSE_GRACE + JOIN_DEADLINE);
}
