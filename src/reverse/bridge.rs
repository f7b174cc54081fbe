use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{info, warn};
use rand::RngExt;

use super::bridge_worker::BridgeWorker;
use super::{BridgeOptions, ReverseError};
use crate::error::chain;
use crate::limits::{BRIDGE_SESSIONS, BRIDGE_WORKERS, HEARTBEAT, JOIN_DEADLINE, REDIAL_BACKOFF};
use crate::link::{DispatchError, Dispatcher, Request};
use crate::net::Destination;
use crate::sync::{Crew, Done, Timer};

/// The end of a reverse tunnel that reaches the services.
///
/// Its thread `bridge-TAG` keeps carriers to the portal open: it looks every
/// [`HEARTBEAT`], and at once when a carrier ends. There is always one that is
/// active, and another when the mean of open sessions passes
/// [`BRIDGE_SESSIONS`]. A portal that cannot be reached is tried again after a
/// pause that grows, with jitter, within [`REDIAL_BACKOFF`].
///
/// What comes through the carriers goes to the dispatcher, with the bridge's
/// tag as the inbound tag. Closing the bridge, or dropping it, ends the
/// carriers and joins the thread.
pub struct Bridge {
    shared: Arc<Shared>,
    crew: Crew,
}

struct Shared {
    options: BridgeOptions,
    target: Destination,
    dispatcher: Arc<dyn Dispatcher>,
    closed: Done,
    /// Wakes the monitor: a carrier has ended, or it is time.
    nudge: Sender<()>,
}

impl Bridge {
    /// Starts a bridge that dials through `dispatcher` and takes sessions to it.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn new(
        mut options: BridgeOptions,
        dispatcher: Arc<dyn Dispatcher>,
        timer: &Timer,
    ) -> Result<Self, ReverseError> {
        ReverseError::check_names(&options.tag, &options.domain)?;
        options.carrier.check().map_err(ReverseError::Options)?;
        options.carrier.timer.get_or_insert_with(|| timer.clone());
        let target = Destination::tcp(&options.domain, 0).map_err(ReverseError::BadDomain)?;
        let (nudge, nudged) = bounded(1);
        let name = format!("bridge-{}", options.tag);
        let shared = Arc::new(Shared {
            options,
            target,
            dispatcher,
            closed: Done::new(),
            nudge,
        });
        let crew = Crew::new();
        let (inner, timer) = (shared.clone(), timer.clone());
        crew.spawn(&name, move || inner.monitor(&nudged, &timer))
            .map_err(ReverseError::Thread)?;
        Ok(Self { shared, crew })
    }

    /// Ends all carriers and waits for the threads.
    pub fn close(&self) {
        self.shared.closed.signal();
        let left = self.crew.join(JOIN_DEADLINE);
        if !left.is_empty() {
            warn!("threads that did not end: {}", left.join(", "));
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bridge({})", self.shared.options.tag)
    }
}

impl Shared {
    /// Body of `bridge-TAG`.
    fn monitor(&self, nudged: &Receiver<()>, timer: &Timer) {
        let nudge = self.nudge.clone();
        let _tick = timer.every(HEARTBEAT, move || {
            let _ = nudge.try_send(());
        });
        let mut workers = Vec::new();
        let mut backoff = Backoff::new();
        while !self.closed.is_done() {
            // One that drains is kept until its sessions have finished.
            workers.retain(|worker: &BridgeWorker| !worker.is_closed());
            let pause = match wants_another(&workers) {
                true => self.add_worker(&mut workers, &mut backoff),
                false => None,
            };
            self.rest(pause, nudged, timer);
        }
        workers.iter().for_each(BridgeWorker::close);
    }

    /// Waits for the next look; after a failed dial for `pause` instead.
    fn rest(&self, pause: Option<Duration>, nudged: &Receiver<()>, timer: &Timer) {
        match pause {
            Some(pause) => select! {
                recv(timer.clock().after(pause)) -> _ => {}
                recv(self.closed.event()) -> _ => {}
            },
            None => select! {
                recv(nudged) -> _ => {}
                recv(self.closed.event()) -> _ => {}
            },
        }
    }

    /// Returns how long to pause if it failed.
    fn add_worker(
        &self,
        workers: &mut Vec<BridgeWorker>,
        backoff: &mut Backoff,
    ) -> Option<Duration> {
        match self.open_worker() {
            Ok(worker) => {
                info!("bridge {}: carrier to the portal is up", self.options.tag);
                workers.push(worker);
                backoff.reset();
                None
            }
            Err(e) => {
                let pause = backoff.next();
                let (tag, why) = (&self.options.tag, chain(&e));
                warn!("bridge {tag}: no carrier to the portal: {why}; next try in {pause:.1?}");
                Some(pause)
            }
        }
    }

    fn open_worker(&self) -> Result<BridgeWorker, DispatchError> {
        let request = Request {
            inbound: self.options.tag.as_str().into(),
            ..Request::new(self.target.clone())
        };
        let link = self.dispatcher.connect(&request)?;
        let nudge = self.nudge.clone();
        let (dispatcher, carrier) = (self.dispatcher.clone(), &self.options.carrier);
        BridgeWorker::start(link, dispatcher, request, carrier, move || {
            let _ = nudge.try_send(());
        })
    }
}

/// Whether one more carrier is needed (section 9).
fn wants_another(workers: &[BridgeWorker]) -> bool {
    let active: Vec<&BridgeWorker> = workers.iter().filter(|w| w.is_active()).collect();
    let open: usize = active.iter().map(|w| w.active_connections()).sum();
    match active.len() {
        0 => true,
        count => open / count > BRIDGE_SESSIONS && count < BRIDGE_WORKERS,
    }
}

/// Pauses between dials that fail.
struct Backoff {
    next: Duration,
}

impl Backoff {
    fn new() -> Self {
        Self {
            next: REDIAL_BACKOFF.0,
        }
    }

    fn reset(&mut self) {
        *self = Self::new();
    }

    /// Half of the pause is fixed and half is chance, so that many bridges do
    /// not come back at one moment.
    fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(REDIAL_BACKOFF.1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_again() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= REDIAL_BACKOFF.0);
        assert!(pauses[11] >= REDIAL_BACKOFF.1 / 2 && pauses[11] <= REDIAL_BACKOFF.1);
        backoff.reset();
        assert!(backoff.next() <= REDIAL_BACKOFF.0);
    }
}
