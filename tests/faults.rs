//! Faults of everything around: whole programs at both ends of a tunnel, and
//! what is between them, below them or they themselves fail. In all of it a
//! stream ends whole or with an error, never short without one, and never with
//! bytes of another stream.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/lanes.rs"]
mod lanes;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/logs.rs"]
mod logs;
#[path = "faults/orders.rs"]
mod orders;
#[path = "faults/positions.rs"]
mod positions;
#[path = "faults/restarts.rs"]
mod restarts;
#[allow(dead_code)] // the layers' test uses the rest of it
#[path = "layers/scan.rs"]
mod scan;
mod support;

use lanes::{
    Pairing,
    Shape::{Forward, Reverse},
};
use load::Side::{Far, Near};
use support::{
    program::Kind::{Muxcool, V2ray},
    relay::{Fault, Way},
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

/// With V2Ray for one of ours.
const fn far_v2ray(pairing: Pairing) -> Pairing {
    Pairing {
        far: V2ray,
        ..pairing
    }
}

const fn near_v2ray(pairing: Pairing) -> Pairing {
    Pairing {
        near: V2ray,
        ..pairing
    }
}

macro_rules! faults {
    ($($group:ident { $($name:ident: $scenario:ident::$function:ident($($argument:expr),*);)* })*) => {$(
        mod $group {
            use super::*;

            $(
                #[test]
                fn $name() {
                    $scenario::$function($($argument),*);
                }
            )*
        }
    )*};
}

faults! {
    // With V2Ray, which takes its time over each, at some: its bridge waits
    // before it dials again, and so whoever cuts its carriers waits, too. All
    // of them take minutes: MUXCOOL_EVERY_CUT=1 is for those who have these.
    carrier_cut_at_every_byte {
        forward_us_us: positions::of_a_forward_tunnel(FORWARD, 1);
        forward_us_v2ray: positions::of_a_forward_tunnel(far_v2ray(FORWARD), 1);
        forward_v2ray_us: positions::of_a_forward_tunnel(near_v2ray(FORWARD), 3);
        reverse_us_us: positions::of_a_reverse_tunnel(REVERSE, 1);
        reverse_us_v2ray: positions::of_a_reverse_tunnel(far_v2ray(REVERSE), 7);
    }

    carrier_of_single_bytes {
        reverse_us_us: load::a_carrier_of_single_bytes(REVERSE);
        reverse_us_v2ray: load::a_carrier_of_single_bytes(far_v2ray(REVERSE));
        reverse_v2ray_us: load::a_carrier_of_single_bytes(near_v2ray(REVERSE));
        forward_us_us: load::a_carrier_of_single_bytes(FORWARD);
    }

    carrier_under_busy_streams {
        resets: load::a_carrier_suffers(REVERSE, Fault::Reset, Way::There);
        resets_under_v2ray: load::a_carrier_suffers(far_v2ray(REVERSE), Fault::Reset, Way::There);
        ends: load::a_carrier_suffers(REVERSE, Fault::Fin, Way::There);
        half_closes_there: load::a_carrier_suffers(REVERSE, Fault::HalfClose, Way::There);
        half_closes_back: load::a_carrier_suffers(REVERSE, Fault::HalfClose, Way::Back);
        is_not_read_there: load::a_carrier_suffers(REVERSE, Fault::Stop, Way::There);
        is_not_read_back: load::a_carrier_suffers(REVERSE, Fault::Stop, Way::Back);
        falls_silent: load::a_carrier_suffers(REVERSE, Fault::Freeze, Way::There);
        falls_silent_forward: load::a_carrier_suffers(FORWARD, Fault::Freeze, Way::There);
    }

    program_under_busy_streams {
        portal_is_killed: load::an_end_is_killed(REVERSE, Near);
        bridge_is_killed: load::an_end_is_killed(REVERSE, Far);
        mux_client_is_killed: load::an_end_is_killed(FORWARD, Near);
        mux_server_is_killed: load::an_end_is_killed(FORWARD, Far);
        portal_of_v2ray_is_killed: load::an_end_is_killed(near_v2ray(REVERSE), Near);
        bridge_of_v2ray_is_killed: load::an_end_is_killed(far_v2ray(REVERSE), Far);
        portal_is_frozen: load::an_end_is_frozen(REVERSE, Near);
        bridge_is_frozen: load::an_end_is_frozen(REVERSE, Far);
        portal_is_frozen_shortly: load::a_short_freeze_harms_nobody(REVERSE, Near);
        bridge_is_frozen_shortly: load::a_short_freeze_harms_nobody(REVERSE, Far);
    }
    logs_that_cannot_be_written {
        files_on_a_full_disk: logs::files_on_a_full_disk();
        terminals_on_a_full_disk: logs::terminals_on_a_full_disk();
        closed_descriptors: logs::closed_descriptors();
        pipes_that_nobody_reads: logs::pipes_that_nobody_reads();
        pipes_that_are_full: logs::pipes_that_are_full();
    }

    clock_that_jumps {
        nothing_but_log_lines_goes_by_the_time_of_day:
            clock::nothing_but_log_lines_goes_by_the_time_of_day();
    }

    restarts_in_a_row {
        of_a_bridge: restarts::leave_nothing_in_the_other_program(Far, 10);
        of_a_portal: restarts::leave_nothing_in_the_other_program(Near, 4);
    }
}
