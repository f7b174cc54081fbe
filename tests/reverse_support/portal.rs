//! A portal with scripted bridges and visitors.

use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use muxcool::limits::SESSION_PIPE;
use muxcool::link::{DispatchError, Link, Outbound, Request, pair};
use muxcool::net::Destination;
use muxcool::reverse::{Portal, PortalOptions};
use muxcool::router::OutboundManager;

use super::time::Time;
use super::{DOMAIN, assert_opens_control, carrier, plain};
use crate::mux_support::frames::{NEW, Script};
use crate::mux_support::party::Party;
use crate::mux_support::tasks::wait_until;
use crate::mux_support::tcp;

pub const TAG: &str = "portal";

/// A portal, and where it is found.
pub struct Gate {
    pub time: Time,
    pub outbounds: Arc<OutboundManager>,
    pub portal: Portal,
}

/// A bridge whose carrier a portal has.
pub struct ScriptedBridge {
    pub script: Script,
    pub served: Outcome,
}

/// Somebody whose link is being dispatched.
pub struct Visitor {
    pub party: Party,
    pub served: Outcome,
}

pub type Outcome = JoinHandle<Result<(), DispatchError>>;

impl Gate {
    pub fn new() -> Self {
        let options = PortalOptions {
            carrier: plain(),
            ..PortalOptions::new(TAG, DOMAIN)
        };
        let time = Time::new();
        let outbounds = Arc::new(OutboundManager::new());
        let portal = Portal::new(options, outbounds.clone(), &time.timer).unwrap();
        Self {
            time,
            outbounds,
            portal,
        }
    }

    pub fn outbound(&self) -> Arc<dyn Outbound> {
        self.outbounds.get(TAG).expect("the portal's outbound")
    }

    /// Gives the portal a link to `target`, on a thread.
    pub fn dispatch(&self, target: Destination, link: Link) -> Outcome {
        let outbound = self.outbound();
        spawn(move || outbound.dispatch(&Request::new(target), link))
    }

    /// A bridge comes, and is told that its carrier is in use.
    pub fn bridge(&self) -> ScriptedBridge {
        let before = self.portal.carriers();
        let (link, mut script) = Script::new();
        let served = self.dispatch(carrier(), link);
        assert_opens_control(&script.frame(), "reverse.internal.v2ray.com");
        self.wait_for_carriers(before + 1);
        ScriptedBridge { script, served }
    }

    /// A visitor comes and says `first`.
    pub fn visitor(&self, target: Destination, first: &[u8]) -> Visitor {
        let (near, far) = pair(SESSION_PIPE);
        let mut party = Party::from(near);
        if !first.is_empty() {
            party.write(first);
        }
        let served = self.dispatch(target, far);
        Visitor { party, served }
    }

    pub fn wait_for_carriers(&self, count: usize) {
        wait_until(&format!("{count} carriers"), || {
            self.portal.carriers() == count
        });
    }
}

impl ScriptedBridge {
    /// A visitor comes through this carrier; its session's id.
    pub fn take_visitor(&mut self, gate: &Gate) -> (Visitor, u16) {
        let visitor = gate.visitor(tcp(), b"");
        let new = self.script.frame();
        assert_eq!(new.status, NEW, "{new:?}");
        (visitor, new.id)
    }
}

impl Visitor {
    pub fn served(self) -> Result<(), DispatchError> {
        self.served.join().expect("no panic")
    }
}
