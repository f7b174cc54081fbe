//! Who makes carriers.

use std::sync::Arc;

use super::{ClientOptions, ClientWorker, MuxError};
use crate::limits::{MUX_DOMAIN, MUX_PORT};
use crate::link::{Outbound, Request};
use crate::net::Destination;

/// Makes workers, each on a carrier of its own.
pub trait ClientWorkerFactory: Send + Sync {
    /// Makes one; returns when its carrier is up.
    ///
    /// # Errors
    /// [`MuxError::Dial`], [`MuxError::Options`], [`MuxError::Thread`].
    fn create(&self) -> Result<ClientWorker, MuxError>;
}

/// Dials carriers through an outbound: it is asked for
/// `tcp:v1.mux.cool:9527`, the name that makes the other side a mux server.
pub struct DialingWorkerFactory {
    outbound: Arc<dyn Outbound>,
    options: ClientOptions,
}

impl DialingWorkerFactory {
    /// A factory for workers with these options. If they [cannot](
    /// super::CarrierOptions::check) be had, none is made.
    pub fn new(outbound: Arc<dyn Outbound>, options: ClientOptions) -> Self {
        Self { outbound, options }
    }
}

impl ClientWorkerFactory for DialingWorkerFactory {
    fn create(&self) -> Result<ClientWorker, MuxError> {
        // A context of its own: a carrier belongs to no visitor.
        let target = Destination::tcp(MUX_DOMAIN, MUX_PORT).map_err(MuxError::CarrierTarget)?;
        let request = Request::new(target);
        let link = self.outbound.connect(&request).map_err(MuxError::Dial)?;
        ClientWorker::new(link, self.options.clone())
    }
}

/// Any function that makes workers is a factory.
impl<F> ClientWorkerFactory for F
where
    F: Fn() -> Result<ClientWorker, MuxError> + Send + Sync,
{
    fn create(&self) -> Result<ClientWorker, MuxError> {
        self()
    }
}
