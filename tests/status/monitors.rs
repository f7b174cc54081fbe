//! What monitors are told.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use muxcool::limits::METRICS_HEAD;

use crate::exposition::Exposition;
use crate::pages::{exchange, get};
use crate::rig::Rig;
use crate::support::bytes::KeyedBytes;
use crate::support::client::echo;
use crate::support::{PATIENCE, eventually};

const PORTAL: [(&str, &str); 2] = [("kind", "portal"), ("service", "portal")];

#[test]
fn numbers_are_well_formed_and_rise() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    let read = || {
        let page = get(rig.metrics, "/metrics");
        assert_eq!(page.status, 200);
        Exposition::read(&page.body)
    };
    let before = read();
    let mut visitor = rig.entry.connect().unwrap();
    echo(&mut visitor, &KeyedBytes::vec(7, 200_000)).unwrap();
    let after = read();
    for name in ["muxcool_sent_bytes_total", "muxcool_received_bytes_total"] {
        let rise = after.value(name, &PORTAL) - before.value(name, &PORTAL);
        assert!((200_000.0..300_000.0).contains(&rise), "{name}: {rise}");
    }
    let opened = "muxcool_sessions_opened_total";
    assert_eq!(
        after.value(opened, &PORTAL) - before.value(opened, &PORTAL),
        1.0
    );
    assert_eq!(after.value("muxcool_ready", &[]), 1.0);
    let healthy = [&PORTAL[..], &[("state", "healthy")]].concat();
    assert_eq!(after.value("muxcool_carriers", &healthy), 1.0);
    assert!(after.value("muxcool_carrier_round_trip_seconds", &PORTAL) < 10.0);
    assert!(after.value("muxcool_start_time_seconds", &[]) > 1.6e9);
    let names = after.label("service");
    assert!(
        names.is_superset(&["portal", "carrier", "visitors"].into()),
        "{names:?}"
    );

    // What has ended still counts.
    drop(visitor);
    bridge.finish();
    let last = read();
    assert_eq!(last.value("muxcool_carriers", &healthy), 0.0);
    assert!(last.label("carrier").is_empty());
    for (key, value) in after
        .counters()
        .filter(|((_, of), _)| !of.contains_key("carrier"))
    {
        let labels: Vec<_> = key
            .1
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert!(last.value(&key.0, &labels) >= value, "{key:?}");
    }
    rig.portal.finish();
}

#[test]
fn a_portal_is_ready_while_it_has_a_bridge_and_does_not_drain() {
    let mut rig = Rig::start();
    let metrics = rig.metrics;
    assert_eq!(get(metrics, "/healthz").status, 200);
    let page = get(metrics, "/readyz");
    assert_eq!(page.status, 503);
    assert_eq!(page.body, "portal \"portal\" has no bridge to rely on\n");
    let mut bridge = rig.bridge();
    wait_for_ready(metrics, true);
    bridge.kill();
    wait_for_ready(metrics, false);
    let bridge = rig.bridge();
    wait_for_ready(metrics, true);
    bridge.freeze();
    wait_for_ready(metrics, false);
    bridge.thaw();
    wait_for_ready(metrics, true);
    let mut visitor = rig.entry.connect().unwrap();
    echo(&mut visitor, b"here").unwrap();
    rig.portal.ask_to_stop();
    wait_for_ready(metrics, false);
    assert!(get(metrics, "/readyz").body.contains("draining\n"));
    assert_eq!(get(metrics, "/healthz").status, 200);
    drop(visitor);
    assert!(rig.portal.ends_within(PATIENCE).success());
    bridge.finish();
}

fn wait_for_ready(metrics: SocketAddr, is_ready: bool) {
    let expected = if is_ready { 200 } else { 503 };
    let told = eventually(Instant::now() + PATIENCE, || {
        let page = get(metrics, "/readyz");
        if page.status == expected {
            Ok(())
        } else {
            Err(page)
        }
    });
    told.unwrap_or_else(|last| panic!("never {expected}: {last:?}"));
}

#[test]
fn requests_that_are_none_are_told_so_and_stalled_ones_harm_nobody() {
    let rig = Rig::start();
    let stalled: Vec<_> = (0..8).map(|_| TcpStream::connect(rig.metrics)).collect();
    let long = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(METRICS_HEAD));
    for (request, status) in [
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("nonsense\r\n\r\n", 400),
        (long.as_str(), 431),
    ] {
        let page = exchange(rig.metrics, request).unwrap();
        assert_eq!(page.status, status, "{page:?}");
        assert!(!request.starts_with("HEAD") || page.body.is_empty());
    }
    rig.portal.finish(); // which waits for nobody
    assert!(stalled.iter().all(Result::is_ok));
}
