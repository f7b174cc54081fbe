//! Another bridge, or another portal, takes over from the one that stops.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::rig::{PROMPT, draining, talk, wait_for_visit};
use crate::support::{
    PATIENCE,
    client::Entry,
    config::{self, Carrier, Endpoint, Entrances},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::TcpTarget,
};

const LONG: u64 = 120;

/// A bridge whose every visitor reaches `target`, whatever he asks for.
fn bridge_to(endpoint: &Endpoint, target: SocketAddr) -> Value {
    let mut text = draining(config::bridge(endpoint), LONG);
    text["outbounds"][1]["settings"] = json!({ "redirect": target.to_string() });
    text
}

/// Says one letter when spoken to, then sends back what comes.
fn named(letter: u8) -> TcpTarget {
    TcpTarget::start(move |mut visitor| {
        use std::io::{Read, Write};
        let mut piece = [0; 4096];
        visitor.write_all(&[letter])?;
        loop {
            match visitor.read(&mut piece)? {
                0 => return Ok(()),
                len => visitor.write_all(&piece[..len])?,
            }
        }
    })
}

/// A visit that says who has answered.
fn ask(entry: &Entry, key: u64) -> std::io::Result<(u8, std::net::TcpStream)> {
    use std::io::{Read, Write};
    let mut visitor = entry.connect_within(Duration::from_secs(5))?;
    visitor.write_all(b"x")?;
    let mut answer = [0; 2];
    visitor.read_exact(&mut answer)?;
    talk(&visitor, key, 100)?;
    Ok((answer[0], visitor))
}

/// While one of two bridges stops, the portal sends visitors to the other, and
/// nobody notices; whoever is on the one that stops goes on.
#[test]
fn visitors_go_to_the_bridge_that_stays() {
    let targets = [named(b'A'), named(b'B')];
    let door = free_port();
    let entrances = Entrances {
        socks: free_port(),
        doors: vec![(door, targets[0].address())],
    };
    let endpoint = Endpoint::new(Carrier::Vless, free_port());
    let portal = Program::start(
        Kind::Muxcool,
        "portal",
        &config::portal(&entrances, &endpoint),
    );
    let [mut first, second] = ["first bridge", "second bridge"].map(|role| {
        let target = targets[usize::from(role.starts_with('s'))].address();
        Program::start(Kind::Muxcool, role, &bridge_to(&endpoint, target))
    });
    let entry = Entry::Door(loopback(door));
    let on_first = eventually(Instant::now() + PATIENCE, || match ask(&entry, 1) {
        Ok((b'A', visitor)) => Ok(visitor),
        other => Err(format!("{other:?}")),
    });
    let on_first = on_first.expect("a visitor of the first bridge");
    let on_second = eventually(Instant::now() + PATIENCE, || match ask(&entry, 1) {
        Ok((b'B', visitor)) => Ok(visitor),
        other => Err(format!("{other:?}")),
    });
    let on_second = on_second.expect("a visitor of the second bridge");

    let (stop, visits) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|threads| {
        for key in 0..4 {
            let (entry, stop, visits) = (&entry, &stop, &visits);
            threads.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    ask(entry, key).expect("every visit works");
                    visits.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let made = |count: u64| {
            let start = visits.load(Ordering::SeqCst);
            let made = eventually(Instant::now() + PATIENCE, || {
                match visits.load(Ordering::SeqCst) >= start + count {
                    true => Ok(()),
                    false => Err(()),
                }
            });
            made.expect("visits go on");
        };
        made(50);
        first.ask_to_stop();
        first.says("waiting for");
        made(50);
        for _ in 0..20 {
            let (who, _) = ask(&entry, 5).expect("a visit");
            assert_eq!(who, b'B', "the bridge that stops gets no visitors");
        }
        talk(&on_first, 7, 1 << 20).expect("who was there goes on");
        first.assert_alive();
        drop(on_first);
        let status = first.ends_within(PROMPT);
        assert!(status.success(), "{status}");
        first.says("all connections have ended");
        made(50);
        stop.store(true, Ordering::SeqCst);
    });
    talk(&on_second, 8, 1 << 20).expect("who was on the other never noticed");
    drop(on_second);
    second.finish();
    portal.finish();
}

/// A portal that stops sends its bridge to its successor, which has the same
/// ports, while a visitor of its own goes on.
#[test]
fn a_bridge_of_ours_goes_to_the_portals_successor() {
    the_bridge_goes_to_the_portals_successor(Kind::Muxcool);
}

#[test]
fn a_bridge_of_v2ray_goes_to_the_portals_successor() {
    if v2ray_or_skip() {
        the_bridge_goes_to_the_portals_successor(Kind::V2ray);
    }
}

fn the_bridge_goes_to_the_portals_successor(kind: Kind) {
    let target = TcpTarget::echo();
    let door = free_port();
    let entrances = Entrances {
        socks: free_port(),
        doors: vec![(door, target.address())],
    };
    let endpoint = Endpoint::new(Carrier::Vless, free_port());
    let text = without_datagrams(draining(config::portal(&entrances, &endpoint), LONG));
    let mut portal = Program::start(Kind::Muxcool, "portal", &text);
    let bridge = Program::start(kind, "bridge", &config::bridge(&endpoint));
    let entry = Entry::Door(loopback(door));
    wait_for_visit(&entry);
    let visitor = entry.connect().expect("a visitor");
    talk(&visitor, 1, 1000).expect("before the signal");

    portal.ask_to_stop();
    portal.says("waiting for 1 connection");
    let successor = Program::start(Kind::Muxcool, "successor", &text);
    wait_for_visit(&entry);
    talk(&visitor, 2, 1 << 20).expect("who was there goes on");
    portal.assert_alive();
    drop(visitor);
    let status = portal.ends_within(PROMPT);
    assert!(status.success(), "{status}");
    wait_for_visit(&entry);
    successor.finish();
    bridge.finish();
}

/// Two programs cannot have the same UDP port, for the one that stops answers
/// from it.
fn without_datagrams(mut text: Value) -> Value {
    for inbound in text["inbounds"].as_array_mut().expect("inbounds") {
        match inbound["protocol"].as_str() {
            Some("socks") => inbound["settings"]["udp"] = false.into(),
            Some("dokodemo-door") => inbound["settings"]["network"] = "tcp".into(),
            _ => {}
        }
    }
    text
}
