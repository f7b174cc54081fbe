//! Workers on a clock that stands still until the test lets time pass.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use muxcool::mux::{CarrierOptions, ClientOptions};
use muxcool::sync::{ManualClock, Next, Timer};

use super::tasks::PATIENCE;

/// A clock and a timer that goes by it.
pub struct Time {
    pub clock: Arc<ManualClock>,
    pub timer: Timer,
}

impl Time {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        Self { clock, timer }
    }

    /// Settings of a carrier that goes by this clock.
    pub fn options(&self) -> CarrierOptions {
        CarrierOptions {
            timer: Some(self.timer.clone()),
            ..CarrierOptions::default()
        }
    }

    /// The same of a client; it stays when it is idle.
    pub fn client_options(&self) -> ClientOptions {
        ClientOptions {
            keep_idle: true,
            carrier: self.options(),
            ..ClientOptions::default()
        }
    }

    /// Lets time pass, and waits until all that became due has run.
    pub fn pass(&self, step: Duration) {
        self.clock.advance(step);
        self.settle();
    }

    /// Waits until all that is due has run: the timer takes it in order.
    pub fn settle(&self) {
        let (tell, told) = bounded(1);
        let _last = self.timer.schedule(Duration::ZERO, move || {
            let _ = tell.try_send(());
            Next::Stop
        });
        told.recv_timeout(PATIENCE).expect("the timer runs");
    }
}
