//! Parts that a configuration does not have any more, while somebody still
//! uses them.

use std::sync::Arc;

use super::inbounds::RunningInbound;
use super::outbounds::RunningOutbound;
use super::part::Part;
use super::tunnels::{RunningBridge, RunningPortal};
use crate::mux::Left;

/// A part that is to go once nobody uses it.
pub(super) trait Leaving: Send + Sync {
    /// What it is, for the log.
    fn name(&self) -> String;

    /// Whether what replaces it does its work already.
    fn may_begin(&self) -> bool {
        true
    }

    /// Takes on nothing new, asks peers to go elsewhere, and says what is left
    /// that uses it. To be called until that is nothing.
    fn drain(&self, with_handshakes: bool) -> Left;

    /// Connections of inbounds that are its carriers.
    fn carriers(&self) -> usize {
        0
    }

    /// Ends what is left, and waits for the threads.
    fn close(&self);
}

/// An inbound, and the portals whose bridges may have come by it.
pub(super) struct LeavingInbound {
    pub(super) inbound: Arc<RunningInbound>,
    pub(super) portals: Vec<Arc<RunningPortal>>,
}

impl Leaving for LeavingInbound {
    fn name(&self) -> String {
        format!("inbound [{}]", self.inbound.tag())
    }

    fn drain(&self, with_handshakes: bool) -> Left {
        for portal in &self.portals {
            portal.portal().drain_arrivals(self.inbound.mark());
        }
        self.inbound.drain(with_handshakes)
    }

    fn close(&self) {
        self.inbound.close();
    }
}

/// An outbound.
pub(super) struct LeavingOutbound(pub(super) Arc<RunningOutbound>);

impl Leaving for LeavingOutbound {
    fn name(&self) -> String {
        format!("outbound [{}]", self.0.tag())
    }

    fn drain(&self, _: bool) -> Left {
        Left {
            connections: self.0.busy(),
            carriers: 0,
        }
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A portal, and the one in its place.
pub(super) struct LeavingPortal {
    pub(super) portal: Arc<RunningPortal>,
    pub(super) successor: Option<Arc<RunningPortal>>,
}

impl LeavingPortal {
    /// The successor's visitors go by these bridges until it has one.
    fn is_needed(&self) -> bool {
        let successor = self.successor.as_ref();
        successor.is_some_and(|successor| successor.portal().carriers() == 0)
    }
}

impl Leaving for LeavingPortal {
    fn name(&self) -> String {
        format!("portal [{}]", self.portal.tag())
    }

    fn drain(&self, _: bool) -> Left {
        let portal = self.portal.portal();
        portal.drain();
        Left {
            connections: portal.visitors(),
            carriers: match self.is_needed() {
                true => portal.carriers(),
                false => 0,
            },
        }
    }

    fn carriers(&self) -> usize {
        self.portal.portal().carriers()
    }

    fn close(&self) {
        self.portal.portal().close();
    }
}

/// A bridge, and the one in its place.
pub(super) struct LeavingBridge {
    pub(super) bridge: Arc<RunningBridge>,
    pub(super) successor: Option<Arc<RunningBridge>>,
}

impl Leaving for LeavingBridge {
    fn name(&self) -> String {
        format!("bridge [{}]", self.bridge.tag())
    }

    /// As long as this one can be reached and the other cannot, visitors need
    /// it.
    fn may_begin(&self) -> bool {
        let successor = self.successor.as_ref();
        successor.is_none_or(|successor| successor.bridge().is_up())
            || !self.bridge.bridge().is_up()
    }

    fn drain(&self, _: bool) -> Left {
        self.bridge.drain()
    }

    fn close(&self) {
        self.bridge.bridge().close();
    }
}
