//! Plans of portals and bridges to ends of reverse tunnels.

use std::sync::Arc;

use super::StartError;
use super::generation::House;
use super::part::{Part, with_tag};
use super::status::Kind;
use crate::link::{Outbound, Request};
use crate::mux::Left;
use crate::net::Destination;
use crate::reverse::{Bridge, BridgeOptions, Portal, PortalOptions, ReverseError};
use crate::router::Router;

/// A portal at work.
pub(super) struct RunningPortal {
    options: PortalOptions,
    portal: Portal,
}

impl RunningPortal {
    /// A portal; if one of `leaving` had its tag, in place of that.
    ///
    /// # Errors
    /// When it cannot have these settings.
    pub(super) fn new(
        options: PortalOptions,
        leaving: &[Arc<Self>],
        house: &House,
    ) -> Result<Self, StartError> {
        let replaced = with_tag(leaving, &options.tag);
        let replaced = replaced.as_ref().map(|other| &other.portal);
        let census = &house.census;
        let counted = PortalOptions {
            carrier: census.enter(Kind::Portal, &options.tag, &options.carrier),
            ..options.clone()
        };
        let portal = Portal::unregistered(counted, replaced, &house.timer)?;
        Ok(Self { options, portal })
    }

    /// Whether it is as the options say.
    pub(super) fn is(&self, options: &PortalOptions) -> bool {
        self.options == *options
    }

    pub(super) fn portal(&self) -> &Portal {
        &self.portal
    }
}

impl Part for RunningPortal {
    fn tag(&self) -> &str {
        &self.options.tag
    }
}

/// A bridge at work.
pub(super) struct RunningBridge {
    options: BridgeOptions,
    /// The outbounds that its carriers may have gone by.
    ways: Vec<Arc<dyn Outbound>>,
    bridge: Bridge,
}

impl RunningBridge {
    /// A bridge that dials nothing yet.
    ///
    /// # Errors
    /// When it cannot have these settings, or there is no thread for it.
    pub(super) fn prepare(
        options: BridgeOptions,
        router: &Router,
        house: &House,
    ) -> Result<Self, StartError> {
        let census = &house.census;
        let counted = BridgeOptions {
            carrier: census.enter(Kind::Bridge, &options.tag, &options.carrier),
            ..options.clone()
        };
        let bridge = Bridge::prepare(counted, house.router.clone(), &house.timer)?;
        Ok(Self {
            ways: ways(&options, router)?,
            options,
            bridge,
        })
    }

    /// Whether it is as the options say, and its carriers go where `router`
    /// would send them.
    pub(super) fn is(&self, options: &BridgeOptions, router: &Router) -> bool {
        self.options == *options && ways(options, router).is_ok_and(|ways| same(&ways, &self.ways))
    }

    pub(super) fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    pub(super) fn drain(&self) -> Left {
        self.bridge.drain()
    }
}

impl Part for RunningBridge {
    fn tag(&self) -> &str {
        &self.options.tag
    }
}

/// The outbounds that may take a bridge's carriers.
fn ways(options: &BridgeOptions, router: &Router) -> Result<Vec<Arc<dyn Outbound>>, ReverseError> {
    let target = Destination::tcp(&options.asked(), 0).map_err(ReverseError::BadDomain)?;
    let request = Request {
        inbound: options.tag.as_str().into(),
        ..Request::new(target)
    };
    Ok(router.ways(&request))
}

fn same(some: &[Arc<dyn Outbound>], others: &[Arc<dyn Outbound>]) -> bool {
    let mut pairs = some.iter().zip(others);
    some.len() == others.len() && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
}
