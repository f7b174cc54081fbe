//! Applications that are started and stopped again and again in one process:
//! no thread, descriptor or session stays.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[allow(dead_code)]
#[path = "reverse_support/cutter.rs"]
mod cutter;
#[allow(dead_code)]
#[path = "tunnel/shapes.rs"]
mod shapes;
mod support;

use std::{
    fs,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use muxcool::limits::SESSIONS_PER_PROCESS;

use shapes::{Shape, Tunnel};
use support::{
    PATIENCE,
    client::{self, Entry},
    config::Carrier::Vless,
    eventually,
    target::TcpTarget,
    threads::ThreadCheck,
};

const RESTARTS: usize = 200;

/// Sessions that one restart leaves behind in all would, after that many, be
/// more than a process may have: the last would be refused.
const VISITS: usize = SESSIONS_PER_PROCESS / RESTARTS + 1;

/// Visitors at the same time.
const VISITORS: usize = 6;

#[test]
fn two_hundred_restarts_leave_nothing() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let mut first = None;
    for restart in 0..RESTARTS {
        let shape = match restart % 4 {
            0 => Shape::Forward(Vless),
            _ => Shape::Reverse(Vless),
        };
        live_and_end(shape, echo.address(), restart);
        if restart > 0 {
            let bound = *first.get_or_insert_with(descriptors);
            expect_descriptors(bound);
        }
    }
    drop(echo);
    threads.finish();
}

/// Visitors come and go; some are inside when everything ends.
fn live_and_end(shape: Shape, target: SocketAddr, restart: usize) {
    let tunnel = Tunnel::open(shape, &[target]);
    let entry = tunnel.socks(target);
    visit_all(&entry);
    let mut inside = entry.connect().expect("connect");
    client::echo(&mut inside, b"inside").expect("echo");
    match (restart % 2, &tunnel.far) {
        (0, Some(far)) => far.close(),
        _ => tunnel.near.close(),
    }
    drop(tunnel);
}

fn visit_all(entry: &Entry) {
    thread::scope(|threads| {
        for visitor in 0..VISITORS {
            threads.spawn(move || {
                for key in (visitor..VISITS).step_by(VISITORS) {
                    client::visit(entry, key as u64, PATIENCE).expect("a visit");
                }
            });
        }
    });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Targets close theirs a moment after.
fn expect_descriptors(bound: usize) {
    const MOMENT: Duration = Duration::from_secs(10);
    let back = eventually(Instant::now() + MOMENT, || match descriptors() {
        now if now <= bound => Ok(()),
        now => Err(now),
    });
    assert_eq!(back, Ok(()), "descriptors, {bound} at first");
}
