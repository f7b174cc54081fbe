//! Threads and their signals: [`Done`], named threads with owners, the clock,
//! the timer thread; bounds on how much there is at once, or is said.

mod bell;
mod clock;
mod complaints;
mod deadline;
mod done;
mod lately;
mod nudge;
mod quota;
pub(crate) mod shim;
mod thread;
mod timer;

pub(crate) use bell::Bell;
pub use clock::{Clock, ManualClock};
pub use complaints::{Complaints, Unsaid};
pub(crate) use deadline::{deadline_after, deadline_in};
pub use done::Done;
pub use lately::Lately;
pub use nudge::Nudge;
pub use quota::{Quota, Share};
#[cfg(feature = "schedules")]
pub use shim::{Time, explore};
pub use thread::{Crew, Panicked, Spawned, panics, report_panics, spawn};
pub use timer::{Next, Periodic, Timer};
