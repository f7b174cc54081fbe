//! From a [`Plan`] to running objects and threads, and back to none.

pub mod access;
#[cfg(feature = "cli")]
pub mod control;
pub mod demo;
mod drain;
mod error;
mod inbounds;
#[cfg(feature = "cli")]
mod log_queue;
#[cfg(feature = "cli")]
pub mod logging;
mod outbounds;
mod stamp;
pub mod status;
mod timed;

use std::net::SocketAddr;
use std::sync::Arc;

pub use error::StartError;

use access::AccessLog;

use crate::config::{InboundPlan, LogTarget, MetricsPlan, Plan};
use crate::link::{Access, Dispatcher};
use crate::mux::{CarrierOptions, MuxDispatcher};
use crate::reverse::{Bridge, Portal};
use crate::router::{OutboundManager, Router};
use crate::sniff::Sniffer;
use crate::sync::{Done, Timer};
use inbounds::RunningInbound;
use status::{Census, Kind, MetricsServer, Phase};

/// A configuration at work. Closing it, or dropping it, ends everything.
pub struct App {
    inbounds: Vec<RunningInbound>,
    bridges: Vec<Bridge>,
    portals: Vec<Portal>,
    entrances: Vec<Arc<MuxDispatcher>>,
    outbounds: Arc<OutboundManager>,
    access: Option<Arc<AccessLog>>,
    census: Arc<Census>,
    metrics: Option<MetricsServer>,
    closed: Done,
}

impl App {
    /// Sets `plan` in motion. When it returns, all listeners accept.
    ///
    /// # Errors
    /// See [`StartError`]; whatever had been started is ended again.
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        let timer = Timer::global()?;
        let outbounds = Arc::new(OutboundManager::new());
        let census = Census::new();
        let mut app = Self {
            inbounds: Vec::new(),
            bridges: Vec::new(),
            portals: Vec::new(),
            entrances: Vec::new(),
            outbounds: outbounds.clone(),
            access: open_access_log(&plan.log.access)?,
            metrics: plan
                .metrics
                .map(|plan| metrics(plan, &census))
                .transpose()?,
            census: census.clone(),
            closed: Done::new(),
        };
        for outbound in plan.outbounds {
            let carrier = census.enter(Kind::Outbound, &outbound.tag, &plan.mux);
            outbounds.add_handler(outbounds::build(outbound, &carrier, &timer)?)?;
        }
        for mut portal in plan.portals {
            portal.carrier = census.enter(Kind::Portal, &portal.tag, &portal.carrier);
            app.portals
                .push(Portal::new(portal, outbounds.clone(), &timer)?);
        }
        let router: Arc<dyn Dispatcher> = Arc::new(Router::new(plan.router, outbounds));
        let access = app.access.clone().map(|log| log as Arc<dyn Access>);
        for inbound in plan.inbounds {
            let limits = plan.listeners;
            let carrier = census.enter(Kind::Inbound, &name(&inbound), &plan.mux);
            let entrance = Arc::new(entrance(&router, &inbound, carrier));
            app.entrances.push(entrance.clone());
            let running = inbounds::start(inbound, limits, entrance, access.as_ref(), &timer)?;
            app.inbounds.extend(running);
        }
        for mut bridge in plan.bridges {
            bridge.carrier = census.enter(Kind::Bridge, &bridge.tag, &bridge.carrier);
            app.bridges
                .push(Bridge::new(bridge, router.clone(), &timer)?);
        }
        census.come_to(Phase::Running);
        Ok(app)
    }

    /// Looks whether all that a plan names can be used, without starting
    /// anything: its certificates.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) that this would bring about.
    pub fn check(plan: &Plan) -> Result<(), StartError> {
        for inbound in &plan.inbounds {
            inbounds::acceptor(inbound)?;
        }
        for outbound in &plan.outbounds {
            outbounds::dialer(outbound)?;
        }
        Ok(())
    }

    /// The addresses that the inbound with this tag listens on.
    pub fn local_addrs(&self, tag: &str) -> Vec<SocketAddr> {
        let tagged = self.inbounds.iter().filter(|inbound| inbound.tag() == tag);
        tagged.map(RunningInbound::local_addr).collect()
    }

    /// Carriers that bridges have opened to the portals here.
    pub fn carriers(&self) -> usize {
        self.portals.iter().map(Portal::carriers).sum()
    }

    /// How it does.
    pub fn census(&self) -> &Arc<Census> {
        &self.census
    }

    /// Where monitors find it, if the plan says that they may.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsServer::local_addr)
    }

    /// Waits until it has been closed.
    pub fn wait(&self) {
        self.closed.wait();
    }

    /// Stops accepting, ends all connections, and waits for their threads.
    /// From any thread, any number of times.
    pub fn close(&self) {
        self.inbounds
            .iter()
            .for_each(RunningInbound::stop_accepting);
        self.bridges.iter().for_each(Bridge::close);
        self.portals.iter().for_each(Portal::close);
        self.inbounds.iter().for_each(RunningInbound::close);
        self.outbounds.close();
        if let Some(access) = &self.access {
            access.close();
        }
        if let Some(metrics) = &self.metrics {
            metrics.close();
        }
        self.closed.signal();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.close();
    }
}

/// What an inbound's streams go through. Carriers are recognised by what was
/// asked for, in front of the sniffing of what they carry.
fn entrance(
    router: &Arc<dyn Dispatcher>,
    inbound: &InboundPlan,
    mux: CarrierOptions,
) -> MuxDispatcher {
    let inner = match &inbound.sniffing {
        Some(options) => Arc::new(Sniffer::new(router.clone(), options.clone())),
        None => router.clone(),
    };
    MuxDispatcher::new(inner, mux)
}

/// Its tag, or the port of one without.
fn name(inbound: &InboundPlan) -> String {
    match &*inbound.tag {
        "" => inbound.ports.start().to_string(),
        tag => tag.to_owned(),
    }
}

fn metrics(plan: MetricsPlan, census: &Arc<Census>) -> Result<MetricsServer, StartError> {
    let server = MetricsServer::start(plan.listen, census.clone());
    server.map_err(|e| inbounds::cannot_listen(plan.place, plan.listen, &e))
}

fn open_access_log(target: &LogTarget) -> Result<Option<Arc<AccessLog>>, StartError> {
    let log = AccessLog::open(target).map_err(StartError::AccessLog)?;
    Ok(log.map(Arc::new))
}
