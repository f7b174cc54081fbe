//! Whether the peer is still there (section 14), on clocks that the tests
//! drive: probes, suspicion, death, and what is measured.

#[allow(dead_code)]
mod mux_support;

#[path = "mux_liveness/measuring.rs"]
mod measuring;
#[path = "mux_liveness/picking.rs"]
mod picking;
#[path = "mux_liveness/serving.rs"]
mod serving;
#[path = "mux_liveness/ten_bridges.rs"]
mod ten_bridges;
#[path = "mux_liveness/watching.rs"]
mod watching;

use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::PROBE_AFTER;
use muxcool::mux::{ClientWorker, MuxStream};

use mux_support::frames::NEW;
use mux_support::speaker::{Signal, Speaker};
use mux_support::tasks::wait_until;
use mux_support::tcp;
use mux_support::time::Time;

const HELLO: Signal = Signal::Hello { window: 1 << 20 };

fn is_ping(signal: &Signal) -> Option<u64> {
    match signal {
        Signal::Ping(nonce) => Some(*nonce),
        _ => None,
    }
}

/// Lets time pass in steps that are not longer than any wait of the watch.
fn pass(time: &Time, whole: Duration) {
    let mut left = whole;
    while left > Duration::ZERO {
        let step = left.min(Duration::from_millis(500));
        time.pass(step);
        left -= step;
    }
}

/// Lets as much time pass as it takes a carrier to find that it is quiet.
fn until_probed(time: &Time) {
    pass(time, PROBE_AFTER);
}

/// Lets time pass until `condition` holds; says how much. The threads of a
/// carrier run by the real clock, and may need more of the other one.
fn pass_until(time: &Time, mut condition: impl FnMut() -> bool) -> Duration {
    let step = Duration::from_millis(500);
    let mut passed = Duration::ZERO;
    wait_until("its time has come", || {
        if condition() {
            return true;
        }
        time.pass(step);
        passed += step;
        false
    });
    passed
}

/// The same, but `most` passes at the most.
fn pass_at_most(time: &Time, most: Duration, condition: impl Fn() -> bool) -> Duration {
    let step = Duration::from_millis(500);
    let mut passed = Duration::ZERO;
    while passed < most && !condition() {
        time.pass(step);
        passed += step;
    }
    passed
}

/// A client on a clock, a stream of it, and its peer.
fn client(time: &Time) -> (Arc<ClientWorker>, MuxStream, Speaker) {
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, time.client_options()).unwrap();
    let stream = worker.open(tcp()).unwrap();
    assert_eq!(speaker.frame().status, NEW);
    (Arc::new(worker), stream, speaker)
}

/// The same with a peer that says HELLO and has answered the first PING.
fn muxcool_client(time: &Time) -> (Arc<ClientWorker>, MuxStream, Speaker) {
    let (worker, stream, mut speaker) = client(time);
    speaker.say(&[HELLO]);
    let nonce = speaker.pinged();
    speaker.say(&[Signal::Pong(nonce)]);
    speaker.sync();
    (worker, stream, speaker)
}
