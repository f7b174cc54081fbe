//! Plans of inbounds to listeners.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};

use super::StartError;
use crate::config::{ConfigError, InboundOptions, InboundPlan, Place};
use crate::error::chain;
use crate::limits::DRAIN_QUIET;
use crate::link::{Access, Dispatcher};
use crate::proxy::{Inbound, InboundContext, ProxyError, dokodemo, http, socks, vless, vmess};
use crate::sync::{Complaints, Timer};
use crate::transport::stream::Acceptor;
use crate::transport::tcp::{Idle, Server, ServerLimits, Visitor, listen};
use crate::transport::udp::Flows;

/// One port of an inbound, with what listens there.
pub(super) struct RunningInbound {
    tag: Arc<str>,
    address: SocketAddr,
    tcp: Option<Server>,
    udp: Option<Flows>,
}

impl RunningInbound {
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn stop_accepting(&self) {
        if let Some(tcp) = &self.tcp {
            tcp.stop_accepting();
        }
        if let Some(udp) = &self.udp {
            udp.stop_accepting();
        }
    }

    /// Visitors who have said what they want, and flows that are not quiet.
    pub(super) fn visitors(&self) -> usize {
        let streams = self.tcp.as_ref().map_or(0, Server::connections);
        let flows = self.udp.as_ref().map_or(0, |udp| udp.busy(DRAIN_QUIET));
        streams + flows
    }

    /// Visitors who have not.
    pub(super) fn handshakes(&self) -> usize {
        self.tcp.as_ref().map_or(0, Server::handshakes)
    }

    pub(super) fn close(&self) {
        if let Some(tcp) = &self.tcp {
            tcp.close();
        }
        if let Some(udp) = &self.udp {
            udp.close();
        }
    }
}

/// How visitors are let in.
struct Door {
    acceptor: Acceptor,
    limits: ServerLimits,
}

/// Starts the inbound on each of its ports.
pub(super) fn start(
    plan: InboundPlan,
    limits: ServerLimits,
    dispatcher: Arc<dyn Dispatcher>,
    access: Option<&Arc<dyn Access>>,
    timer: &Timer,
) -> Result<Vec<RunningInbound>, StartError> {
    let acceptor = acceptor(&plan)?;
    let context = InboundContext {
        tag: plan.tag,
        dispatcher,
        handshake: plan.handshake,
        idle: Idle {
            timer: timer.clone(),
            times: plan.idle,
        },
        access: access.cloned(),
    };
    let addresses = plan.ports.map(|port| SocketAddr::new(plan.listen, port));
    let door = Door { acceptor, limits };
    addresses
        .map(|address| {
            start_at(&context, &plan.options, &door, address)
                .map_err(|e| cannot_listen(plan.place.clone(), address, &e))
        })
        .collect()
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
    ConfigError::at(place, format!("cannot listen on {address}: {e}{hint}")).into()
}

fn start_at(
    context: &InboundContext,
    options: &InboundOptions,
    door: &Door,
    address: SocketAddr,
) -> io::Result<RunningInbound> {
    let mut running = RunningInbound {
        tag: context.tag.clone(),
        address,
        tcp: None,
        udp: None,
    };
    if takes_tcp(options) {
        let listener = listen(address)?;
        running.address = listener.local_addr()?;
        let inbound = build(context, options, running.address);
        let name = name(context, running.address);
        let (context, acceptor) = (context.clone(), door.acceptor.clone());
        let faults = Complaints::new();
        let server = Server::start_with(listener, &name, door.limits, move |visitor| {
            let mut source = visitor.source;
            if let Err(e) = serve(
                &*inbound,
                &acceptor,
                visitor,
                context.handshake,
                &mut source,
            ) {
                let access = context.access.as_deref();
                report(&context.tag, source, &e, &faults, access);
            }
        });
        running.tcp = Some(server?);
    }
    running.udp = start_udp(context, options, running.address)?;
    running.address = running
        .udp
        .as_ref()
        .filter(|_| running.tcp.is_none())
        .map_or(running.address, Flows::local_addr);
    info!("[{}] listening on {}", running.tag, running.address);
    Ok(running)
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
    let connection = acceptor.receive(visitor, handshake)?;
    *source = connection.peer_addr()?;
    inbound.serve(acceptor.layer(connection)?)
}

/// A name for threads and log lines: the tag, or the port of one without.
fn name(context: &InboundContext, address: SocketAddr) -> String {
    match &*context.tag {
        "" => address.port().to_string(),
        tag => tag.to_owned(),
    }
}

/// What a visitor does wrong is worth a line, and one in the access log; that
/// one left is not.
fn report(
    tag: &str,
    source: SocketAddr,
    e: &ProxyError,
    faults: &Complaints,
    access: Option<&dyn Access>,
) {
    let why = chain(e);
    if let ProxyError::Dispatch(_) = e {
        debug!("[{tag}] {source}: {why}");
    } else if let Some(unsaid) = faults.turn() {
        info!("[{tag}] {source}: {why}{unsaid}");
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

/// Datagrams are taken on the port that the streams have.
fn start_udp(
    context: &InboundContext,
    options: &InboundOptions,
    address: SocketAddr,
) -> io::Result<Option<Flows>> {
    match options {
        InboundOptions::Socks(options) if options.udp => {
            socks::start_udp(context.clone(), options, address).map(Some)
        }
        InboundOptions::Dokodemo(options) if options.udp => {
            dokodemo::start_udp(context.clone(), options, address).map(Some)
        }
        _ => Ok(None),
    }
}
