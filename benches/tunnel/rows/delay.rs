//! How long small things take.

use super::{EVERYONE, Order, Plan, rounds};
use crate::{
    common::{bulk::Bulk, failure::Failure, ping::Pinger, service::Source, spread::percentile},
    extent::Extent,
    figure::{Better, Line},
    load::visits,
    peer::Peer,
    process::Path,
    tunnel::Tunnel,
};

pub const IDLE: Plan = Plan {
    name: "ping",
    peers: EVERYONE,
    lines: |_| {
        vec![
            time("64-byte ping, p50").floor(Peer::V2ray, 1.4),
            time("64-byte ping, p99"),
            time("new connection to first byte, p50"),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| idle(&Path::PLAIN, peer, extent),
};

pub const BUSY: Plan = Plan {
    name: "busy-ping",
    peers: EVERYONE,
    lines: |_| {
        vec![
            time("ping beside one stream down, p50"),
            time("ping beside one stream down, p99"),
            Line::new("that stream", "MB/s", Better::More),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: busy,
};

pub(super) fn time(what: &str) -> Line {
    Line::new(what, "us", Better::Less)
}

/// Pings in the middle and the slowest but a hundredth, and the first byte of a
/// new connection in the middle.
pub(super) fn idle(path: &Path, peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let tunnel = Tunnel::start_on(path, peer, &[])?;
    let door = tunnel.crowd_door();
    let pings = Pinger::enter(door)?.pings(extent.pinging)?;
    let visits = visits::times(door, extent.visits)?;
    Ok(vec![
        percentile(&pings, 0.5) * 1e3,
        percentile(&pings, 0.99) * 1e3,
        percentile(&visits, 0.5) * 1e3,
    ])
}

fn busy(peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let source = Source::endless();
    let tunnel = Tunnel::start(peer, &[source.address()])?;
    let mut pinger = Pinger::enter(tunnel.crowd_door())?;
    let bulk = Bulk::download(tunnel.door(source.address()))?;
    let (rate, pings) = pinger.beside(&bulk, extent.pinging)?;
    Ok(vec![
        percentile(&pings, 0.5) * 1e3,
        percentile(&pings, 0.99) * 1e3,
        rate,
    ])
}
