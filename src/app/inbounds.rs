//! Plans of inbounds to listeners.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};

use super::StartError;
use super::handover::{Before, Handover};
use super::part::Part;
use super::status::{Census, Kind};
use crate::config::{ConfigError, InboundOptions, InboundPlan, Place};
use crate::error::chain;
use crate::limits::{DRAIN_QUIET, FREE_PORT_TRIES};
use crate::link::{Access, Dispatcher};
use crate::mux::{CarrierOptions, Left, MuxDispatcher};
use crate::net::Origin;
use crate::proxy::{Inbound, InboundContext, ProxyError, dokodemo, http, socks, vless, vmess};
use crate::sniff::Sniffer;
use crate::sync::{Complaints, Timer};
use crate::transport::stream::{Acceptor, Connection};
use crate::transport::tcp::{self, Idle, Server, ServerLimits, Visitor};
use crate::transport::udp::{self, Flows};

/// What all inbounds of a configuration have.
pub(super) struct Common {
    /// Bounds of what visitors can make each hold.
    pub(super) limits: ServerLimits,
    /// Settings of the mux carriers that they take.
    pub(super) carriers: CarrierOptions,
    /// Takes their connections further.
    pub(super) dispatcher: Arc<dyn Dispatcher>,
    /// Where their access lines go.
    pub(super) access: Arc<dyn Access>,
    /// Who has their carriers.
    pub(super) census: Arc<Census>,
    /// Runs their idle times.
    pub(super) timer: Timer,
}

/// An inbound at work.
pub(super) struct RunningInbound {
    plan: InboundPlan,
    limits: ServerLimits,
    carriers: CarrierOptions,
    context: InboundContext,
    acceptor: Acceptor,
    entrance: Arc<MuxDispatcher>,
    doors: Vec<Door>,
}

/// One of an inbound's ports, with what listens there.
pub(super) struct Door {
    /// As the configuration has it: the port may be 0.
    pub(super) planned: SocketAddr,
    address: SocketAddr,
    pub(super) tcp: Option<Server>,
    pub(super) udp: Option<Flows>,
}

impl RunningInbound {
    /// Does all for an inbound that may fail. It takes over the sockets of
    /// those in `leaving` that listen on its ports, and binds the others, if
    /// need be beside theirs.
    ///
    /// # Errors
    /// When a port or a certificate cannot be used.
    pub(super) fn prepare(
        plan: InboundPlan,
        common: &Common,
        leaving: &[Arc<Self>],
        handover: &mut Handover,
    ) -> Result<Self, StartError> {
        let entrance = Arc::new(entrance(&plan, common));
        let mut inbound = Self {
            acceptor: acceptor(&plan)?,
            limits: common.limits,
            carriers: common.carriers.clone(),
            context: context(&plan, common, entrance.clone()),
            entrance,
            doors: Vec::new(),
            plan,
        };
        for port in inbound.plan.ports.clone() {
            let address = SocketAddr::new(inbound.plan.listen, port);
            let before = handover.before(leaving, inbound.tag(), address);
            let door = inbound.door_at(address, &before);
            let door = door.map_err(|e| cannot_listen(inbound.plan.place.clone(), address, &e))?;
            handover.note(port, &before);
            inbound.doors.push(door);
        }
        Ok(inbound)
    }

    /// Whether it is what the plan wants.
    pub(super) fn is(&self, plan: &InboundPlan, common: &Common) -> bool {
        self.limits == common.limits
            && self.carriers == common.carriers
            && self.plan.says_the_same_as(plan)
    }

    /// Lets visitors in.
    pub(super) fn open(&self) {
        for door in &self.doors {
            door.tcp.iter().for_each(Server::open);
            door.udp.iter().for_each(Flows::open);
            info!("[{}] listening on {}", self.context.tag, door.address);
        }
    }

    /// The tag that its visitors' requests have: this very one, not one that
    /// reads the same.
    pub(super) fn mark(&self) -> &Arc<str> {
        &self.context.tag
    }

    pub(super) fn doors(&self) -> &[Door] {
        &self.doors
    }

    pub(super) fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.doors.iter().map(|door| door.address)
    }

    /// Reads its certificates, for it to [adopt](Self::adopt).
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn read_certificates(&self) -> Result<Acceptor, StartError> {
        acceptor(&self.plan)
    }

    /// Shows the certificates that were read, and says how many are others.
    pub(super) fn adopt(&self, read: &Acceptor) -> usize {
        self.acceptor.adopt(read)
    }

    pub(super) fn stop_accepting(&self) {
        for door in &self.doors {
            door.tcp.iter().for_each(Server::stop_accepting);
            door.udp.iter().for_each(Flows::stop_accepting);
        }
    }

    /// Ends the flows of datagrams on ports that one of `others` has on another
    /// address that overlaps: as long as there was a socket here, its datagrams
    /// would come to it. They begin anew over there.
    pub(super) fn give_way<'a>(&self, others: impl Iterator<Item = &'a Self> + Clone) {
        for door in &self.doors {
            let mut doors = others.clone().flat_map(|other| &other.doors);
            if doors.any(|other| other.overlaps(door)) {
                door.udp.iter().for_each(Flows::close);
            }
        }
    }

    /// Stops accepting, asks the clients of mux carriers for no more sessions,
    /// and says what is left: visitors who have said what they want and, if
    /// they count, those who have not; and flows that are not quiet.
    ///
    /// Carriers are among the visitors, and no connections to be waited for:
    /// they go on as long as their sessions.
    pub(super) fn drain(&self, with_handshakes: bool) -> Left {
        self.stop_accepting();
        let mut left = self.entrance.drain();
        let doors = self.doors.iter();
        let visitors: usize = doors.map(|door| door.visitors(with_handshakes)).sum();
        left.connections += visitors.saturating_sub(self.entrance.carriers());
        left
    }

    pub(super) fn close(&self) {
        for door in &self.doors {
            door.tcp.iter().for_each(Server::close);
            door.udp.iter().for_each(Flows::close);
        }
    }

    /// Where the system may choose the port, what it chose for streams may be
    /// another's for datagrams.
    fn door_at(&self, planned: SocketAddr, before: &Before<'_>) -> io::Result<Door> {
        let is_chosen = planned.port() == 0 && before.door().is_none();
        let mut tries = if is_chosen { FREE_PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match self.door(planned, before) {
                Err(e) if tries > 0 && e.kind() == io::ErrorKind::AddrInUse => {}
                outcome => return outcome,
            }
        }
    }

    fn door(&self, planned: SocketAddr, before: &Before<'_>) -> io::Result<Door> {
        let mut door = Door {
            planned,
            address: planned,
            tcp: None,
            udp: None,
        };
        if takes_tcp(&self.plan.options) {
            let server = self.server(planned, before)?;
            door.address = server.local_addr();
            door.tcp = Some(server);
        }
        door.udp = self.flows(door.address, before)?;
        if let (None, Some(udp)) = (&door.tcp, &door.udp) {
            door.address = udp.local_addr();
        }
        Ok(door)
    }

    fn server(&self, address: SocketAddr, before: &Before<'_>) -> io::Result<Server> {
        let seat = match before.door().and_then(|door| door.tcp.as_ref()) {
            Some(server) => tcp::Seat::Of(server),
            None => tcp::Seat::New(before.listen(address)?),
        };
        let address = match &seat {
            tcp::Seat::Of(server) => server.local_addr(),
            tcp::Seat::New(listener) => listener.local_addr()?,
        };
        let inbound = build(&self.context, &self.plan.options, address);
        let name = name(&self.context.tag, address.port());
        let (context, acceptor) = (self.context.clone(), self.acceptor.clone());
        let complaints = OfVisitors::default();
        Server::prepare(seat, &name, self.limits, move |visitor| {
            let (mut source, handshake) = (visitor.source, context.handshake);
            let served = serve(&*inbound, &acceptor, visitor, handshake, &mut source);
            if let Err(e) = served {
                let access = context.access.as_deref();
                report(&context.tag, source, &e, &complaints, access);
            }
        })
    }

    /// Datagrams are taken on the port that the streams have.
    fn flows(&self, address: SocketAddr, before: &Before<'_>) -> io::Result<Option<Flows>> {
        if !takes_udp(&self.plan.options) {
            return Ok(None);
        }
        let seat = match before.door().and_then(|door| door.udp.as_ref()) {
            Some(flows) => udp::Seat::Of(flows),
            None => udp::Seat::New(before.bind(address)?),
        };
        let context = self.context.clone();
        let flows = match &self.plan.options {
            InboundOptions::Socks(options) => socks::prepare_udp(context, options, seat),
            InboundOptions::Dokodemo(options) => dokodemo::prepare_udp(context, options, seat),
            _ => return Ok(None),
        };
        flows.map(Some)
    }
}

impl Part for RunningInbound {
    fn tag(&self) -> &str {
        &self.context.tag
    }
}

impl Door {
    /// Whether one of them has the port on one address, and the other on all.
    fn overlaps(&self, other: &Self) -> bool {
        let everywhere = [self, other].map(|door| door.address.ip().is_unspecified());
        self.address.port() == other.address.port() && everywhere[0] != everywhere[1]
    }

    fn visitors(&self, with_handshakes: bool) -> usize {
        let handshakes = match with_handshakes {
            true => self.tcp.as_ref().map_or(0, Server::handshakes),
            false => 0,
        };
        let streams = self.tcp.as_ref().map_or(0, Server::connections);
        let flows = self.udp.as_ref().map_or(0, |udp| udp.busy(DRAIN_QUIET));
        handshakes + streams + flows
    }
}

/// What an inbound's streams go through. Carriers are recognised by what was
/// asked for, in front of the sniffing of what they carry.
fn entrance(plan: &InboundPlan, common: &Common) -> MuxDispatcher {
    let dispatcher = common.dispatcher.clone();
    let inner: Arc<dyn Dispatcher> = match &plan.sniffing {
        Some(options) => Arc::new(Sniffer::new(dispatcher, options.clone())),
        None => dispatcher,
    };
    let (census, name) = (&common.census, name(&plan.tag, *plan.ports.start()));
    let carriers = census.enter(Kind::Inbound, &name, &common.carriers);
    MuxDispatcher::new(inner, carriers)
}

fn context(plan: &InboundPlan, common: &Common, dispatcher: Arc<dyn Dispatcher>) -> InboundContext {
    InboundContext {
        tag: Arc::from(&*plan.tag),
        dispatcher,
        handshake: plan.handshake,
        idle: Idle {
            timer: common.timer.clone(),
            times: plan.idle,
        },
        access: Some(common.access.clone()),
    }
}

/// Makes connections of the inbound's visitors.
pub(super) fn acceptor(plan: &InboundPlan) -> Result<Acceptor, StartError> {
    let acceptor = Acceptor::new(plan.stream.clone());
    Ok(acceptor.map_err(|e| ConfigError::at(plan.stream_place.clone(), chain(&e)))?)
}

pub(super) fn cannot_listen(place: Place, address: SocketAddr, e: &io::Error) -> StartError {
    let hint = match e.kind() {
        io::ErrorKind::AddrInUse => "; another program has the port: choose a free one",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        io::ErrorKind::AddrNotAvailable => "; the address is none of this machine's",
        _ => "",
    };
    let error = ConfigError::at(place, format!("cannot listen on {address}: {e}{hint}"));
    match e.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => error.passing().into(),
        _ => error.into(),
    }
}

/// Serves a visitor to the end. `source` is set once somebody in front of us
/// has named him.
fn serve(
    inbound: &dyn Inbound,
    acceptor: &Acceptor,
    visitor: Visitor,
    handshake: Duration,
    source: &mut SocketAddr,
) -> Result<(), ProxyError> {
    let connection = receive(acceptor, visitor, handshake, source)?;
    inbound.serve(connection)
}

/// Not inlined: what it needs of the stack would stay below the whole connection,
/// which touches a page more then.
#[inline(never)]
fn receive(
    acceptor: &Acceptor,
    visitor: Visitor,
    handshake: Duration,
    source: &mut SocketAddr,
) -> Result<Connection, ProxyError> {
    let connection = acceptor.receive(visitor, handshake)?;
    *source = connection.peer_addr()?;
    Ok(acceptor.layer(connection)?)
}

/// A name for threads, log lines and the status: the tag, or the port of one
/// without.
fn name(tag: &str, port: u16) -> String {
    match tag {
        "" => port.to_string(),
        tag => tag.to_owned(),
    }
}

/// What is said of visitors whose connections end before their time.
#[derive(Default)]
struct OfVisitors {
    /// For what they have done.
    faults: Complaints,
    /// For what a server on their way has not.
    servers: Complaints,
}

/// What a visitor does wrong is worth a line, and one in the access log; that
/// one left, or that his target is not there, is not.
fn report(
    tag: &str,
    source: SocketAddr,
    e: &ProxyError,
    complaints: &OfVisitors,
    access: Option<&dyn Access>,
) {
    let source = Origin::new(source, None).source();
    let (turn, why) = match (e.of_server(), e) {
        (Some(cause), _) => (complaints.servers.turn(), chain(cause)),
        (None, ProxyError::Dispatch(_)) => (None, chain(e)),
        (None, _) => (complaints.faults.turn(), chain(e)),
    };
    match turn {
        Some(unsaid) => info!("[{tag}] {source}: {why}{unsaid}"),
        None => debug!("[{tag}] {source}: {why}"),
    }
    if let (ProxyError::Malformed(_) | ProxyError::Address(_) | ProxyError::Refused(_), Some(log)) =
        (e, access)
    {
        log.rejected(Some(source), &why);
    }
}

fn takes_tcp(options: &InboundOptions) -> bool {
    match options {
        InboundOptions::Dokodemo(options) => options.tcp,
        _ => true,
    }
}

fn takes_udp(options: &InboundOptions) -> bool {
    match options {
        InboundOptions::Socks(options) => options.udp,
        InboundOptions::Dokodemo(options) => options.udp,
        _ => false,
    }
}

fn build(
    context: &InboundContext,
    options: &InboundOptions,
    address: SocketAddr,
) -> Box<dyn Inbound> {
    let context = context.clone();
    match options {
        InboundOptions::Socks(options) => Box::new(socks::Inbound::new(context, options, address)),
        InboundOptions::Http(options) => Box::new(http::Inbound::new(context, options.clone())),
        InboundOptions::Dokodemo(options) => Box::new(dokodemo::Inbound::new(context, options)),
        InboundOptions::Vless(options) => Box::new(vless::Inbound::new(context, options.clone())),
        InboundOptions::Vmess(options) => Box::new(vmess::Inbound::new(context, options.clone())),
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::link::Request;

    #[derive(Debug, Default)]
    struct Rejected(Mutex<Option<SocketAddr>>);

    impl Access for Rejected {
        fn accepted(&self, _: &Request, _: &str) {}

        fn rejected(&self, source: Option<SocketAddr>, _: &str) {
            *self.0.lock() = source;
        }
    }

    #[test]
    fn an_ipv4_visitor_of_all_addresses_is_shown_as_one() {
        let access = Rejected::default();
        let mapped = "[::ffff:192.0.2.1]:80".parse().unwrap();
        let fault = ProxyError::Refused("nothing");
        report("in", mapped, &fault, &OfVisitors::default(), Some(&access));
        assert_eq!(*access.0.lock(), Some("192.0.2.1:80".parse().unwrap()));
    }
}
