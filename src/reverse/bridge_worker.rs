use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use log::{debug, info};

use super::control::{Control, State};
use super::is_control_domain;
use crate::error::chain;
use crate::link::{DispatchError, Dispatcher, Link, Request};
use crate::mux::{CarrierOptions, Left, ServerWorker};
use crate::net::Network;

/// A carrier to the portal, as its bridge sees it: a mux server, and what the
/// portal says of it in the control session.
#[derive(Debug)]
pub(super) struct BridgeWorker {
    server: ServerWorker,
    state: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Set once, never taken back (A41).
    draining: AtomicBool,
    /// The first datagram session, if it is the control session: the portal
    /// opens that before anything else (A38).
    control: OnceLock<Option<u32>>,
}

impl BridgeWorker {
    /// Starts a worker on a link that was opened to the portal's domain.
    /// `changed` is called, without waiting, when the worker is not active any
    /// more.
    pub(super) fn start(
        mut link: Link,
        dispatcher: Arc<dyn Dispatcher>,
        origin: Request,
        options: &CarrierOptions,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, DispatchError> {
        // The portal speaks first on this link, so nothing else would take a
        // proxy's request header along.
        link.writer.flush()?;
        let state = Arc::new(Shared::default());
        let changed = Arc::new(changed);
        let sessions = Arc::new(Sessions {
            dispatcher,
            state: state.clone(),
            changed: changed.clone(),
        });
        let server = ServerWorker::start_with(link, sessions, origin, options, move || changed())?;
        Ok(Self { server, state })
    }

    /// Whether the portal may open sessions on it for some time to come.
    pub(super) fn is_active(&self) -> bool {
        !self.server.is_closed() && !self.is_draining()
    }

    /// Whether the portal has said that it wants another in its place.
    pub(super) fn is_draining(&self) -> bool {
        self.state.draining.load(Ordering::Relaxed)
    }

    /// Whether the portal has been silent for too long.
    pub(super) fn is_suspect(&self) -> bool {
        self.server.is_suspect()
    }

    /// Whether the carrier has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.server.is_closed()
    }

    /// Whether the portal has said anything on it.
    pub(super) fn was_taken(&self) -> bool {
        self.state.control.get().is_some()
    }

    /// Sessions open now, the control session among them.
    pub(super) fn active_connections(&self) -> usize {
        self.server.active_connections() as usize
    }

    /// Notes that the portal means to use it no more.
    pub(super) fn retire(&self) {
        self.server.retire();
    }

    /// Asks the portal for no more sessions, and says what is left of it; see
    /// [`ServerWorker::drain`].
    pub(super) fn drain(&self) -> Left {
        self.server.drain()
    }

    /// Ends the carrier and waits for its threads.
    pub(super) fn close(&self) {
        self.server.close();
    }
}

/// Takes the portal's sessions further, and the control session in.
struct Sessions<F> {
    dispatcher: Arc<dyn Dispatcher>,
    state: Arc<Shared>,
    changed: Arc<F>,
}

impl<F: Fn() + Send + Sync> Dispatcher for Sessions<F> {
    fn opening(&self, request: &Request) -> bool {
        if request.target.network == Network::Udp {
            let control = is_control(request).then_some(request.id);
            if self.state.control.set(control).is_ok() {
                let tag = &request.inbound;
                info!("bridge {tag}: carrier to the portal is up");
            }
        }
        self.state.control.get() == Some(&Some(request.id))
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        match is_control(request) {
            true => self.control(request, link),
            false => self.dispatcher.dispatch(request, link),
        }
    }

    fn connect(&self, _request: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("carriers bring their own links"))
    }
}

impl<F: Fn() + Send + Sync> Sessions<F> {
    /// One control session a carrier, for datagrams: whatever else asks for
    /// the name is not the portal (A38), and must not be looked up outside.
    fn control(&self, request: &Request, mut link: Link) -> Result<(), DispatchError> {
        if self.state.control.get() != Some(&Some(request.id)) {
            return Err(DispatchError::Refused(
                "only the first datagram session of a carrier is the portal's own",
            ));
        }
        while let Some(message) = link.reader.read()? {
            match Control::decode(message.as_slice()) {
                Ok(control) => self.obey(&control),
                Err(e) => debug!("control message skipped: {}", chain(&e)),
            }
        }
        link.writer.close()?;
        Ok(())
    }

    fn obey(&self, control: &Control) {
        let drain = control.state() != State::Active;
        if drain && !self.state.draining.swap(true, Ordering::Relaxed) {
            (self.changed)();
        }
    }
}

/// Whether somebody asks for what only the portal may.
fn is_control(request: &Request) -> bool {
    let name = request.target.address.domain();
    name.is_some_and(is_control_domain)
}
