use std::io;

use log::warn;

use super::{InboundOptions, wire};
use crate::link::{DispatchError, Link};
use crate::net::{Destination, Network, Origin};
use crate::proxy::InboundContext;
use crate::transport::udp::{FlowLimits, Flows, Seat, Service};

/// The datagram side of a SOCKS inbound, at the address of its listener, as UDP
/// ASSOCIATE promises, up to the moment when it is [opened](Flows::open).
///
/// As in the reference, datagrams need no association and carry no password:
/// whoever can reach the port can use it. The log says so when streams do need
/// one.
///
/// # Errors
/// When the thread cannot be started.
pub fn prepare_udp(
    ctx: InboundContext,
    options: &InboundOptions,
    seat: Seat<'_>,
) -> io::Result<Flows> {
    if options.accounts.is_some() {
        warn!("[{}] passwords do not guard SOCKS over UDP", ctx.tag);
    }
    let (tag, idle) = (ctx.tag.clone(), ctx.idle.clone());
    Flows::prepare(seat, &tag, &idle, FlowLimits::default(), Relay { ctx })
}

struct Relay {
    ctx: InboundContext,
}

/// Replies carry the address that was asked for, so that a client that used a
/// name recognises them.
impl Service for Relay {
    fn open<'a>(&self, datagram: &'a [u8]) -> Option<(Destination, &'a [u8])> {
        let datagram = wire::read_datagram(datagram).ok()?;
        let target = Destination::new(Network::Udp, datagram.address, datagram.port);
        Some((target, datagram.payload))
    }

    fn reply_header(&self, target: &Destination) -> Vec<u8> {
        wire::datagram_header(&target.address, target.port)
    }

    fn serve(&self, origin: Origin, target: Destination, link: Link) -> Result<(), DispatchError> {
        let request = self.ctx.request(target, origin);
        self.ctx.dispatcher.dispatch(&request, link)
    }
}
