//! What flows when as much flows as can.

use std::{thread, time::Instant};

use super::{EVERYONE, Order, Plan, rounds};
use crate::{
    common::{
        bulk::Bulk,
        failure::Failure,
        service::{Sink, Source},
    },
    extent::Extent,
    figure::{Better, Line},
    load::flood::Flood,
    peer::Peer,
    process::Path,
    tunnel::Tunnel,
    usage::{self, Switches},
};

pub const DOWN: Plan = Plan {
    name: "down",
    peers: EVERYONE,
    lines: |_| {
        let rate = rate("one stream down").floor(Peer::V2ray, 1.5);
        vec![
            rate.floor(Peer::Relays, 0.85),
            processor_time().floor(Peer::V2ray, 1.8),
            Line::new("context switches a MB", "", Better::Less).digits(1),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| down(&Path::PLAIN, peer, extent),
};

pub const UP: Plan = Plan {
    name: "up",
    peers: EVERYONE,
    lines: |_| {
        let rate = rate("one stream up").floor(Peer::V2ray, 1.4);
        vec![rate.floor(Peer::Relays, 0.85)]
    },
    rounds,
    order: Order::InTurn,
    measure: up,
};

pub const EIGHT: Plan = Plan {
    name: "eight",
    peers: EVERYONE,
    lines: |_| vec![rate("8 streams down").floor(Peer::V2ray, 1.8)],
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| flood(peer, extent, 8),
};

pub const MANY: Plan = Plan {
    name: "sixty-four",
    peers: EVERYONE,
    lines: |_| vec![rate("64 streams down")],
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| flood(peer, extent, 64),
};

pub(super) fn rate(what: &str) -> Line {
    Line::new(what, "MB/s", Better::More)
}

pub(super) fn processor_time() -> Line {
    Line::new("processor time a GB", "s", Better::Less).digits(2)
}

/// Rate, processor time and context switches of one stream.
pub(super) fn down(path: &Path, peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let source = Source::endless();
    let tunnel = Tunnel::start_on(path, peer, &[source.address()])?;
    let bulk = Bulk::download(tunnel.door(source.address()))?;
    let pids = tunnel.pids();
    let switches = Switches::of(&pids);
    let (start, bytes) = (Instant::now(), bulk.arrived());
    let seconds = usage::processor_seconds(&pids);
    thread::sleep(extent.window);
    let megabytes = (bulk.arrived() - bytes) as f64 / 1e6;
    let took = start.elapsed().as_secs_f64();
    let seconds = usage::processor_seconds(&pids) - seconds;
    let switches = switches.until(&Switches::of(&pids)).all();
    Ok(vec![
        megabytes / took,
        seconds / megabytes * 1e3,
        switches / megabytes,
    ])
}

fn up(peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let sink = Sink::start();
    let tunnel = Tunnel::start(peer, &[sink.address()])?;
    let bulk = Bulk::upload(tunnel.door(sink.address()), sink.arrived())?;
    Ok(vec![bulk.rate(extent.window)])
}

fn flood(peer: Peer, extent: &Extent, streams: usize) -> Result<Vec<f64>, Failure> {
    let tunnel = Tunnel::start(peer, &[])?;
    let flood = Flood::start(tunnel.crowd_door(), streams)?;
    thread::sleep(extent.warming);
    let rate = flood.rate(extent.window);
    flood.check()?;
    Ok(vec![rate])
}
