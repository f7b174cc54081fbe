//! Where a server's sessions go in a test.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use muxcool::link::{DispatchError, Dispatcher, Link, Request, relay};
use muxcool::net::Destination;

use super::party::Party;
use super::tasks::PATIENCE;
use super::wire::{Spec, wire};

/// How a test's target takes a session's link.
#[derive(Debug, Clone, Copy)]
pub enum Taking {
    /// The test reads and writes the session's own halves.
    ByHand,
    /// They are relayed to a wire, and the test holds its far end.
    Relayed(Spec),
}

/// A dispatcher that hands every session to the test.
pub struct Targets {
    taking: Taking,
    offer: Sender<Target>,
}

/// One session's target.
pub struct Target {
    pub request: Request,
    party: Party,
    /// Dropped with the target; dispatch returns then.
    _held: Sender<()>,
}

impl Targets {
    pub fn start(taking: Taking) -> (Arc<dyn Dispatcher>, Receiver<Target>) {
        let (offer, targets) = unbounded();
        (Arc::new(Targets { taking, offer }), targets)
    }

    fn offer(&self, request: &Request, link: Link) -> Result<Receiver<()>, DispatchError> {
        let (held, released) = bounded(0);
        let target = Target {
            request: request.clone(),
            party: link.into(),
            _held: held,
        };
        match self.offer.send(target) {
            Ok(()) => Ok(released),
            Err(_) => Err(DispatchError::Refused("the test takes no more")),
        }
    }
}

impl Dispatcher for Targets {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        match self.taking {
            Taking::ByHand => {
                let released = self.offer(request, link)?;
                let _ = released.recv();
                Ok(())
            }
            Taking::Relayed(spec) => {
                let wire = wire(spec);
                self.offer(request, wire.far)?;
                Ok(relay(link, wire.near)?)
            }
        }
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("not in these tests"))
    }
}

impl Target {
    pub fn destination(&self) -> &Destination {
        &self.request.target
    }
}

impl AsMut<Party> for Target {
    fn as_mut(&mut self) -> &mut Party {
        &mut self.party
    }
}

impl Deref for Target {
    type Target = Party;

    fn deref(&self) -> &Party {
        &self.party
    }
}

impl DerefMut for Target {
    fn deref_mut(&mut self) -> &mut Party {
        &mut self.party
    }
}

/// The next session's target.
pub fn next(targets: &Receiver<Target>) -> Target {
    targets.recv_timeout(PATIENCE).expect("a session")
}

/// Dispatches by a function.
pub struct By<F>(pub F);

impl<F> Dispatcher for By<F>
where
    F: Fn(&Request, Link) -> Result<(), DispatchError> + Send + Sync,
{
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        self.0(request, link)
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("not in these tests"))
    }
}
