//! The rows of the table, in its order.

mod bulk;
mod connections;
mod delay;
mod idle;
mod secure;

use crate::{
    common::failure::Failure, common::selection::Named, extent::Extent, figure::Line, peer::Peer,
};

pub struct Plan {
    pub name: &'static str,
    pub peers: &'static [Peer],
    pub lines: fn(&Extent) -> Vec<Line>,
    pub rounds: fn(&Extent) -> usize,
    pub order: Order,
    /// The lines' values, from a fresh tunnel.
    pub measure: fn(Peer, &Extent) -> Result<Vec<f64>, Failure>,
}

#[derive(Clone, Copy, Debug)]
pub enum Order {
    InTurn,
    Together,
}

impl Named for Plan {
    fn name(&self) -> &'static str {
        self.name
    }
}

pub const ALL: [Plan; 16] = [
    bulk::DOWN,
    bulk::UP,
    bulk::EIGHT,
    bulk::MANY,
    delay::IDLE,
    delay::BUSY,
    connections::SHORT,
    idle::MANY,
    idle::VERY_MANY,
    idle::QUIET,
    secure::TLS,
    secure::TLS_PING,
    secure::TLS_BOTH,
    secure::TLS_PACED,
    secure::VMESS,
    secure::WS,
];

const EVERYONE: &[Peer] = &[Peer::Muxcool, Peer::V2ray, Peer::Relays, Peer::Rathole];

/// Those of which each connection costs something worth comparing.
const MULTIPLEXERS: &[Peer] = &[Peer::Muxcool, Peer::V2ray];

fn rounds(extent: &Extent) -> usize {
    extent.rounds
}
