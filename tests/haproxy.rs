//! Several portals behind HAProxy, as in the examples: one of them dies, and
//! visitors do not notice.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "haproxy/balancer.rs"]
mod balancer;
#[path = "haproxy/scene.rs"]
mod scene;

use std::{
    thread,
    time::{Duration, Instant},
};

use balancer::haproxy_or_skip;
use scene::{Scene, visit};
use support::{PATIENCE, eventually};

/// In which HAProxy finds out that a portal is dead, by its configuration: a
/// check's interval, and the time that one may take.
const FINDS_OUT: Duration = Duration::from_secs(2);

/// For which visits go on after that.
const GOES_ON: Duration = Duration::from_secs(2);

const VISITORS: usize = 4;

#[test]
fn no_new_visitor_notices_that_a_portal_has_died() {
    if !haproxy_or_skip() {
        return;
    }
    let mut scene = Scene::start();
    scene.wait_until_used(&[0, 1]);
    let (address, until) = (scene.address, Instant::now() + FINDS_OUT + GOES_ON);
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| thread::spawn(move || visit_all_along(address, until)))
        .collect();
    let killed = Instant::now();
    scene.portals[0].kill();
    let visits: Vec<_> = visitors
        .into_iter()
        .flat_map(|v| v.join().unwrap())
        .collect();
    let late = |(begun, _): &&(Instant, _)| *begun > killed + FINDS_OUT;
    let late: Vec<_> = visits.iter().filter(late).collect();
    assert!(
        late.len() > VISITORS,
        "{} of {} visits",
        late.len(),
        visits.len()
    );
    for (begun, outcome) in late {
        assert!(
            outcome.is_ok(),
            "{outcome:?} {:?} after its death",
            *begun - killed
        );
    }

    // It comes back as soon as a bridge has found it again.
    scene.portals[0].restart();
    scene.wait_until_used(&[0, 1]);
    scene.finish();
}

/// It listens, and HAProxy could reach it.
#[test]
fn a_portal_without_a_bridge_gets_no_visitors() {
    if !haproxy_or_skip() {
        return;
    }
    let scene = Scene::with_bridges_to(&[1]);
    scene.wait_until_used(&[1]);
    for _ in 0..10 {
        visit(scene.address).unwrap();
    }
    scene.finish();
}

/// When each visit began, and how it went.
fn visit_all_along(
    address: std::net::SocketAddr,
    until: Instant,
) -> Vec<(Instant, std::io::Result<()>)> {
    let mut visits = Vec::new();
    while Instant::now() < until {
        visits.push((Instant::now(), visit(address).map(drop)));
    }
    visits
}

/// The service hears of each visitor who it is, through HAProxy, portal and
/// bridge.
#[test]
fn the_service_is_told_who_visits_through_haproxy() {
    if !haproxy_or_skip() {
        return;
    }
    let scene = Scene::start();
    // Until bridge and portal have told each other what they are, it is not known.
    let told = eventually(Instant::now() + PATIENCE, || {
        let (from, header) = visit(scene.address)?;
        match header.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", from.port())) {
            true => Ok(()),
            false => Err(std::io::Error::other(header)),
        }
    });
    told.unwrap();
    scene.finish();
}
