use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use log::{info, warn};
use parking_lot::Mutex;

use super::portal_worker::PortalWorker;
use super::services::{Carriers, Group};
use super::{Announcement, PortalOptions, ReverseError, is_control_domain};
use crate::escape::Escaped;
use crate::link::{DispatchError, Health, Link, Outbound, Request};
use crate::mux::MuxError;
use crate::net::{Address, Network};
use crate::router::OutboundManager;
use crate::sync::{Complaints, Done, Timer};

/// The end of a reverse tunnel that visitors come to.
///
/// It is an outbound: a link whose target is the portal's domain is a bridge's
/// and becomes a carrier; any other is a visitor's and becomes a session on
/// one. Closing it, or dropping it, removes the outbound and ends the carriers.
pub struct Portal {
    handler: Arc<Handler>,
    /// Where its outbound is registered, unless that is somebody else's matter.
    outbounds: Option<Arc<OutboundManager>>,
    removed: Done,
}

impl Portal {
    /// Opens a portal and registers its outbound.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn new(
        options: PortalOptions,
        outbounds: Arc<OutboundManager>,
        timer: &Timer,
    ) -> Result<Self, ReverseError> {
        let mut portal = Self::unregistered(options, None, timer)?;
        outbounds
            .add_extra_handler(portal.handler.clone())
            .map_err(ReverseError::DuplicateTag)?;
        portal.outbounds = Some(outbounds);
        Ok(portal)
    }

    /// Opens a portal whose [outbound](Self::outbound) the caller registers. If
    /// it is to replace one for the same domain, visitors go to that one's
    /// bridges until this one has a bridge.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn unregistered(
        mut options: PortalOptions,
        replaced: Option<&Portal>,
        timer: &Timer,
    ) -> Result<Self, ReverseError> {
        ReverseError::check_names(&options.tag, &options.domain)?;
        options.carrier.check().map_err(ReverseError::Options)?;
        options.carrier.timer.get_or_insert_with(|| timer.clone());
        let stand_in = replaced.and_then(|portal| portal.handler.for_domain(&options.domain));
        let handler = Arc::new(Handler {
            carriers: Carriers::new(&options.services, timer),
            options,
            stand_in,
            arrivals: Mutex::default(),
            timer: timer.clone(),
            draining: AtomicBool::new(false),
            closed: Done::new(),
            refusals: Complaints::new(),
            lonely: Complaints::new(),
        });
        Ok(Self {
            handler,
            outbounds: None,
            removed: Done::new(),
        })
    }

    /// The outbound that it is.
    pub fn outbound(&self) -> Arc<dyn Outbound> {
        self.handler.clone()
    }

    /// Carriers that bridges have opened.
    pub fn carriers(&self) -> usize {
        self.handler.carriers.all().len()
    }

    /// Tells all bridges, also those that still come, to open carriers to
    /// somebody else. Those that are open go on.
    pub fn drain(&self) {
        self.handler.draining.store(true, Ordering::SeqCst);
        self.handler.carriers.drain();
    }

    /// Tells the bridges that came in by the inbound with this very tag, not
    /// one that reads the same, to come anew.
    pub fn drain_arrivals(&self, inbound: &Arc<str>) {
        let arrivals = self.handler.arrivals.lock().clone();
        let meant = arrivals
            .iter()
            .filter(|arrival| Arc::ptr_eq(&arrival.inbound, inbound));
        let workers = meant.filter_map(|arrival| arrival.worker.upgrade());
        workers.for_each(|worker| worker.drain());
    }

    /// Visitors who are inside.
    pub fn visitors(&self) -> usize {
        self.handler.carriers.all().client.busy_connections()
    }

    /// Removes the outbound, ends all carriers and waits for them.
    pub fn close(&self) {
        // Once, for its tag may be another's later.
        if let Some(outbounds) = self.outbounds.as_ref().filter(|_| self.removed.signal()) {
            outbounds.remove_handler(self.handler.tag());
        }
        self.handler.close();
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Portal({})", self.handler.options.tag)
    }
}

struct Handler {
    options: PortalOptions,
    carriers: Carriers,
    /// The portal that this one replaces: as long as it is there, visitors go
    /// by its bridges who get nowhere by those that have come here.
    stand_in: Option<Weak<Handler>>,
    arrivals: Mutex<Vec<Arrival>>,
    timer: Timer,
    draining: AtomicBool,
    closed: Done,
    refusals: Complaints,
    lonely: Complaints,
}

/// How a bridge's carrier came.
#[derive(Clone)]
struct Arrival {
    inbound: Arc<str>,
    worker: Weak<PortalWorker>,
}

/// What a link is to the portal.
enum Kind {
    Bridge(Announcement),
    Visitor,
}

impl Handler {
    /// Says who comes, if he may; who may not is worth a line.
    fn admit(&self, request: &Request) -> Result<Kind, DispatchError> {
        if self.closed.is_done() {
            return Err(DispatchError::Refused("the portal is closed"));
        }
        let kind = self.kind(request);
        if let Err(why) = &kind
            && let Some(unsaid) = self.refusals.turn()
        {
            let (id, tag, who) = (request.id, &self.options.tag, origin(request));
            warn!("[{id}] portal {tag}: {who} is refused: {why}{unsaid}");
        }
        kind
    }

    /// Bridges ask for the domain over TCP. Nobody may ask for a control
    /// session: its messages would reach the bridge as the portal's (A38).
    fn kind(&self, request: &Request) -> Result<Kind, DispatchError> {
        let Some(name) = request.target.address.domain() else {
            return Ok(Kind::Visitor);
        };
        if let Some(announced) = Announcement::read(name, &self.options.domain) {
            return check_bridge(request).map(|()| Kind::Bridge(announced));
        }
        if is_control_domain(name) {
            return Err(DispatchError::Refused(
                "control sessions are the portal's own",
            ));
        }
        Ok(Kind::Visitor)
    }

    /// Makes the link a carrier, for as long as it lives. Not inlined: visitors
    /// would keep room for it on their stacks.
    #[inline(never)]
    fn serve_bridge(
        &self,
        request: &Request,
        announced: &Announcement,
        link: Link,
    ) -> Result<(), MuxError> {
        let PortalOptions {
            tag,
            control_domain,
            carrier,
            ..
        } = &self.options;
        let worker = PortalWorker::start(
            link,
            control_domain,
            carrier.clone(),
            &self.timer,
            announced.standby,
        )?;
        if !self.carriers.add(&worker, announced) {
            worker.close();
            return Err(MuxError::Closed);
        }
        self.note_arrival(request, &worker);
        if self.draining.load(Ordering::SeqCst) {
            worker.drain();
        }
        self.greet(request, announced);
        worker.client().wait_closed(None);
        self.carriers.remove(&worker);
        self.forget_arrival(&worker);
        worker.close();
        let from = from(request);
        warn!("[{}] portal {tag}: bridge has gone{from}", request.id);
        Ok(())
    }

    fn greet(&self, request: &Request, announced: &Announcement) {
        let (id, tag, from) = (request.id, &self.options.tag, from(request));
        let standby = if announced.standby {
            ", on standby"
        } else {
            ""
        };
        let serves = match announced.services.join(", ") {
            none if none.is_empty() => none,
            names => format!(", serves {names}"),
        };
        info!("[{id}] portal {tag}: bridge has come{from}{serves}{standby}");
        let unknown = self.carriers.unknown(announced).join(", ");
        if !unknown.is_empty() {
            let known: Vec<&str> = self.carriers.known().collect();
            let known = known.join(", ");
            warn!(
                "[{id}] portal {tag}: that bridge serves {unknown}, which nobody gets to here: this portal has {known}"
            );
        }
    }

    /// What becomes of a visitor for whom there is no carrier is worth a line.
    fn note_no_bridge(&self, request: &Request, why: &MuxError) {
        if matches!(why, MuxError::NoWorker)
            && let Some(unsaid) = self.lonely.turn()
        {
            let Request { id, target, .. } = request;
            let (tag, from) = (&self.options.tag, from(request));
            warn!(
                "[{id}] portal {tag}: there is no bridge for the visitor{from} to {target}{unsaid}"
            );
        }
    }
}

impl Handler {
    fn note_arrival(&self, request: &Request, worker: &Arc<PortalWorker>) {
        let inbound = request.inbound.clone();
        let worker = Arc::downgrade(worker);
        self.arrivals.lock().push(Arrival { inbound, worker });
    }

    fn forget_arrival(&self, worker: &Arc<PortalWorker>) {
        let gone = Arc::as_ptr(worker);
        let is_other = |arrival: &Arrival| arrival.worker.as_ptr() != gone;
        self.arrivals.lock().retain(is_other);
    }

    /// Who serves the visitors of a portal for `domain` that replaces this one,
    /// until that has bridges.
    fn for_domain(self: &Arc<Self>, domain: &str) -> Option<Weak<Self>> {
        let before = self.stand_in.clone();
        let serving = match self.carriers.all().is_empty() {
            true => before.unwrap_or_else(|| Arc::downgrade(self)),
            false => Arc::downgrade(self),
        };
        Some(serving).filter(|_| self.options.domain == domain)
    }

    /// Whether no bridge can be reached.
    fn is_empty(&self) -> bool {
        let stand_in = self.stand_in.as_ref().and_then(Weak::upgrade);
        let has_none = |handler: &Self| handler.carriers.all().is_empty();
        has_none(self) && stand_in.is_none_or(|other| has_none(&other))
    }

    /// Who serves visitors to `target`, if nobody does here and somebody there.
    fn stand_in_for(&self, target: &Address) -> Option<Arc<Self>> {
        let serves = |handler: &Self| !handler.carriers.for_target(target).is_empty();
        if serves(self) {
            return None;
        }
        let other = self.stand_in.as_ref().and_then(Weak::upgrade);
        other.filter(|other| serves(other))
    }

    fn group<'a>(&'a self, stand_in: Option<&'a Arc<Self>>, target: &Address) -> &'a Group {
        let carriers = stand_in.map_or(&self.carriers, |other| &other.carriers);
        carriers.for_target(target)
    }
}

/// The domain alone must not make everybody a bridge who can ask for it: only
/// those who have authenticated, or whom a rule meant that names it (A37).
fn check_bridge(request: &Request) -> Result<(), DispatchError> {
    if request.target.network == Network::Udp {
        return Err(DispatchError::Refused("bridges come over TCP"));
    }
    if request.is_sniffed {
        return Err(DispatchError::Refused(
            "a bridge asks for the portal's domain; it does not let it be guessed",
        ));
    }
    if request.anonymous && !request.named_by_rule {
        return Err(DispatchError::Refused(
            "a bridge that comes anonymously needs a rule that names the portal's domain",
        ));
    }
    Ok(())
}

/// ` from` its address, if that is known.
fn from(request: &Request) -> String {
    let source = request.source;
    source.map_or_else(String::new, |source| format!(" from {source}"))
}

/// Where somebody comes from, as far as that is known.
fn origin(request: &Request) -> String {
    let inbound = Escaped(request.inbound.as_bytes());
    match request.source {
        Some(source) => format!("{source} by inbound [{inbound}]"),
        None => format!("a visitor by inbound [{inbound}]"),
    }
}

impl Outbound for Handler {
    fn tag(&self) -> &str {
        &self.options.tag
    }

    /// Without a bridge it leads nowhere.
    fn health(&self) -> Option<Health> {
        Some(Health {
            round_trip: self.carriers.all().client.round_trip(),
            failed: self.is_empty().then(Instant::now),
        })
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        match self.admit(request)? {
            Kind::Bridge(_) => Err(DispatchError::Refused("a bridge brings its own link")),
            Kind::Visitor => {
                let target = &request.target;
                let stand_in = self.stand_in_for(&target.address);
                let group = self.group(stand_in.as_ref(), &target.address);
                let link = group.client.connect_from(target, request.origin());
                Ok(link.inspect_err(|e| self.note_no_bridge(request, e))?)
            }
        }
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        match self.admit(request)? {
            Kind::Bridge(announced) => Ok(self.serve_bridge(request, &announced, link)?),
            Kind::Visitor => {
                let (target, origin) = (&request.target, request.origin());
                let stand_in = self.stand_in_for(&target.address);
                let group = self.group(stand_in.as_ref(), &target.address);
                let done = group.client.dispatch_from(target, origin, link);
                Ok(done.inspect_err(|e| self.note_no_bridge(request, e))?)
            }
        }
    }

    fn close(&self) {
        self.closed.signal();
        self.carriers.close();
    }
}
