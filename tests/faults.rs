//! Faults of everything around: whole programs at both ends of a tunnel, and
//! what is between them, below them or they themselves fail. In all of it a
//! stream ends whole or with an error, never short without one, and never with
//! bytes of another stream.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "faults/lanes.rs"]
mod lanes;
#[path = "faults/orders.rs"]
mod orders;
#[path = "faults/positions.rs"]
mod positions;
mod support;

use lanes::Pairing;
use support::{
    program::Kind::{Muxcool, V2ray},
    tunnel::Shape::{Forward, Reverse},
};

const REVERSE: Pairing = Pairing {
    shape: Reverse,
    near: Muxcool,
    far: Muxcool,
};

const FORWARD: Pairing = Pairing {
    shape: Forward,
    near: Muxcool,
    far: Muxcool,
};

mod carriers_cut_at_every_byte {
    use super::*;

    #[test]
    fn forward_us_us() {
        positions::of_a_forward_tunnel(FORWARD, 1);
    }

    #[test]
    fn forward_us_v2ray() {
        positions::of_a_forward_tunnel(
            Pairing {
                far: V2ray,
                ..FORWARD
            },
            1,
        );
    }

    #[test]
    fn forward_v2ray_us() {
        positions::of_a_forward_tunnel(
            Pairing {
                near: V2ray,
                ..FORWARD
            },
            3,
        );
    }

    #[test]
    fn reverse_us_us() {
        positions::of_a_reverse_tunnel(REVERSE, 1);
    }

    #[test]
    fn reverse_us_v2ray() {
        positions::of_a_reverse_tunnel(
            Pairing {
                far: V2ray,
                ..REVERSE
            },
            3,
        );
    }
}
