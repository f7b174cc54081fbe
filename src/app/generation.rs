//! From one configuration to the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::access::AccessLog;
use super::handover::Handover;
use super::inbounds::{self, Common, RunningInbound};
use super::leaving::{Leaving, LeavingBridge, LeavingInbound, LeavingOutbound, LeavingPortal};
use super::outbounds::RunningOutbound;
use super::part::Renewed;
use super::report::Report;
use super::status::{Census, Kind, MetricsServer};
use super::switch::{AccessSwitch, RouterSwitch};
use super::tunnels::{RunningBridge, RunningPortal};
use crate::config::{InboundPlan, LogPlan, LogTarget, MetricsPlan, OutboundPlan, Plan};
use crate::mux::CarrierOptions;
use crate::router::{OutboundManager, Router, RouterOptions};
use crate::sync::Timer;
use crate::transport::stream::Acceptor;

/// What all generations have in common.
pub(super) struct House {
    pub(super) timer: Timer,
    pub(super) router: Arc<RouterSwitch>,
    pub(super) access: Arc<AccessSwitch>,
    pub(super) census: Arc<Census>,
}

/// Where monitors ask, as the configuration has it: the port may be 0.
pub(super) struct RunningMetrics {
    listen: SocketAddr,
    pub(super) server: MetricsServer,
}

/// What runs by one configuration. What the next one has too is part of both.
pub(super) struct Generation {
    pub(super) inbounds: Vec<Arc<RunningInbound>>,
    pub(super) outbounds: Vec<Arc<RunningOutbound>>,
    pub(super) portals: Vec<Arc<RunningPortal>>,
    pub(super) bridges: Vec<Arc<RunningBridge>>,
    pub(super) metrics: Option<Arc<RunningMetrics>>,
    pub(super) router: Arc<Router>,
    pub(super) log: LogPlan,
    pub(super) drain: Duration,
}

/// A generation that is ready to take over, and what that changes.
pub(super) struct Next {
    generation: Generation,
    parts: Parts,
    access: Option<Arc<AccessLog>>,
    report: Report,
}

/// What of each kind stays, comes and goes.
struct Parts {
    inbounds: Renewed<RunningInbound>,
    certificates: Vec<Reread>,
    outbounds: Renewed<RunningOutbound>,
    portals: Renewed<RunningPortal>,
    bridges: Renewed<RunningBridge>,
    router: Arc<Router>,
}

/// An inbound that stays, and what its certificates are by now.
type Reread = (Arc<RunningInbound>, Acceptor);

/// What has taken over.
pub(super) struct Taken {
    pub(super) generation: Generation,
    pub(super) leaving: Vec<Box<dyn Leaving>>,
    pub(super) report: Report,
}

impl Generation {
    /// Nothing at all.
    pub(super) fn empty() -> Self {
        let (options, outbounds) = (RouterOptions::default(), Arc::default());
        Self {
            inbounds: Vec::new(),
            outbounds: Vec::new(),
            portals: Vec::new(),
            bridges: Vec::new(),
            metrics: None,
            router: Arc::new(Router::new(options, outbounds)),
            log: LogPlan::default(),
            drain: Duration::ZERO,
        }
    }
}

impl Next {
    /// Does all that may fail.
    ///
    /// # Errors
    /// See [`StartError`]; nothing of what runs is another for it.
    pub(super) fn prepare(
        running: &Generation,
        plan: Plan,
        house: &House,
    ) -> Result<Self, StartError> {
        let (log, drain, metrics) = (plan.log.clone(), plan.drain, plan.metrics.clone());
        let parts = Parts::renew(running, plan, house)?;
        let access = renew_access(&running.log.access, &log.access, &house.access)?;
        let generation = Generation {
            inbounds: parts.inbounds.all.clone(),
            outbounds: parts.outbounds.all.clone(),
            portals: parts.portals.all.clone(),
            bridges: parts.bridges.all.clone(),
            metrics: renew_metrics(running.metrics.as_ref(), metrics, house)?,
            router: parts.router.clone(),
            log,
            drain,
        };
        Ok(Self {
            report: parts.report(running, &generation),
            generation,
            parts,
            access,
        })
    }

    /// Takes over, which cannot fail. The rules go first, so that whoever comes
    /// by what is new meets those that know of it.
    pub(super) fn take_over(mut self, house: &House) -> Taken {
        house.census.route_by(&self.generation.router);
        house.router.set(self.generation.router.clone());
        replace_access(&house.access, self.access.take());
        self.parts
            .inbounds
            .new
            .iter()
            .for_each(|new| new.part.open());
        for inbound in &self.parts.inbounds.gone {
            inbound.stop_accepting();
            inbound.give_way(self.parts.inbounds.new.iter().map(|new| &*new.part));
        }
        let bridges = self.parts.bridges.new.iter();
        bridges.for_each(|new| new.part.bridge().begin());
        let reread = self.parts.certificates.iter();
        self.report.certificates = reread.map(|(inbound, read)| inbound.adopt(read)).sum();
        Taken {
            leaving: self.parts.leaving(),
            generation: self.generation,
            report: self.report,
        }
    }
}

impl Parts {
    fn renew(running: &Generation, plan: Plan, house: &House) -> Result<Self, StartError> {
        let common = common(&plan, house);
        let outbounds = renew_outbounds(&running.outbounds, plan.outbounds, &plan.mux, house)?;
        let portals = Renewed::try_new(
            &running.portals,
            plan.portals,
            RunningPortal::is,
            |options, leaving| RunningPortal::new(options, leaving, house),
        )?;
        let manager = manager(&outbounds.all, &portals.all)?;
        let router = Arc::new(running.router.successor(plan.router, manager));
        let bridges = Renewed::try_new(
            &running.bridges,
            plan.bridges,
            |bridge, options| bridge.is(options, &router),
            |options, _| RunningBridge::prepare(options, &router, house),
        )?;
        let inbounds = renew_inbounds(&running.inbounds, plan.inbounds, &common)?;
        Ok(Self {
            certificates: reread(&inbounds)?,
            inbounds,
            outbounds,
            portals,
            bridges,
            router,
        })
    }

    fn report(&self, before: &Generation, after: &Generation) -> Report {
        let listen = |generation: &Generation| generation.metrics.as_ref().map(|m| m.listen);
        Report {
            inbounds: self.inbounds.changes(),
            outbounds: self.outbounds.changes(),
            portals: self.portals.changes(),
            bridges: self.bridges.changes(),
            rules: before.router.options() != after.router.options(),
            log: before.log != after.log,
            drain: before.drain != after.drain,
            metrics: listen(before) != listen(after),
            certificates: 0,
        }
    }

    /// Visitors leave in front of what they use.
    fn leaving(&self) -> Vec<Box<dyn Leaving>> {
        let mut all: Vec<Box<dyn Leaving>> = Vec::new();
        for inbound in &self.inbounds.gone {
            let portals = self.portals.all.iter().chain(&self.portals.gone);
            all.push(Box::new(LeavingInbound {
                inbound: inbound.clone(),
                portals: portals.cloned().collect(),
            }));
        }
        for bridge in &self.bridges.gone {
            all.push(Box::new(LeavingBridge {
                successor: self.bridges.successor_of(bridge).cloned(),
                bridge: bridge.clone(),
            }));
        }
        for portal in &self.portals.gone {
            all.push(Box::new(LeavingPortal {
                successor: self.portals.successor_of(portal).cloned(),
                portal: portal.clone(),
            }));
        }
        for outbound in &self.outbounds.gone {
            all.push(Box::new(LeavingOutbound(outbound.clone())));
        }
        all
    }
}

/// The outbounds of a configuration, in its order, and its portals.
fn manager(
    outbounds: &[Arc<RunningOutbound>],
    portals: &[Arc<RunningPortal>],
) -> Result<Arc<OutboundManager>, StartError> {
    let manager = OutboundManager::new();
    for outbound in outbounds {
        manager.add_handler(outbound.outbound().clone())?;
    }
    for portal in portals {
        manager.add_extra_handler(portal.portal().outbound())?;
    }
    Ok(Arc::new(manager))
}

/// What is the same for all inbounds.
fn common(plan: &Plan, house: &House) -> Common {
    Common {
        limits: plan.listeners,
        carriers: plan.mux.clone(),
        dispatcher: house.router.clone(),
        access: house.access.clone(),
        census: house.census.clone(),
        timer: house.timer.clone(),
    }
}

fn renew_outbounds(
    running: &[Arc<RunningOutbound>],
    plans: Vec<OutboundPlan>,
    carriers: &CarrierOptions,
    house: &House,
) -> Result<Renewed<RunningOutbound>, StartError> {
    Renewed::try_new(
        running,
        plans,
        |outbound, plan| outbound.is(plan, carriers),
        |plan, _| {
            let counted = house.census.enter(Kind::Outbound, &plan.tag, carriers);
            RunningOutbound::new(plan, counted, house)
        },
    )
}

fn renew_inbounds(
    running: &[Arc<RunningInbound>],
    plans: Vec<InboundPlan>,
    common: &Common,
) -> Result<Renewed<RunningInbound>, StartError> {
    let mut handover = Handover::default();
    Renewed::try_new(
        running,
        plans,
        |inbound, plan| inbound.is(plan, common),
        |plan, leaving| RunningInbound::prepare(plan, common, leaving, &mut handover),
    )
}

/// Of inbounds that stay; the others have just read theirs.
fn reread(inbounds: &Renewed<RunningInbound>) -> Result<Vec<Reread>, StartError> {
    let is_new = |inbound: &Arc<RunningInbound>| {
        let mut new = inbounds.new.iter();
        new.any(|new| Arc::ptr_eq(&new.part, inbound))
    };
    let kept = inbounds.all.iter().filter(|inbound| !is_new(inbound));
    kept.map(|inbound| Ok((inbound.clone(), inbound.read_certificates()?)))
        .collect()
}

/// Where it is by what runs.
///
/// # Errors
/// [`StartError::AccessLog`].
pub(super) fn reopen_access(running: &Generation, house: &House) -> Result<(), StartError> {
    let target = &running.log.access;
    let log = renew_access(target, target, &house.access)?;
    replace_access(&house.access, log);
    Ok(())
}

fn renew_metrics(
    running: Option<&Arc<RunningMetrics>>,
    plan: Option<MetricsPlan>,
    house: &House,
) -> Result<Option<Arc<RunningMetrics>>, StartError> {
    let Some(plan) = plan else {
        return Ok(None);
    };
    if let Some(same) = running.filter(|running| running.listen == plan.listen) {
        return Ok(Some(same.clone()));
    }
    let server = MetricsServer::start(plan.listen, house.census.clone());
    let server = server.map_err(|e| inbounds::cannot_listen(plan.place, plan.listen, &e))?;
    Ok(Some(Arc::new(RunningMetrics {
        listen: plan.listen,
        server,
    })))
}

/// A file is opened anew in any case: it may have been renamed.
fn renew_access(
    before: &LogTarget,
    target: &LogTarget,
    running: &AccessSwitch,
) -> Result<Option<Arc<AccessLog>>, StartError> {
    match target {
        LogTarget::Console if before == target => Ok(running.current()),
        target => {
            let log = AccessLog::open(target).map_err(StartError::AccessLog)?;
            Ok(log.map(Arc::new))
        }
    }
}

/// Closes the one before, if it is another.
fn replace_access(access: &AccessSwitch, log: Option<Arc<AccessLog>>) {
    let same = match (&access.current(), &log) {
        (Some(before), Some(log)) => Arc::ptr_eq(before, log),
        _ => false,
    };
    if let Some(before) = access.set(log).filter(|_| !same) {
        before.close();
    }
}
