//! Some visitors, whichever end stops and whoever is at the other one.

use std::{
    net::Shutdown,
    time::{Duration, Instant},
};

use super::rig::{PROMPT, Plan, Rig, Stops, Witness, end_of, is_refused, is_reset, talk};
use crate::support::{program::Kind, tunnel::Shape};

const VISITORS: u64 = 12;

/// Longer than any test takes.
const LONG: u64 = 120;

macro_rules! stops {
    ($($name:ident: $shape:ident, $stops:ident, $other:ident;)*) => {$(
        mod $name {
            use super::*;

            const PLAN: Plan = Plan {
                shape: Shape::$shape,
                stops: Stops::$stops,
                other: Kind::$other,
            };

            #[test]
            fn who_ends_in_time_gets_every_byte() {
                super::who_ends_in_time_gets_every_byte(PLAN);
            }

            #[test]
            fn who_does_not_is_reset() {
                super::who_does_not_is_reset(PLAN);
            }
        }
    )*};
}

stops! {
    portal_of_us: Reverse, Near, Muxcool;
    portal_of_v2ray: Reverse, Near, V2ray;
    bridge_of_us: Reverse, Far, Muxcool;
    bridge_of_v2ray: Reverse, Far, V2ray;
    mux_client_of_us: Forward, Near, Muxcool;
    mux_client_of_v2ray: Forward, Near, V2ray;
    mux_server_of_us: Forward, Far, Muxcool;
    mux_server_of_v2ray: Forward, Far, V2ray;
}

fn who_ends_in_time_gets_every_byte(plan: Plan) {
    let witness = Witness::start();
    let Some(mut rig) = Rig::start(plan, witness.target.address(), LONG) else {
        return;
    };
    let visitors: Vec<_> = (0..VISITORS).map(|_| rig.visit()).collect();
    for (key, visitor) in (0..).zip(&visitors) {
        talk(visitor, key, 1000).expect("before the signal");
    }
    let door = rig.door;
    rig.stopping().ask_to_stop();
    rig.stopping()
        .says(&format!("waiting for {VISITORS} connections"));
    if plan.stops == Stops::Near {
        assert!(is_refused(door), "its listeners are closed");
    }
    for (key, visitor) in (100..).zip(&visitors) {
        talk(visitor, key, 1 << 20).expect("after the signal");
    }
    rig.stopping().assert_alive();
    // All at once, for V2Ray takes seconds over each end.
    for visitor in &visitors {
        visitor.shutdown(Shutdown::Write).expect("half-close");
    }
    for mut visitor in visitors {
        end_of(&mut visitor).expect("an orderly end for the visitor");
        witness.end().expect("an orderly end for the target");
    }
    let status = rig.stopping().ends_within(PROMPT);
    assert!(status.success(), "{status}");
    rig.stopping().says("all connections have ended");
    rig.finish();
}

fn who_does_not_is_reset(plan: Plan) {
    const PATIENCE: Duration = Duration::from_secs(2);
    let witness = Witness::start();
    let Some(mut rig) = Rig::start(plan, witness.target.address(), PATIENCE.as_secs()) else {
        return;
    };
    let mut visitors: Vec<_> = (0..VISITORS).map(|_| rig.visit()).collect();
    for (key, visitor) in (0..).zip(&visitors) {
        talk(visitor, key, 1000).expect("before the signal");
    }
    let asked = Instant::now();
    rig.stopping().ask_to_stop();
    let status = rig.stopping().ends_within(PATIENCE + PROMPT);
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() >= PATIENCE, "nobody was waited for");
    rig.stopping()
        .says(&format!("cutting {VISITORS} connections"));
    for visitor in &mut visitors {
        let end = end_of(visitor);
        // V2Ray's visitors see an orderly end whatever happens (A13).
        assert!(
            is_reset(&end) || end.is_ok() && !rig.visitors_are_ours(),
            "{end:?}"
        );
    }
    for _ in &visitors {
        let end = witness.end();
        assert!(
            is_reset(&end) || end.is_ok() && !rig.targets_are_ours(),
            "{end:?}"
        );
    }
    rig.finish();
}

#[test]
fn nobody_is_waited_for_when_there_is_nobody() {
    let witness = Witness::start();
    for (shape, stops) in [
        (Shape::Reverse, Stops::Near),
        (Shape::Reverse, Stops::Far),
        (Shape::Forward, Stops::Near),
        (Shape::Forward, Stops::Far),
    ] {
        let plan = Plan {
            shape,
            stops,
            other: Kind::Muxcool,
        };
        let mut rig = Rig::start(plan, witness.target.address(), LONG).unwrap();
        rig.stopping().ask_to_stop();
        let status = rig.stopping().ends_within(PROMPT);
        assert!(status.success(), "{plan:?}: {status}");
        rig.finish();
    }
}

#[test]
fn a_second_signal_resets_everybody_at_once() {
    for stops in [Stops::Near, Stops::Far] {
        let witness = Witness::start();
        let plan = Plan {
            shape: Shape::Reverse,
            stops,
            other: Kind::Muxcool,
        };
        let mut rig = Rig::start(plan, witness.target.address(), LONG).unwrap();
        let mut visitors: Vec<_> = (0..VISITORS).map(|_| rig.visit()).collect();
        for (key, visitor) in (0..).zip(&visitors) {
            talk(visitor, key, 1000).expect("before the signal");
        }
        rig.stopping().ask_to_stop();
        rig.stopping().says("waiting for");
        rig.stopping().ask_to_stop();
        let status = rig.stopping().ends_within(PROMPT);
        assert!(status.success(), "{status}");
        for visitor in &mut visitors {
            let end = end_of(visitor);
            assert!(is_reset(&end), "{end:?}");
            let end = witness.end();
            assert!(is_reset(&end), "{end:?}");
        }
        rig.finish();
    }
}

/// What it waits for is told again and again.
#[test]
fn the_log_says_who_is_left() {
    let witness = Witness::start();
    let plan = Plan {
        shape: Shape::Reverse,
        stops: Stops::Near,
        other: Kind::Muxcool,
    };
    let mut rig = Rig::start(plan, witness.target.address(), LONG).unwrap();
    let visitors = [rig.visit(), rig.visit()];
    for visitor in &visitors {
        talk(visitor, 1, 10).expect("before the signal");
    }
    rig.stopping().ask_to_stop();
    rig.stopping()
        .says("waiting for 2 connections, up to 120 s");
    let [_stays, leaves] = visitors;
    drop(leaves);
    rig.stopping().says("waiting for 1 connection, up to 1");
    rig.stopping().ask_to_stop();
    rig.stopping().ends_within(PROMPT);
    rig.stopping().says("cutting 1 connection, after");
    rig.finish();
}
