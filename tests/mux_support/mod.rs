//! What the tests of the mux core share: in-memory links that can stall, cut
//! and split, peers that speak raw frames, and targets for a server.

#[path = "../support/tasks.rs"]
pub mod tasks;

pub mod delay;
pub mod frames;
pub mod logs;
pub mod party;
pub mod recorder;
pub mod rig;
pub mod scene;
pub mod speaker;
pub mod stuck;
pub mod targets;
pub mod time;
pub mod wire;

use muxcool::net::Destination;

/// A stream's destination that nobody dials.
pub fn tcp() -> Destination {
    Destination::tcp("192.0.2.1", 80).unwrap()
}

/// The same for datagrams.
pub fn udp() -> Destination {
    Destination::udp("192.0.2.1", 53).unwrap()
}

/// Bytes that tell where they belong and at which offset they stand: no two
/// keys agree in any eight bytes at the same offset.
pub fn keyed(key: u64, offset: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| {
        let word = key
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add((at as u64 / 8).wrapping_mul(0xd1b5_4a32_d192_ed03));
        word.to_be_bytes()[at % 8]
    };
    (offset..offset + len).map(byte).collect()
}
