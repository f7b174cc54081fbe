//! What `muxcool status` shows.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use crate::rig::{Rig, command, launch, printed, service};
use crate::support::bytes::KeyedBytes;
use crate::support::client::{Entry, echo};
use crate::support::ports::{free_port, loopback};
use crate::support::target::{TcpTarget, UdpEcho};
use crate::support::{PATIENCE, eventually};

const SENT: usize = 300_000;

#[test]
fn a_live_stream_is_shown_at_both_ends_with_its_bytes() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    let mut visitor = rig.entry.connect().unwrap();
    echo(&mut visitor, &KeyedBytes::vec(7, SENT)).unwrap();

    let portal = with_one_whole_stream(|| service(&rig.json(&rig.portal), "portal").clone());
    let carrier = &portal["carriers"][0];
    let stream = &carrier["streams"][0];
    assert_eq!(portal["name"], "portal");
    assert_eq!(stream["visitor"], visitor.local_addr().unwrap().to_string());
    let far = with_one_whole_stream(|| service(&rig.json(&bridge), "bridge").clone());
    let far_stream = &far["carriers"][0]["streams"][0];
    assert_eq!(far_stream["target"], stream["target"]);
    assert_eq!(far_stream["visitor"], stream["visitor"]);
    for (end, peer_is_listener) in [(carrier, false), (&far["carriers"][0], true)] {
        assert_eq!(end["state"], "healthy");
        assert_eq!(end["has_muxcool_peer"], true);
        assert!(end["totals"]["sent_bytes"].as_u64().unwrap() > SENT as u64);
        assert!(end["totals"]["received_bytes"].as_u64().unwrap() > SENT as u64);
        assert!(end["round_trip_seconds"].as_f64().unwrap() > 0.0);
        let peer = end["peer"].as_str().unwrap();
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
        assert_eq!(peer.ends_with(&carrier_port(&rig)), peer_is_listener);
    }

    let pid = rig.portal.pid().unwrap().to_string();
    let table = printed(&rig.ask(&["status", "--pid", &pid]));
    let headline = format!("muxcool {}, process {pid}, up ", env!("CARGO_PKG_VERSION"));
    assert!(
        table.starts_with(&headline) && table.contains(": ready\n"),
        "{table}"
    );
    let row = table
        .lines()
        .find(|line| line.starts_with("portal portal "));
    let row = row.unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains(carrier["peer"].as_str().unwrap()) && row.contains(" healthy "));
    let row = table
        .lines()
        .find(|line| line.contains(stream["target"].as_str().unwrap()));
    let row = row.unwrap_or_else(|| panic!("{table}"));
    assert!(row.contains(stream["visitor"].as_str().unwrap()));
    assert_eq!(row.matches(" 300 kB").count(), 2, "{row}");
    visitor.write_all(b"still open").unwrap();
    drop(visitor);
    bridge.finish();
    rig.portal.finish();
}

/// Of the portal's inbound that bridges come by.
fn carrier_port(rig: &Rig) -> String {
    let log = rig.portal.log();
    let line = log
        .lines()
        .find(|line| line.contains("[carrier] listening on"));
    let port = line.and_then(|line| line.rsplit(':').next());
    format!(":{}", port.expect("a port"))
}

#[test]
fn a_flow_of_datagrams_is_shown_with_its_bytes() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    let target = UdpEcho::start();
    let flow = Entry::socks(rig.proxy, target.address())
        .datagrams()
        .unwrap();
    for round in 1..=3 {
        flow.send(&[round; 100]).unwrap();
        assert_eq!(flow.receive().unwrap(), [round; 100]);
    }
    for (program, kind) in [(&rig.portal, "portal"), (&bridge, "bridge")] {
        let name = format!("udp:{}", target.address());
        let shown = eventually(Instant::now() + PATIENCE, || {
            let service = service(&rig.json(program), kind);
            let streams = service["carriers"][0]["streams"].as_array().unwrap();
            let shown = streams.iter().find(|stream| stream["target"] == name);
            let shown = shown.filter(|stream| counted(stream) == [300; 2]);
            shown.cloned().ok_or(service.clone())
        });
        let shown = shown.unwrap_or_else(|last| panic!("{last}"));
        assert!(
            shown["visitor"]
                .as_str()
                .is_some_and(|visitor| !visitor.is_empty())
        );
    }
    drop(flow);
    bridge.finish();
    rig.portal.finish();
}

/// The service once it has no other stream: the visit that tried the tunnel may
/// be in its last moments, and what has arrived is counted a moment later.
fn with_one_whole_stream(look: impl Fn() -> Value) -> Value {
    let whole = eventually(Instant::now() + PATIENCE, || {
        let service = look();
        let carrier = &service["carriers"][0];
        match carrier["sessions"] == 1 && counted(&carrier["streams"][0]) == [SENT as u64; 2] {
            true => Ok(service),
            false => Err(service),
        }
    });
    whole.unwrap_or_else(|last| panic!("{last}"))
}

/// Bytes sent and received.
fn counted(stream: &Value) -> [u64; 2] {
    ["sent_bytes", "received_bytes"].map(|way| stream[way].as_u64().unwrap_or_default())
}

/// It is no portal's visitor, and goes through no carrier.
#[test]
fn a_plain_proxys_connection_is_shown() {
    let home = tempfile::tempdir().unwrap();
    let (port, target) = (free_port(), TcpTarget::echo());
    let config = json!({
        "inbounds": [{ "tag": "proxy", "listen": "127.0.0.1", "port": port, "protocol": "socks" }],
        "outbounds": [{ "tag": "out", "protocol": "freedom" }],
    });
    let program = launch(&home, "proxy", &config);
    let pid = program.pid().unwrap().to_string();
    let ask = |more: &[&str]| {
        let args = ["status", "--pid", &pid];
        printed(&command(home.path(), &[&args, more].concat()))
    };
    assert!(ask(&[]).contains("no carriers"));
    let mut visitor = Entry::socks(loopback(port), target.address())
        .connect()
        .unwrap();
    echo(&mut visitor, &[7; 100_000]).unwrap();
    // What has arrived is counted a moment later.
    let shown = eventually(Instant::now() + PATIENCE, || {
        let shown: Value = serde_json::from_str(&ask(&["--json"])).unwrap();
        match counted(&shown["connections"]["list"][0]) == [100_000; 2] {
            true => Ok(shown),
            false => Err(shown),
        }
    });
    let shown = shown.unwrap_or_else(|last| panic!("{last}"));
    assert_eq!(shown["connections"]["open"], 1);
    let connection = &shown["connections"]["list"][0];
    let told = ["inbound", "outbound", "visitor", "target"].map(|name| &connection[name]);
    let (from, to) = (visitor.local_addr().unwrap(), target.address());
    let from_to = [from.to_string(), format!("tcp:{to}")];
    assert_eq!(told, ["proxy", "out", &from_to[0], &from_to[1]]);
    let table = ask(&[]);
    assert!(
        table.contains("CONNECTION  INBOUND") && table.contains(&from_to[0]),
        "{table}"
    );
    drop(visitor);
    let gone = eventually(Instant::now() + PATIENCE, || {
        let table = ask(&[]);
        let is_gone = !table.contains("CONNECTION");
        is_gone.then_some(()).ok_or(table)
    });
    gone.unwrap_or_else(|last| panic!("{last}"));
    program.finish();
}

#[test]
fn a_silent_peer_is_suspect_and_a_stopping_one_drains() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    rig.wait_for_state(&rig.portal, "portal", "healthy");
    bridge.freeze();
    rig.wait_for_state(&rig.portal, "portal", "suspect");
    bridge.thaw();
    rig.wait_for_state(&rig.portal, "portal", "healthy");
    let mut visitor = rig.entry.connect().unwrap();
    echo(&mut visitor, b"here").unwrap();
    bridge.ask_to_stop();
    rig.wait_for_state(&rig.portal, "portal", "draining");
    rig.wait_for_state(&bridge, "bridge", "draining");
    assert_eq!(rig.json(&bridge)["phase"], "draining");
    drop(visitor);
    rig.portal.finish();
}
