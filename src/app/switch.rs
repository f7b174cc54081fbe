//! What stays the same for those who use it, while what is behind it changes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;

use super::access::AccessLog;
use crate::link::{Access, DispatchError, Dispatcher, Link, Request};
use crate::router::Router;

/// The router of the configuration that is in force. A request meets one of
/// them from its beginning to its end.
pub(super) struct RouterSwitch(RwLock<Arc<Router>>);

impl RouterSwitch {
    pub(super) fn new(router: Arc<Router>) -> Self {
        Self(RwLock::new(router))
    }

    pub(super) fn set(&self, router: Arc<Router>) {
        let before = std::mem::replace(&mut *self.0.write(), router);
        drop(before);
    }

    fn current(&self) -> Arc<Router> {
        self.0.read().clone()
    }
}

impl Dispatcher for RouterSwitch {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        self.current().dispatch(request, link)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.current().connect(request)
    }
}

/// The access log that is in force, if any.
#[derive(Default)]
pub(super) struct AccessSwitch(RwLock<Option<Arc<AccessLog>>>);

impl AccessSwitch {
    /// Returns the one before.
    pub(super) fn set(&self, log: Option<Arc<AccessLog>>) -> Option<Arc<AccessLog>> {
        std::mem::replace(&mut *self.0.write(), log)
    }

    pub(super) fn current(&self) -> Option<Arc<AccessLog>> {
        self.0.read().clone()
    }
}

impl Access for AccessSwitch {
    fn accepted(&self, request: &Request, outbound: &str) {
        if let Some(log) = self.current() {
            log.accepted(request, outbound);
        }
    }

    fn rejected(&self, source: Option<SocketAddr>, reason: &str) {
        if let Some(log) = self.current() {
            log.rejected(source, reason);
        }
    }
}

impl fmt::Debug for AccessSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessSwitch")
    }
}
