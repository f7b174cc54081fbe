use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use parking_lot::Mutex;

use super::bridge_worker::BridgeWorker;
use super::redial::Redial;
use super::{BridgeOptions, ReverseError, close_all};
use crate::error::chain;
use crate::limits::{
    BRIDGE_DRAINING, BRIDGE_SESSIONS, BRIDGE_WORKERS, CLOSE_GRACE, HEARTBEAT, JOIN_DEADLINE,
};
use crate::link::{DispatchError, Dispatcher, Link, Request};
use crate::mux::Left;
use crate::net::{AllowedTargets, Destination};
use crate::sync::shim::{Receiver, Sender, bounded, never, select};
use crate::sync::{Crew, Done, Timer};

/// The end of a reverse tunnel that reaches the services.
///
/// Its thread `bridge-TAG` keeps carriers to the portal open: it looks every
/// [`HEARTBEAT`], and at once when a carrier ends. There is always one that is
/// active and whose portal is heard, and another when the mean of open sessions
/// passes [`BRIDGE_SESSIONS`]. A portal that cannot be reached, or keeps no carrier,
/// is tried again after a pause that grows, with jitter, within
/// [`REDIAL_BACKOFF`](crate::limits::REDIAL_BACKOFF).
///
/// What comes through the carriers goes to the dispatcher, with the bridge's
/// tag as the inbound tag. Closing the bridge, or dropping it, ends the
/// carriers and joins the thread; a dial that goes on is not waited for.
pub struct Bridge {
    shared: Arc<Shared>,
    crew: Crew,
}

struct Shared {
    options: BridgeOptions,
    target: Destination,
    /// Where its sessions may go.
    allowed: Option<Arc<AllowedTargets>>,
    dispatcher: Arc<dyn Dispatcher>,
    carriers: Mutex<Carriers>,
    /// Carriers are wanted from now on.
    begun: Done,
    /// No more carriers are wanted.
    leaving: AtomicBool,
    /// Its thread waits for the portal, or for the portal's name.
    dialling: AtomicBool,
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
        options: BridgeOptions,
        dispatcher: Arc<dyn Dispatcher>,
        timer: &Timer,
    ) -> Result<Self, ReverseError> {
        let bridge = Self::prepare(options, dispatcher, timer)?;
        bridge.begin();
        Ok(bridge)
    }

    /// As [`new`](Self::new), but nothing is dialled until it is told to
    /// [begin](Self::begin), which cannot fail.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn prepare(
        mut options: BridgeOptions,
        dispatcher: Arc<dyn Dispatcher>,
        timer: &Timer,
    ) -> Result<Self, ReverseError> {
        ReverseError::check_names(&options.tag, &options.domain)?;
        options.carrier.check().map_err(ReverseError::Options)?;
        options.carrier.timer.get_or_insert_with(|| timer.clone());
        options.carrier.origins = true; // it has chosen its portal
        let target = Destination::tcp(&options.asked(), 0).map_err(ReverseError::BadDomain)?;
        let (nudge, nudged) = bounded(1);
        let name = format!("bridge-{}", options.tag);
        let shared = Arc::new(Shared {
            allowed: options.allow_targets.take().map(Arc::new),
            options,
            target,
            dispatcher,
            carriers: Mutex::default(),
            begun: Done::new(),
            leaving: AtomicBool::new(false),
            dialling: AtomicBool::new(false),
            closed: Done::new(),
            nudge,
        });
        let crew = Crew::new();
        let (inner, timer) = (shared.clone(), timer.clone());
        crew.spawn(&name, move || inner.monitor(&nudged, &timer))
            .map_err(ReverseError::Thread)?;
        Ok(Self { shared, crew })
    }

    /// Opens carriers.
    pub fn begin(&self) {
        self.shared.begun.signal();
    }

    /// Whether there is a carrier that the portal has taken, and is heard on.
    pub fn is_up(&self) -> bool {
        self.shared.carriers.lock().are_up()
    }

    /// Opens no more carriers, asks the portal for no more sessions on those
    /// that there are, and says what is left. To be called until that is
    /// nothing: a portal that is not muxcool does not understand it, and its
    /// carriers are ended when a call finds them unused since the one before.
    pub fn drain(&self) -> Left {
        self.shared.leaving.store(true, Ordering::SeqCst);
        let carriers = self.shared.carriers.lock().all();
        carriers.iter().map(|worker| worker.drain()).sum()
    }

    /// Ends all carriers and waits for the threads. A dial may take as long as
    /// the system looks for a name, which nothing can stop: it ends by itself.
    pub fn close(&self) {
        let is_first = self.shared.closed.signal();
        self.shared.begun.signal();
        let is_dialling = self.shared.dialling.load(Ordering::SeqCst);
        if is_dialling {
            self.shared.close_carriers();
        }
        let left = self.crew.join(match (is_dialling, is_first) {
            (false, _) => JOIN_DEADLINE,
            (true, true) => CLOSE_GRACE,
            (true, false) => Duration::ZERO,
        });
        if !left.is_empty() && !is_dialling {
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
        self.begun.wait();
        let nudge = self.nudge.clone();
        let _tick = timer.every(HEARTBEAT, move || {
            let _ = nudge.try_send(());
        });
        let mut redial = Redial::new(timer.clock().clone());
        while !self.closed.is_done() {
            let ended = self.carriers.lock().sort_out(&mut redial);
            for carrier in ended {
                self.note_end(&carrier);
            }
            match self.wants_another() {
                true if redial.wait().is_zero() => self.dial(&mut redial),
                true => self.rest(&timer.clock().after(redial.wait()), nudged),
                false => self.rest(&never(), nudged),
            }
        }
        self.close_carriers();
    }

    fn close_carriers(&self) {
        let carriers = self.carriers.lock().all();
        close_all(carriers, |worker| worker.close());
    }

    /// A portal that takes a carrier speaks at once; one that does not know
    /// the bridge ends it without a word, as a server of VLESS should.
    fn note_end(&self, carrier: &Carrier) {
        let tag = &self.options.tag;
        match carrier.worker.was_taken() {
            _ if self.leaving.load(Ordering::SeqCst) => {}
            true if carrier.worker.is_draining() => {
                info!("bridge {tag}: carrier to the portal has ended, as it said");
            }
            true => warn!("bridge {tag}: carrier to the portal has ended"),
            false => warn!("bridge {tag}: carrier to the portal has ended unused: {UNUSED}"),
        }
    }

    fn wants_another(&self) -> bool {
        !self.leaving.load(Ordering::SeqCst) && self.carriers.lock().want_another()
    }

    /// Waits until there is something to do.
    fn rest(&self, alarm: &Receiver<Instant>, nudged: &Receiver<()>) {
        select! {
            recv(alarm) -> _ => {}
            recv(nudged) -> _ => {}
            recv(self.closed.event()) -> _ => {}
        }
    }

    fn dial(&self, redial: &mut Redial) {
        let are_of_use = self.carriers.lock().are_of_use();
        match are_of_use {
            false => redial.dialled(),
            true => redial.dialled_another(),
        }
        let tag = &self.options.tag;
        debug!("bridge {tag}: dials the portal");
        match self.open_worker() {
            Ok(worker) => {
                let carrier = Carrier {
                    since: redial.now(),
                    worker: Arc::new(worker),
                };
                self.carriers.lock().active.push(carrier);
            }
            Err(_) if self.leaving.load(Ordering::SeqCst) || self.closed.is_done() => {}
            Err(e) => {
                let (why, help) = (chain(&e), help(&e));
                let next = match redial.wait() {
                    Duration::ZERO => "next try at once".to_owned(),
                    wait => format!("next try in {wait:.1?}"),
                };
                warn!("bridge {tag}: no carrier to the portal: {why}{help}; {next}");
            }
        }
    }

    fn open_worker(&self) -> Result<BridgeWorker, DispatchError> {
        let request = Request {
            inbound: self.options.tag.as_str().into(),
            ..Request::new(self.target.clone())
        };
        let link = self.connect(&request)?;
        if self.closed.is_done() || self.leaving.load(Ordering::SeqCst) {
            return Err(CLOSED);
        }
        let origin = Request {
            allowed: self.allowed.clone(),
            ..request
        };
        let nudge = self.nudge.clone();
        let (dispatcher, carrier) = (self.dispatcher.clone(), &self.options.carrier);
        BridgeWorker::start(link, dispatcher, origin, carrier, move || {
            let _ = nudge.try_send(());
        })
    }
}

impl Shared {
    /// Either this sees that the bridge is closed, or who closes it that there
    /// is a dial.
    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.dialling.store(true, Ordering::SeqCst);
        let outcome = match self.closed.is_done() {
            true => Err(CLOSED),
            false => self.dispatcher.connect(request),
        };
        self.dialling.store(false, Ordering::SeqCst);
        outcome
    }
}

/// What to look at when a portal cannot be reached.
fn help(e: &DispatchError) -> &'static str {
    let DispatchError::Unreachable(e) = e else {
        return "";
    };
    match e.kind() {
        ErrorKind::ConnectionRefused => ": is the portal running, and on this port?",
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            ": is this its address, and does no firewall stand between?"
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            ": is it a portal, and is there TLS at both ends or at none?"
        }
        _ => "",
    }
}

const CLOSED: DispatchError = DispatchError::Refused("the bridge is closed");

/// Why a portal may not have taken a carrier.
const UNUSED: &str = "does the portal know the bridge's id and domain, is it a portal, and is \
                      there TLS at both ends or at none?";

/// The carriers of one bridge.
#[derive(Default)]
struct Carriers {
    active: Vec<Carrier>,
    /// Kept until the portal ends them, once their sessions have finished.
    draining: Vec<Carrier>,
}

#[derive(Clone)]
struct Carrier {
    /// When it was opened.
    since: Instant,
    worker: Arc<BridgeWorker>,
}

impl Carriers {
    /// Puts each where it belongs now, and hands out those that have ended, to
    /// be dropped without the lock.
    fn sort_out(&mut self, redial: &mut Redial) -> Vec<Carrier> {
        let all = std::mem::take(&mut self.active);
        let (active, others) = all.into_iter().partition(|c| c.worker.is_active());
        self.active = active;
        for carrier in others {
            redial.lost(carrier.since);
            carrier.worker.retire();
            self.draining.push(carrier);
        }
        let all = std::mem::take(&mut self.draining);
        let (ended, draining): (Vec<_>, _) = all.into_iter().partition(|c| c.worker.is_closed());
        self.draining = draining;
        for carrier in &ended {
            redial.lost(carrier.since); // a portal that drained may be back
        }
        ended
    }

    /// Whether the portal can be reached by one of them, as far as is known.
    /// One that has fallen silent may be what is left of another address of
    /// ours: it is not waited for until it counts as dead.
    fn are_of_use(&self) -> bool {
        self.active.iter().any(|c| !c.worker.is_suspect())
    }

    /// The same, and whether the portal has taken it.
    fn are_up(&self) -> bool {
        let mut active = self.active.iter();
        active.any(|c| c.worker.was_taken() && !c.worker.is_suspect())
    }

    /// Whether one more is needed (section 9), and may be.
    fn want_another(&self) -> bool {
        let open = self.active.iter().map(|c| c.worker.active_connections());
        let open: usize = open.sum();
        match self.active.len() {
            0 => self.draining.len() < BRIDGE_DRAINING,
            BRIDGE_WORKERS.. => false,
            count => !self.are_of_use() || open / count > BRIDGE_SESSIONS,
        }
    }

    fn all(&self) -> Vec<Arc<BridgeWorker>> {
        let all = self.active.iter().chain(&self.draining);
        all.map(|carrier| carrier.worker.clone()).collect()
    }
}
