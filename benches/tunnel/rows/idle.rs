//! What connections cost that nobody uses.

use std::thread;

use super::{EVERYONE, MULTIPLEXERS, Order, Plan, rounds};
use crate::{
    common::failure::Failure,
    extent::Extent,
    figure::{Better, Line},
    load::visitors::Visitors,
    peer::Peer,
    tunnel::Tunnel,
    usage::{self, Switches},
};

pub const MANY: Plan = Plan {
    name: "idle-many",
    peers: MULTIPLEXERS,
    lines: |extent| {
        let [memory, threads] = lines(extent.idle[0]);
        vec![memory.floor(Peer::V2ray, 1.0), threads]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| idle(peer, extent.idle[0]),
};

pub const VERY_MANY: Plan = Plan {
    name: "idle-very-many",
    peers: MULTIPLEXERS,
    lines: |extent| lines(extent.idle[1]).into(),
    rounds: |extent| extent.rounds.min(extent.large_rounds),
    order: Order::InTurn,
    measure: |peer, extent| idle(peer, extent.idle[1]),
};

pub const QUIET: Plan = Plan {
    name: "quiet",
    peers: EVERYONE,
    lines: |extent| {
        let seconds = extent.watch.as_secs_f64();
        let what = format!("wake-ups of an idle tunnel in {seconds} s");
        vec![Line::new(what, "", Better::Less)]
    },
    rounds: |_| 1,
    order: Order::Together,
    measure: quiet,
};

fn lines(connections: usize) -> [Line; 2] {
    let memory = format!("memory, {connections} idle connections");
    let threads = format!("threads, {connections} idle connections");
    [
        Line::new(memory, "MB", Better::Less),
        Line::new(threads, "", Better::Less),
    ]
}

/// Each has passed one ping.
fn idle(peer: Peer, connections: usize) -> Result<Vec<f64>, Failure> {
    let tunnel = Tunnel::start(peer, &[])?;
    let _visitors = Visitors::enter(tunnel.crowd_door(), connections)?;
    let pids = tunnel.pids();
    Ok(vec![
        usage::resident_bytes(&pids) / 1e6,
        usage::threads(&pids),
    ])
}

/// With one connection that says nothing any more.
fn quiet(peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let tunnel = Tunnel::start(peer, &[])?;
    let _visitor = Visitors::enter(tunnel.crowd_door(), 1)?;
    let pids = tunnel.pids();
    let before = Switches::of(&pids);
    thread::sleep(extent.watch);
    let counts = before.until(&Switches::of(&pids));
    Ok(vec![counts.voluntary])
}
