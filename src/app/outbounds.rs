//! Plans of outbounds to outbounds.

use std::sync::Arc;

use crate::config::{MuxPlan, OutboundOptions, OutboundPlan};
use crate::limits::DEFAULT_MAX_CONNECTION;
use crate::link::Outbound;
use crate::mux::{
    CarrierOptions, ClientManager, ClientOptions, ClientStrategy, DialingWorkerFactory,
    IncrementalWorkerPicker, MuxOutbound,
};
use crate::proxy::{blackhole, freedom, socks, vless};
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
) -> Arc<dyn Outbound> {
    let mux = plan.mux;
    let outbound = build_proxy(plan, timer);
    match mux {
        Some(mux) => Arc::new(with_mux(outbound, mux, carrier.clone(), timer)),
        None => outbound,
    }
}

fn build_proxy(plan: OutboundPlan, timer: &Timer) -> Arc<dyn Outbound> {
    let (tag, handshake) = (plan.tag, plan.handshake);
    let idle = Idle {
        timer: timer.clone(),
        times: plan.idle,
    };
    let dialer = Dialer::new(plan.stream, handshake);
    match plan.options {
        OutboundOptions::Freedom(options) => {
            Arc::new(freedom::Outbound::new(tag, options, idle).over(dialer))
        }
        OutboundOptions::Blackhole(options) => Arc::new(blackhole::Outbound::new(tag, options)),
        OutboundOptions::Vless(options) => {
            observed(vless::Outbound::new(tag, options, idle).over(dialer))
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
