//! Bridge and portal under change, as whole applications in this process: some
//! of ten bridges freeze, a bridge's address changes, a portal restarts. No
//! visitor fails who could have been served.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "reverse_support/cutter.rs"]
#[allow(dead_code)]
mod cutter;
#[path = "tunnel/shapes.rs"]
#[allow(dead_code)]
mod shapes;
mod support;

use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use muxcool::app::App;
use serde_json::{Value, json};

use cutter::Cutter;
use shapes::{address, eventually_is, start};
use support::{
    PATIENCE,
    client::{self, Entry},
    config::{self as texts, Carrier, Endpoint, Entrances},
    eventually,
    ports::free_port,
    target::TcpTarget,
    threads::ThreadCheck,
};

const BRIDGES: usize = 10;

/// Visitors who come once all is well again, none of whom may fail.
const MORE: u64 = 50;

/// When a silent peer is suspected, and when it is given up, in seconds. The
/// defaults differ by no more than that they are longer.
fn with_times(mut text: Value, suspect: u32, dead: u32) -> Value {
    let times = json!({ "probe": 1, "suspect": suspect, "dead": dead });
    text["policy"] = json!({ "mux": times });
    text
}

/// A portal whose carriers come to this port, or to any for 0.
fn portal(endpoint: &Endpoint, suspect: u32, dead: u32) -> App {
    let entrances = Entrances {
        socks: 0,
        doors: Vec::new(),
    };
    let text = texts::portal(&entrances, endpoint);
    start("portal", with_times(text, suspect, dead))
}

/// A bridge that dials the portal by way of `relay`.
fn bridge(endpoint: &Endpoint, relay: &Cutter, suspect: u32, dead: u32) -> App {
    let text = texts::bridge(&endpoint.via(relay.address().port()));
    start("bridge", with_times(text, suspect, dead))
}

fn entry(portal: &App, target: SocketAddr) -> Entry {
    Entry::socks(address(portal, "visitors"), target)
}

fn nobody_fails(entry: &Entry) {
    for key in 0..MORE {
        client::visit(entry, key, PATIENCE).expect("a visit");
    }
}

#[test]
fn three_of_ten_bridges_freeze_and_hardly_a_visitor_fails() {
    const FROZEN: usize = 3;
    const VISITORS: u64 = 80;
    const EVERY: Duration = Duration::from_millis(50);
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let endpoint = Endpoint::new(Carrier::Vless, 0);
    let portal = portal(&endpoint, 2, 4);
    let relay = |_| Cutter::start(address(&portal, "carrier"));
    let relays: Vec<Cutter> = (0..BRIDGES).map(relay).collect();
    let bridges: Vec<App> = relays
        .iter()
        .map(|relay| bridge(&endpoint, relay, 2, 4))
        .collect();
    eventually_is(BRIDGES, || portal.carriers());
    let entry = entry(&portal, echo.address());
    nobody_fails(&entry);

    let (frozen, others) = relays.split_at(FROZEN);
    for relay in frozen {
        assert_eq!(relay.freeze(), 1);
    }
    let (tell, told) = mpsc::channel();
    thread::scope(|threads| {
        for key in 0..VISITORS {
            let (tell, entry) = (tell.clone(), &entry);
            threads.spawn(move || tell.send(client::visit(entry, key, PATIENCE)));
            thread::sleep(EVERY); // the pace of the load, not a wait for anything
        }
    });
    drop(tell);
    let failed: Vec<io::Error> = told.into_iter().filter_map(Result::err).collect();
    assert!(failed.len() * 10 <= VISITORS as usize, "{failed:?}");
    // Their bridges find that out by themselves, and come by a new connection.
    eventually_is(BRIDGES, || portal.carriers());
    let made = |relays: &[Cutter]| relays.iter().map(Cutter::made).sum::<usize>();
    assert!(made(frozen) >= 2 * FROZEN);
    assert_eq!(made(others), BRIDGES - FROZEN);
    nobody_fails(&entry);
    drop((bridges, relays, portal, echo));
    threads.finish();
}

/// The old connection is silent for ever: no end ever comes by it, to either
/// side. The bridge does not wait until it counts as dead.
#[test]
fn a_bridge_whose_address_changes_serves_the_next_visitors() {
    let (suspect, dead) = (2, 10);
    let threads = ThreadCheck::begin();
    let (tell, told) = mpsc::channel();
    let target = TcpTarget::start(move |mut visitor| {
        let mut bytes = [0; 64];
        let mut answers = visitor.try_clone()?;
        let end = loop {
            match visitor.read(&mut bytes) {
                Ok(0) => break Ok(()),
                Ok(len) => io::Write::write_all(&mut answers, &bytes[..len])?,
                Err(e) => break Err(e.kind()),
            }
        };
        let _ = tell.send(end);
        Ok(())
    });
    let endpoint = Endpoint::new(Carrier::Vless, 0);
    let portal = portal(&endpoint, suspect, dead);
    let relay = Cutter::start(address(&portal, "carrier"));
    let bridge = bridge(&endpoint, &relay, suspect, dead);
    eventually_is(1, || portal.carriers());
    let entry = entry(&portal, target.address());
    let mut inside: Vec<TcpStream> = (0..5).map(|_| entry.connect().expect("connect")).collect();
    for visitor in &mut inside {
        client::echo(visitor, b"inside").expect("echo");
    }

    assert_eq!(relay.freeze(), 1);
    let attempt = Duration::from_secs(1);
    let back = eventually(Instant::now() + PATIENCE, || {
        client::visit(&entry, 1, attempt)
    });
    back.expect("a visit by the new connection");
    assert_eq!(relay.made(), 2);
    assert_eq!(portal.carriers(), 2, "the old one is not dead yet");
    nobody_fails(&entry);

    for mut visitor in inside {
        let end = visitor.read(&mut [0]).expect_err("an end that is none");
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }
    eventually_is(1, || portal.carriers());
    nobody_fails(&entry);
    drop((bridge, relay, portal, target));
    // Those inside end by a reset at the target, too, and the others in order.
    let resets = told
        .iter()
        .filter(|end| *end == Err(io::ErrorKind::ConnectionReset));
    assert!(resets.count() >= 5);
    threads.finish();
}

#[test]
fn ten_bridges_come_back_to_a_portal_that_restarts() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let endpoint = Endpoint::new(Carrier::Vless, free_port());
    let first = portal(&endpoint, 5, 15);
    let bridges: Vec<App> = (0..BRIDGES)
        .map(|_| start("bridge", texts::bridge(&endpoint)))
        .collect();
    eventually_is(BRIDGES, || first.carriers());
    let mut running = first;
    for _ in 0..2 {
        running.close();
        drop(running);
        running = portal(&endpoint, 5, 15);
        let entry = entry(&running, echo.address());
        let back = eventually(Instant::now() + PATIENCE, || {
            client::visit(&entry, 1, PATIENCE)
        });
        back.expect("a visit by the first that is back");
        nobody_fails(&entry);
        eventually_is(BRIDGES, || running.carriers());
        nobody_fails(&entry);
    }
    drop((bridges, running, echo));
    threads.finish();
}
