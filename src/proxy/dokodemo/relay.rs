use std::io;
use std::net::SocketAddr;

use super::InboundOptions;
use crate::link::{DispatchError, Link};
use crate::net::{Destination, Network, Origin};
use crate::proxy::InboundContext;
use crate::transport::udp::{FlowLimits, Flows, Seat, Service, bind};

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
    let flows = prepare_udp(ctx, options, Seat::New(bind(local)?))?;
    flows.open();
    Ok(flows)
}

/// As [`start_udp`], where the socket is there already, and up to the moment
/// when it is [opened](Flows::open).
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
