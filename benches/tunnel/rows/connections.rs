//! How many short connections are served.

use super::{EVERYONE, Order, Plan, rounds};
use crate::{
    common::failure::Failure,
    extent::Extent,
    figure::{Better, Line},
    load::visits,
    peer::Peer,
    tunnel::Tunnel,
    usage,
};

/// Clients that come and go at the same time.
const CLIENTS: usize = 8;

pub const SHORT: Plan = Plan {
    name: "connections",
    peers: EVERYONE,
    lines: |_| {
        let served = Line::new("connections a second, 8 clients", "", Better::More);
        let cost = Line::new("processor time a connection", "us", Better::Less);
        vec![served.floor(Peer::V2ray, 1.3), cost]
    },
    rounds,
    order: Order::InTurn,
    measure,
};

fn measure(peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let tunnel = Tunnel::start(peer, &[])?;
    let pids = tunnel.pids();
    let seconds = usage::processor_seconds(&pids);
    let served = visits::during(tunnel.crowd_door(), CLIENTS, extent.window)?;
    let seconds = usage::processor_seconds(&pids) - seconds;
    Ok(vec![served.per_second(), seconds / served.count * 1e6])
}
