//! Several portals behind HAProxy, as in the examples: one of them dies, and
//! visitors do not notice.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

#[path = "haproxy/balancer.rs"]
mod balancer;
#[path = "haproxy/scene.rs"]
mod scene;

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use balancer::haproxy_or_skip;
use scene::{Scene, visit};
use support::{PATIENCE, eventually};

/// In which HAProxy finds out that nobody listens any more, by its configuration
/// a check's interval, and that nobody answers: that, and the time that a check
/// may take. Both doubled, for a machine that has other things to do.
const FINDS_OUT: Duration = Duration::from_secs(2);
const FINDS_OUT_SLOWLY: Duration = Duration::from_secs(4);

/// For which visits go on after that.
const GOES_ON: Duration = Duration::from_secs(1);

/// How long a visitor waits for an answer.
const GIVES_UP: Duration = Duration::from_secs(3);

const VISITORS: usize = 4;

/// Whoever dials it is refused.
#[test]
fn no_new_visitor_notices_that_a_portal_was_killed() {
    if !haproxy_or_skip() {
        return;
    }
    let mut scene = Scene::start();
    scene.wait_until_used(&[0, 1]);
    visits_go_on(&mut scene, FINDS_OUT, |scene| scene.portals[0].kill());
    scene.portals[0].restart();
    scene.wait_until_used(&[0, 1]);
    scene.finish();
}

/// It takes connections, as its system does that for it, and never answers.
#[test]
fn no_new_visitor_notices_that_a_portal_has_frozen() {
    if !haproxy_or_skip() {
        return;
    }
    let mut scene = Scene::start();
    scene.wait_until_used(&[0, 1]);
    visits_go_on(&mut scene, FINDS_OUT_SLOWLY, |scene| {
        scene.portals[0].freeze()
    });
    scene.portals[0].thaw();
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
        visit(scene.address, GIVES_UP).unwrap();
    }
    scene.finish();
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
        let (from, header) = visit(scene.address, GIVES_UP)?;
        match header.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} ", from.port())) {
            true => Ok(()),
            false => Err(io::Error::other(header)),
        }
    });
    told.unwrap();
    scene.finish();
}

/// Visitors come all the time, while something befalls a portal in their midst.
fn visits_go_on(scene: &mut Scene, finds_out: Duration, befall: impl FnOnce(&mut Scene)) {
    let (address, start) = (scene.address, Instant::now());
    let until = start + finds_out + GOES_ON;
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| thread::spawn(move || visit_until(address, until)))
        .collect();
    befall(scene);
    let known = Instant::now() + finds_out;
    let visits = visitors
        .into_iter()
        .flat_map(|v| v.join().expect("visitor"));
    let (late, early): (Vec<_>, Vec<_>) = visits.partition(|visit| visit.begun > known);
    let failed = |visits: &[Visit]| visits.iter().filter(|v| v.outcome.is_err()).count();
    println!(
        "{} of {} visits failed before HAProxy had to know",
        failed(&early),
        early.len()
    );
    assert!(late.len() > VISITORS, "{} visits", late.len());
    assert_eq!(failed(&late), 0, "{late:?}");
}

#[derive(Debug)]
struct Visit {
    begun: Instant,
    outcome: io::Result<()>,
}

fn visit_until(address: SocketAddr, until: Instant) -> Vec<Visit> {
    let mut visits = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let outcome = visit(address, GIVES_UP).map(drop);
        visits.push(Visit { begun, outcome });
    }
    visits
}
