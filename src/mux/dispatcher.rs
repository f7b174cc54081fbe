use std::sync::Arc;

use super::{CarrierOptions, ServerWorker};
use crate::limits::MUX_DOMAIN;
use crate::link::{DispatchError, Dispatcher, Link, Request};

/// Serves requests for `v1.mux.cool` as mux carriers, and passes all others
/// on (section 6). What the carriers' sessions ask for is passed on as it is:
/// there is no mux within mux.
pub struct MuxDispatcher {
    inner: Arc<dyn Dispatcher>,
    options: CarrierOptions,
}

impl MuxDispatcher {
    /// A dispatcher in front of `inner`; its carriers have these settings. If
    /// [they cannot](CarrierOptions::check), every carrier fails.
    pub fn new(inner: Arc<dyn Dispatcher>, options: CarrierOptions) -> Self {
        Self { inner, options }
    }
}

impl Dispatcher for MuxDispatcher {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        if request.target.address.domain() != Some(MUX_DOMAIN) {
            return self.inner.dispatch(request, link);
        }
        let (inner, origin) = (self.inner.clone(), request.clone());
        Ok(ServerWorker::serve(link, inner, origin, &self.options)?)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        self.inner.connect(request)
    }
}
