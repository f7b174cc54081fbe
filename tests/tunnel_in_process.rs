//! Whole tunnels in this process: applications made from configuration texts,
//! visitors and targets on loopback. Every scenario runs over every shape of
//! tunnel that has what it is about.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "tunnel/carriers.rs"]
mod carriers;
#[allow(dead_code)] // other tests use the rest of it
#[path = "reverse_support/cutter.rs"]
mod cutter;
#[path = "tunnel/ends.rs"]
mod ends;
#[path = "tunnel/shapes.rs"]
mod shapes;
#[path = "tunnel/start.rs"]
mod start;
mod support;
#[path = "tunnel/traffic.rs"]
mod traffic;

use shapes::Shape;
use support::config::Carrier::{Socks, Vless};

macro_rules! every_shape {
    ($($name:ident: $shape:expr, [$($group:ident),*];)*) => {$(
        mod $name {
            use super::*;

            const SHAPE: Shape = $shape;

            $($group!(SHAPE);)*
        }
    )*};
}

/// Tests of a shape, by the names of their functions.
macro_rules! tests {
    ($shape:ident, $module:ident, [$($name:ident),* $(,)?]) => {$(
        #[test]
        fn $name() {
            super::$module::$name($shape);
        }
    )*};
}

macro_rules! any {
    ($shape:ident) => {
        tests!(
            $shape,
            traffic,
            [
                parallel_streams,
                datagrams,
                banner_first,
                pages_through_the_http_proxy,
            ]
        );
        tests!(
            $shape,
            ends,
            [
                a_half_close_passes_and_the_answer_arrives_whole,
                a13_a_targets_reset_is_the_visitors,
                a13_a_visitors_reset_is_the_targets,
                a29_a_refused_target_fails_its_visitor_alone,
                closing_joins_everything_with_50_streams_open,
            ]
        );
    };
}

macro_rules! muxed {
    ($shape:ident) => {
        tests!($shape, traffic, [large_datagrams]);
        tests!(
            $shape,
            carriers,
            [
                a13_a_lost_carrier_resets_its_visitors_and_their_targets,
                the_next_visitors_work_after_the_carrier_was_lost,
                visitors_share_a_carrier,
            ]
        );
    };
}

every_shape! {
    direct: Shape::Direct, [any];
    plain_vless: Shape::Plain(Vless), [any];
    plain_socks: Shape::Plain(Socks), [any];
    forward_vless: Shape::Forward(Vless), [any, muxed];
    forward_socks: Shape::Forward(Socks), [any, muxed];
    reverse_vless: Shape::Reverse(Vless), [any, muxed];
    reverse_socks: Shape::Reverse(Socks), [any, muxed];
}
