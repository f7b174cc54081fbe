//! Time that passes when a test says so.

use std::sync::Arc;
use std::time::Duration;

use muxcool::link::Link;
use muxcool::mux::CarrierOptions;
use muxcool::reverse::PortalWorker;
use muxcool::sync::{ManualClock, Timer};

use super::plain;
use crate::mux_support::tasks::wait_until_quiet;

/// A clock that stands still, and a timer that goes by it.
pub struct Time {
    pub timer: Timer,
    clock: Arc<ManualClock>,
}

impl Time {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        Self { timer, clock }
    }

    /// A portal's worker whose heartbeats and idle check go by this clock.
    pub fn portal_worker(&self, link: Link, control_domain: &str) -> Arc<PortalWorker> {
        self.portal_worker_with(link, control_domain, plain())
    }

    /// The same with other settings of the carrier.
    pub fn portal_worker_with(
        &self,
        link: Link,
        control_domain: &str,
        options: CarrierOptions,
    ) -> Arc<PortalWorker> {
        let carrier = CarrierOptions {
            timer: Some(self.timer.clone()),
            ..options
        };
        PortalWorker::with_options(link, control_domain, carrier, &self.timer).unwrap()
    }

    /// Lets time pass at once. Before and after it every thread waits for
    /// something: nobody misses the moment, and what it set off has happened.
    pub fn pass(&self, span: Duration) {
        wait_until_quiet();
        self.clock.advance(span);
        wait_until_quiet();
    }
}
