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
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use balancer::haproxy_or_skip;
use scene::{Scene, visit};
use support::{PATIENCE, eventually};

/// How long a visitor waits for an answer.
const GIVES_UP: Duration = Duration::from_secs(3);

const VISITORS: usize = 4;

/// Visits of each once HAProxy knows.
const LATE: usize = 50;

/// Whoever dials it is refused.
#[test]
fn no_new_visitor_notices_that_a_portal_was_killed() {
    if !haproxy_or_skip() {
        return;
    }
    let mut scene = Scene::start();
    scene.wait_until_used(&[0, 1]);
    visits_go_on(&mut scene, |scene| scene.portals[0].kill());
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
    visits_go_on(&mut scene, |scene| scene.portals[0].freeze());
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

/// Visitors come all the time, while something befalls the first portal. Once
/// HAProxy has found out none of them fails.
fn visits_go_on(scene: &mut Scene, befall: impl FnOnce(&mut Scene)) {
    let (address, known) = (scene.address, OnceLock::new());
    let before = scene.losses(0);
    let visits: Vec<Visit> = thread::scope(|threads| {
        let visit = || visit_past(address, &known);
        let visitors: Vec<_> = (0..VISITORS).map(|_| threads.spawn(visit)).collect();
        befall(scene);
        let lost = eventually(Instant::now() + PATIENCE, || {
            (scene.losses(0) > before).then_some(()).ok_or(())
        });
        known.set(Instant::now()).expect("it is set once");
        lost.expect("HAProxy finds out");
        let visits = visitors.into_iter();
        visits.flat_map(|v| v.join().expect("visitor")).collect()
    });
    let known = known.into_inner().expect("it is set");
    let (late, early): (Vec<_>, Vec<_>) = visits.into_iter().partition(|v| v.begun > known);
    let failed = |visits: &[Visit]| visits.iter().filter(|v| v.outcome.is_err()).count();
    println!(
        "{} of {} visits failed before HAProxy knew",
        failed(&early),
        early.len()
    );
    assert_eq!(failed(&late), 0, "{late:?}");
    assert_eq!(late.len(), VISITORS * LATE);
}

#[derive(Debug)]
struct Visit {
    begun: Instant,
    outcome: io::Result<()>,
}

/// Visits until [`LATE`] of them have begun after what is `known` by then.
fn visit_past(address: SocketAddr, known: &OnceLock<Instant>) -> Vec<Visit> {
    let (mut visits, mut late) = (Vec::new(), 0);
    while late < LATE {
        let begun = Instant::now();
        let outcome = visit(address, GIVES_UP).map(drop);
        late += usize::from(known.get().is_some_and(|known| begun > *known));
        visits.push(Visit { begun, outcome });
    }
    visits
}
