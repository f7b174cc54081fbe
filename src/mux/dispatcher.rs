use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{CarrierOptions, Left, MuxError, ServerWorker};
use crate::limits::MUX_DOMAIN;
use crate::link::{DispatchError, Dispatcher, Link, Request};

/// Serves requests for `v1.mux.cool` as mux carriers, and passes all others
/// on (section 6). What the carriers' sessions ask for is passed on as it is:
/// there is no mux within mux.
pub struct MuxDispatcher {
    inner: Arc<dyn Dispatcher>,
    options: CarrierOptions,
    carriers: Arc<Carriers>,
}

/// Those that are served at the moment.
type Carriers = Mutex<Vec<Weak<ServerWorker>>>;

impl MuxDispatcher {
    /// A dispatcher in front of `inner`; its carriers have these settings. If
    /// [they cannot](CarrierOptions::check), every carrier fails.
    pub fn new(inner: Arc<dyn Dispatcher>, options: CarrierOptions) -> Self {
        Self {
            inner,
            options,
            carriers: Arc::default(),
        }
    }

    /// Carriers that are served now.
    pub fn carriers(&self) -> usize {
        self.carriers.lock().len()
    }

    /// Asks the clients of all carriers for no more sessions, and says what is
    /// left; see [`ServerWorker::drain`].
    pub fn drain(&self) -> Left {
        let carriers = self.carriers.lock().clone();
        let carriers = carriers.iter().filter_map(Weak::upgrade);
        carriers.map(|carrier| carrier.drain()).sum()
    }

    /// Not inlined: everybody else would keep room for it on his stack.
    #[inline(never)]
    fn serve_carrier(&self, request: &Request, link: Link) -> Result<(), MuxError> {
        let (inner, origin) = (self.inner.clone(), request.clone());
        let list = |worker: &_| Listed::new(&self.carriers, worker);
        ServerWorker::serve_listed(link, inner, origin, &self.options, list)
    }
}

impl Dispatcher for MuxDispatcher {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        if request.target.address.domain() != Some(MUX_DOMAIN) {
            return self.inner.dispatch(request, link);
        }
        Ok(self.serve_carrier(request, link)?)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.inner.connect(request)
    }
}

/// A carrier's place in the list.
struct Listed {
    carriers: Arc<Carriers>,
    worker: Weak<ServerWorker>,
}

impl Listed {
    fn new(carriers: &Arc<Carriers>, worker: &Arc<ServerWorker>) -> Self {
        let worker = Arc::downgrade(worker);
        carriers.lock().push(worker.clone());
        Self {
            carriers: carriers.clone(),
            worker,
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut carriers = self.carriers.lock();
        carriers.retain(|other| !other.ptr_eq(&self.worker));
    }
}
