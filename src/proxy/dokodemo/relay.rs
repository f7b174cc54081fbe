use std::io;

use super::InboundOptions;
use crate::link::{DispatchError, Link};
use crate::net::{Destination, Network, Origin};
use crate::proxy::InboundContext;
use crate::transport::udp::{FlowLimits, Flows, Seat, Service};

/// Takes datagrams that arrive at a socket to the target of `options`, one flow for
/// each visitor, once it is [opened](Flows::open).
///
/// # Errors
/// When the thread cannot be started.
pub fn prepare_udp(
    ctx: InboundContext,
    options: &InboundOptions,
    seat: Seat<'_>,
) -> io::Result<Flows> {
    let (tag, idle) = (ctx.tag.clone(), ctx.idle.clone());
    let target = Destination::new(Network::Udp, options.address.clone(), options.port);
    let relay = Relay { ctx, target };
    Flows::prepare(seat, &tag, &idle, FlowLimits::default(), relay)
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
