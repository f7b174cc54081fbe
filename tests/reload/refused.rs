//! What cannot be put in force changes nothing, and nothing of many reloads
//! stays.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::json;

use super::rig::{
    address, direct, door, echo, inside, refused, reload, socks, start, still_inside, tags, visit,
};
use super::support::{
    client::Entry,
    eventually,
    ports::{free_port, is_free, loopback},
    target::TcpTarget,
    threads::ThreadCheck,
};

#[test]
fn a_port_in_use_leaves_everything_as_it_is() {
    let threads = ThreadCheck::begin();
    let (echo, other) = (echo(), TcpTarget::banner());
    let obstacle = TcpListener::bind(loopback(0)).unwrap();
    let taken = obstacle.local_addr().unwrap().port();
    let (port, new) = (free_port(), free_port());
    let before = direct(&[door("a", port, echo.address()), socks("goes", 0)]);
    let app = start(&before);
    let entry = Entry::Door(loopback(port));
    let leaving = address(&app, "goes");
    let mut visitor = inside(&entry);
    let mut after = direct(&[
        door("new", new, echo.address()),
        door("a", port, other.address()),
        door("taken", taken, echo.address()),
    ]);
    after["outbounds"] = json!([{ "tag": "nowhere", "protocol": "blackhole" }]);
    let why = refused(&app, &after).to_string();
    assert!(why.starts_with("reload.json:1:"), "{why}");
    let what = format!("inbounds[2].port: cannot listen on 127.0.0.1:{taken}: ");
    assert!(why.contains(&what), "{why}");
    visit(&entry).expect("the settings of before");
    visit(&Entry::socks(leaving, echo.address())).expect("what was to go");
    assert!(is_free(new));
    still_inside(&mut visitor);
    assert!(reload(&app, &before).is_nothing());
    drop(obstacle);
    let report = reload(&app, &after);
    assert_eq!(report.inbounds.added, tags(&["new", "taken"]));
    still_inside(&mut visitor);
    drop((app, visitor));
    drop((echo, other));
    threads.finish();
}

/// Each on a port that another of the same configuration wants.
#[test]
fn a_port_is_handed_over_once() {
    let threads = ThreadCheck::begin();
    let (echo, port) = (echo(), free_port());
    let app = start(&direct(&[door("a", port, echo.address())]));
    let twice = direct(&[
        door("b", port, echo.address()),
        door("c", port, echo.address()),
    ]);
    let why = refused(&app, &twice).to_string();
    assert!(why.contains("inbounds[1].port: cannot listen"), "{why}");
    visit(&Entry::Door(loopback(port))).expect("a visit");
    drop(app);
    drop(echo);
    threads.finish();
}

/// Of two that are in each other's way one may be new, but not both.
#[test]
fn all_addresses_of_a_port_are_not_shared() {
    let threads = ThreadCheck::begin();
    let (echo, port) = (echo(), free_port());
    let one = door("a", port, echo.address());
    let everywhere = |tag: &str| {
        let mut door = door(tag, port, echo.address());
        door["listen"] = "0.0.0.0".into();
        door
    };
    let app = start(&direct(std::slice::from_ref(&one)));
    let other = door("b", port, echo.address());
    let both = [
        [everywhere("all"), other.clone()],
        [other, everywhere("all")],
        [one, everywhere("all")],
    ];
    for both in both {
        let why = refused(&app, &direct(&both)).to_string();
        assert!(why.contains("].port: cannot listen on"), "{why}");
        visit(&Entry::Door(loopback(port))).expect("a visit");
    }
    assert!(TcpListener::bind(loopback(port)).is_err());
    drop(app);
    drop(echo);
    threads.finish();
}

/// They take turns: the last one to go is in force, whichever that was.
#[test]
fn reloads_at_the_same_time_take_turns() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let port = free_port();
    let texts: Vec<_> = (0..4)
        .map(|number| direct(&[door(&format!("door-{number}"), port, echo.address())]))
        .collect();
    let app = start(&texts[0]);
    std::thread::scope(|threads| {
        for text in &texts {
            let app = &app;
            threads.spawn(move || (0..10).for_each(|_| drop(reload(app, text))));
        }
    });
    let tags = (0..4).map(|number| format!("door-{number}"));
    let listening = tags.filter(|tag| !app.local_addrs(tag).is_empty());
    assert_eq!(listening.count(), 1);
    visit(&Entry::Door(loopback(port))).expect("a visit");
    drop(app);
    drop(echo);
    threads.finish();
}

/// In each, everything that there is comes, changes or goes.
#[test]
fn two_hundred_reloads_leave_nothing() {
    const RELOADS: usize = 200;
    let threads = ThreadCheck::begin();
    let echo = echo();
    let port = free_port();
    let text = |turn: usize| {
        let tag = |name: &str| format!("{name}-{}", turn % 3);
        json!({
            "inbounds": [
                door(&tag("door"), port, echo.address()),
                socks("proxy", 0),
                socks(&tag("other"), 0),
            ],
            "outbounds": [
                { "tag": "out", "protocol": "freedom", "settings": { "userLevel": turn % 2 } },
            ],
            "reverse": {
                "portals": [{ "tag": tag("portal"), "domain": "a.example" }],
                "bridges": [{ "tag": tag("bridge"), "domain": "b.example" }],
            },
            "routing": { "rules": [{
                "type": "field", "inboundTag": [tag("bridge")], "outboundTag": tag("portal"),
            }] },
            "policy": { "drain": 0, "levels": { "1": { "connIdle": 100 + turn % 7 } } },
        })
    };
    let app = start(&text(0));
    let entry = Entry::Door(loopback(port));
    let mut first = None;
    for turn in 1..=RELOADS {
        let report = reload(&app, &text(turn));
        assert!(!report.is_nothing() && report.rules, "{report}");
        if turn % 10 == 0 {
            visit(&entry).expect("a visit");
            let bound = *first.get_or_insert_with(settled);
            expect_at_most(bound);
        }
    }
    drop(app);
    drop(echo);
    threads.finish();
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

fn tasks() -> usize {
    fs::read_dir("/proc/self/task").expect("procfs").count()
}

/// Descriptors, and threads, of which some may be spare.
fn settled() -> (usize, usize) {
    (descriptors(), tasks() + muxcool::limits::SPARE_THREADS)
}

/// What has gone ends a moment after.
fn expect_at_most(bound: (usize, usize)) {
    const MOMENT: Duration = Duration::from_secs(10);
    let back = eventually(Instant::now() + MOMENT, || {
        let now = (descriptors(), tasks());
        let is_back = now.0 <= bound.0 && now.1 <= bound.1;
        is_back.then_some(()).ok_or(now)
    });
    assert_eq!(back, Ok(()), "descriptors and threads, {bound:?} at first");
}
