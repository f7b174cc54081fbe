use super::InboundOptions;
use crate::link::Link;
use crate::net::{Destination, Network};
use crate::proxy::{self, InboundContext, ProxyError};
use crate::transport::tcp::{Visitor, split};

/// Takes every TCP connection to one target. Nothing is read before, so
/// servers that speak first work.
pub struct Inbound {
    context: InboundContext,
    target: Destination,
}

impl Inbound {
    /// An inbound for the target of `options`.
    pub fn new(context: InboundContext, options: &InboundOptions) -> Self {
        let target = Destination::new(Network::Tcp, options.address.clone(), options.port);
        Self { context, target }
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Visitor) -> Result<(), ProxyError> {
        let request = self.context.request(self.target.clone(), visitor.source);
        let (reader, writer) = split(visitor.stream, Some(&self.context.idle));
        let link = Link::new(reader, writer);
        Ok(self.context.dispatcher.dispatch(&request, link)?)
    }
}
