use std::cmp::Reverse;
use std::sync::Arc;

use log::{debug, info};
use parking_lot::Mutex;

use super::control::Control;
use crate::limits::{CONTROL_DOMAINS, DRAIN_AFTER, HEARTBEAT};
use crate::link::{Link, LinkError};
use crate::mux::{CarrierOptions, ClientOptions, ClientWorker, ControlSession, MuxError};
use crate::net::Destination;
use crate::sync::{Periodic, Timer};

/// A carrier that a bridge has opened, as its portal sees it.
///
/// A heartbeat, sent at once and every [`HEARTBEAT`], tells the bridge whether
/// the carrier is active or draining. It never waits: one that finds the
/// control lane full is skipped.
#[derive(Debug)]
pub struct PortalWorker {
    client: Arc<ClientWorker>,
    beat: Arc<Mutex<Heartbeat>>,
    /// Its bridge wants others to be preferred.
    standby: bool,
    _timer: Periodic,
}

impl PortalWorker {
    /// Starts a worker on a bridge's link. The control session is opened under
    /// `control_domain`; heartbeats and probes go by `timer`.
    ///
    /// # Errors
    /// [`MuxError::Thread`].
    pub fn new(link: Link, control_domain: &str, timer: &Timer) -> Result<Arc<Self>, MuxError> {
        let carrier = CarrierOptions {
            timer: Some(timer.clone()),
            ..CarrierOptions::default()
        };
        Self::with_options(link, control_domain, carrier, timer)
    }

    /// As [`new`](Self::new), with settings of the carrier, whose probes go by
    /// its own timer.
    ///
    /// # Errors
    /// [`MuxError::Options`], [`MuxError::Thread`].
    pub fn with_options(
        link: Link,
        control_domain: &str,
        carrier: CarrierOptions,
        timer: &Timer,
    ) -> Result<Arc<Self>, MuxError> {
        Self::start(link, control_domain, carrier, timer, false)
    }

    pub(super) fn start(
        link: Link,
        control_domain: &str,
        carrier: CarrierOptions,
        timer: &Timer,
        standby: bool,
    ) -> Result<Arc<Self>, MuxError> {
        let options = ClientOptions {
            keep_idle: true,
            carrier,
            ..ClientOptions::default()
        };
        let client = Arc::new(ClientWorker::new(link, options)?);
        let beat = Heartbeat::new(client.clone(), control_domain);
        let beat = Arc::new(Mutex::new(beat));
        beat.lock().beat();
        let inner = beat.clone();
        let timer = timer.every(HEARTBEAT, move || inner.lock().beat());
        Ok(Arc::new(Self {
            client,
            beat,
            standby,
            _timer: timer,
        }))
    }

    /// The mux client on the carrier.
    pub fn client(&self) -> &Arc<ClientWorker> {
        &self.client
    }

    /// Sessions open now, the control session among them.
    pub fn active_connections(&self) -> u32 {
        self.client.active_connections()
    }

    /// Whether the bridge was told that the carrier drains.
    pub fn is_draining(&self) -> bool {
        self.client.is_draining()
    }

    /// Tells the bridge to open another carrier, for the portal is about to
    /// end. This one goes on taking sessions.
    pub fn drain(&self) {
        self.beat.lock().leave();
    }

    /// How much others are to be preferred: first those that are not in
    /// doubt, then those whose bridges do not leave, that answer in time, that
    /// are not on standby, do not drain, whose bridges have said by a word what
    /// they are, that have fewer sessions; and among equals whoever was heard
    /// last, for it is the least likely to have gone without a word.
    pub(super) fn reluctance(&self) -> impl Ord + use<> {
        let client = &self.client;
        (
            client.is_doubtful(),
            client.peer_drains(),
            client.is_overdue(),
            self.standby,
            client.is_draining(),
            client.is_unknown(),
            client.active_connections(),
            Reverse(client.last_heard()),
        )
    }

    /// Whether the carrier has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the carrier can take another session, draining or not.
    pub fn takes_sessions(&self) -> bool {
        !self.is_closed() && !self.client.is_used_up()
    }

    /// Ends the carrier and waits for its threads.
    pub fn close(&self) {
        self.client.close();
    }
}

/// What the timer does with a carrier.
#[derive(Debug)]
struct Heartbeat {
    client: Arc<ClientWorker>,
    /// The portal is about to end.
    leaving: bool,
    /// Absent once draining, or when the bridge knows none of the names.
    control: Option<ControlSession>,
    /// Names to try if the bridge ends the control session at once (A39).
    names: Vec<String>,
}

impl Heartbeat {
    fn new(client: Arc<ClientWorker>, control_domain: &str) -> Self {
        let others = CONTROL_DOMAINS
            .iter()
            .filter(|name| **name != control_domain);
        let mut names: Vec<String> = others.rev().map(|name| (*name).to_owned()).collect();
        names.push(control_domain.to_owned());
        let mut heartbeat = Self {
            client,
            leaving: false,
            control: None,
            names,
        };
        heartbeat.open_control();
        heartbeat
    }

    /// Opens the control session under the next name that has not been tried.
    fn open_control(&mut self) {
        self.control = self.names.pop().and_then(|name| {
            let target = Destination::udp(&name, 0).ok()?;
            self.client.open_control(target).ok()
        });
    }

    fn beat(&mut self) {
        if self.client.is_closed() {
            return;
        }
        if self.control.as_ref().is_some_and(ControlSession::is_over) {
            debug!("bridge ended the control session; trying the next name");
            self.open_control();
        }
        match self.is_due_to_drain() {
            true => self.drain(),
            false => {
                self.send(&Control::active(&mut rand::rng()));
            }
        }
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.beat();
        }
    }

    fn is_due_to_drain(&self) -> bool {
        let is_used = self.client.total_connections() > DRAIN_AFTER;
        (is_used || self.leaving) && !self.client.is_draining()
    }

    /// A bridge that was not told would go on counting on the carrier, so a
    /// message that finds no room is sent by a later heartbeat.
    fn drain(&mut self) {
        if !self.send(&Control::drain(&mut rand::rng())) {
            return;
        }
        match self.leaving {
            true => info!("carrier drains with the portal"),
            false => info!("carrier drains after {DRAIN_AFTER} sessions"),
        }
        self.client.drain();
        self.control = None; // ends the session behind the message
    }

    /// Returns whether it was sent, or nobody is there to send it to.
    fn send(&mut self, message: &Control) -> bool {
        let Some(control) = &mut self.control else {
            return true;
        };
        let sent = control.try_send(&message.encode());
        match &sent {
            Ok(()) => {}
            Err(LinkError::WouldBlock) => debug!("heartbeat skipped: the carrier is congested"),
            Err(e) => debug!("heartbeat not sent: {e}"),
        }
        sent.is_ok()
    }
}
