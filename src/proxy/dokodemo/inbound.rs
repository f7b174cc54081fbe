use super::InboundOptions;
use crate::net::{Destination, Network};
use crate::proxy::{self, InboundContext, ProxyError};
use crate::transport::stream::Connection;

/// Takes connections to one target.
///
/// Nothing is sent or read before the connection is dispatched, so protocols
/// in which the server speaks first work.
pub struct Inbound {
    ctx: InboundContext,
    target: Destination,
}

impl Inbound {
    /// An inbound that leads to the target of `options`.
    pub fn new(ctx: InboundContext, options: &InboundOptions) -> Self {
        let target = Destination::new(Network::Tcp, options.address.clone(), options.port);
        Self { ctx, target }
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError> {
        let request = self.ctx.request(self.target.clone(), visitor.origin()?);
        let link = visitor.finish(Some(&self.ctx.idle));
        Ok(self.ctx.dispatcher.dispatch(&request, link)?)
    }
}
