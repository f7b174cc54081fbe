//! Plans of outbounds to outbounds.

use std::sync::Arc;

use super::StartError;
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

/// The outbound that a plan describes, with mux around it if it says so, on
/// carriers with the settings of `carrier`.
pub(super) fn build(
    plan: OutboundPlan,
    carrier: &CarrierOptions,
    timer: &Timer,
) -> Result<Arc<dyn Outbound>, StartError> {
    let mux = plan.mux;
    let dialer = dialer(&plan)?;
    let outbound = build_proxy(plan, dialer, timer);
    Ok(match mux {
        Some(mux) => Arc::new(with_mux(outbound, mux, carrier.clone(), timer)),
        None => outbound,
    })
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
