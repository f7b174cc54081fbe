use std::io;
use std::net::SocketAddr;

use super::InboundOptions;
use crate::link::{DispatchError, Link};
use crate::net::{Destination, Network, Origin};
use crate::proxy::InboundContext;
use crate::transport::udp::{Flows, Service, bind};

/// Takes datagrams that arrive at the address `local` to the target of
/// `options`: one flow for each visitor.
///
/// # Errors
/// When the address cannot be bound, or the thread cannot be started.
pub fn start_udp(
    ctx: InboundContext,
    options: &InboundOptions,
    local: SocketAddr,
) -> io::Result<Flows> {
    let socket = bind(local)?;
    let (tag, idle) = (ctx.tag.clone(), ctx.idle.clone());
    let target = Destination::new(Network::Udp, options.address.clone(), options.port);
    Flows::start(socket, &tag, &idle, Relay { ctx, target })
}

struct Relay {
    ctx: InboundContext,
    target: Destination,
}

impl Service for Relay {
    fn open<'a>(&self, datagram: &'a [u8]) -> Option<(Destination, &'a [u8])> {
        Some((self.target.clone(), datagram))
    }

    fn reply_header(&self, _: &Destination) -> Vec<u8> {
        Vec::new()
    }

    fn serve(&self, origin: Origin, target: Destination, link: Link) -> Result<(), DispatchError> {
        let request = self.ctx.request(target, origin);
        self.ctx.dispatcher.dispatch(&request, link)
    }
}
