//! Plans of outbounds to outbounds.

use std::sync::Arc;

use super::StartError;
use super::generation::House;
use super::listed::Listed;
use super::part::Part;
use crate::config::{ConfigError, MuxPlan, OutboundOptions, OutboundPlan};
use crate::error::chain;
use crate::limits::DEFAULT_MAX_CONNECTION;
use crate::link::Outbound;
use crate::mux::{
    CarrierOptions, ClientManager, ClientOptions, ClientStrategy, DialingWorkerFactory,
    IncrementalWorkerPicker, MuxOutbound,
};
use crate::proxy::{blackhole, freedom, socks, vless, vmess};
use crate::router::Observed;
use crate::sync::Timer;
use crate::transport::stream::Dialer;
use crate::transport::tcp::Idle;
use crate::transport::tls::Stamp;

/// An outbound at work.
pub(super) struct RunningOutbound {
    plan: OutboundPlan,
    carriers: CarrierOptions,
    /// Of the files that it has read.
    stamps: Vec<Stamp>,
    outbound: Arc<dyn Outbound>,
    mux: Option<Arc<MuxOutbound>>,
}

impl RunningOutbound {
    /// The outbound that a plan describes, with mux around it if it says so, on
    /// carriers with the settings of `carriers`.
    ///
    /// # Errors
    /// When a certificate cannot be used.
    pub(super) fn new(
        plan: OutboundPlan,
        carriers: CarrierOptions,
        house: &House,
    ) -> Result<Self, StartError> {
        let timer = &house.timer;
        let stamps = plan.stream.stamps();
        let dialer = dialer(&plan)?;
        let inner = build_proxy(plan.clone(), dialer, timer);
        let mux = plan.mux.map(|mux| {
            let muxed = with_mux(inner.clone(), mux, carriers.clone(), timer);
            Arc::new(muxed)
        });
        let outbound: Arc<dyn Outbound> = match &mux {
            Some(mux) => mux.clone(),
            None => Arc::new(Listed::new(inner, house.census.connections().clone())),
        };
        Ok(Self {
            plan,
            carriers,
            stamps,
            outbound,
            mux,
        })
    }

    /// Whether it is what the plan wants, by the files as they are now.
    pub(super) fn is(&self, plan: &OutboundPlan, carriers: &CarrierOptions) -> bool {
        let same_carriers = plan.mux.is_none() || self.carriers == *carriers;
        same_carriers && self.stamps == plan.stream.stamps() && self.plan.says_the_same_as(plan)
    }

    pub(super) fn outbound(&self) -> &Arc<dyn Outbound> {
        &self.outbound
    }

    /// Sessions on its carriers. Connections of their own need nothing of it.
    pub(super) fn busy(&self) -> usize {
        self.mux.as_ref().map_or(0, |mux| mux.busy_connections())
    }

    pub(super) fn close(&self) {
        self.outbound.close();
    }
}

impl Part for RunningOutbound {
    fn tag(&self) -> &str {
        &self.plan.tag
    }
}

/// Makes connections to the outbound's servers.
pub(super) fn dialer(plan: &OutboundPlan) -> Result<Dialer, StartError> {
    let dialer = Dialer::new(plan.stream.clone(), plan.handshake);
    Ok(dialer.map_err(|e| ConfigError::at(plan.place.clone(), chain(&e)))?)
}

fn build_proxy(plan: OutboundPlan, dialer: Dialer, timer: &Timer) -> Arc<dyn Outbound> {
    let (tag, handshake) = (plan.tag, plan.handshake);
    let idle = Idle {
        timer: timer.clone(),
        times: plan.idle,
    };
    match plan.options {
        OutboundOptions::Freedom(options) => {
            Arc::new(freedom::Outbound::new(tag, options, idle).over(dialer))
        }
        OutboundOptions::Blackhole(options) => Arc::new(blackhole::Outbound::new(tag, options)),
        OutboundOptions::Vless(options) => {
            observed(vless::Outbound::new(tag, options, idle).over(dialer))
        }
        OutboundOptions::Vmess(options) => {
            observed(vmess::Outbound::new(tag, options, idle).over(dialer))
        }
        OutboundOptions::Socks(options) => {
            let local = plan.send_through;
            let outbound = socks::Outbound::new(tag, options, idle, handshake, local);
            observed(outbound.over(dialer))
        }
    }
}

/// Balancers want to know how its servers do.
fn observed(outbound: impl Outbound + 'static) -> Arc<dyn Outbound> {
    Arc::new(Observed::new(Arc::new(outbound)))
}

fn with_mux(
    outbound: Arc<dyn Outbound>,
    plan: MuxPlan,
    carrier: CarrierOptions,
    timer: &Timer,
) -> MuxOutbound {
    let options = ClientOptions {
        strategy: ClientStrategy {
            max_concurrency: plan.concurrency,
            max_connection: DEFAULT_MAX_CONNECTION,
        },
        carrier,
        ..ClientOptions::default()
    };
    let factory = DialingWorkerFactory::new(outbound.clone(), options);
    let picker = IncrementalWorkerPicker::new(factory, timer.clone());
    MuxOutbound::new(ClientManager::new(picker), outbound)
}
