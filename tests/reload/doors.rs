//! Inbounds.

use std::net::TcpStream;

use muxcool::app::Changes;
use serde_json::json;

use super::rig::{
    address, banner, comes_true, direct, door, echo, inside, kept, plan, reload, socks, start,
    still_inside, tags, under_visits, visit,
};
use super::support::{
    client::Entry,
    ports::{free_port, is_free, loopback},
    target::{TcpTarget, UdpEcho},
    threads::ThreadCheck,
};

#[test]
fn an_inbound_moves_to_another_port_and_its_visitors_stay() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let (old, new) = (free_port(), free_port());
    let app = start(&direct(&[door("a", old, echo.address()), socks("b", 0)]));
    let entry = Entry::Door(loopback(old));
    let mut visitor = inside(&entry);
    let report = reload(
        &app,
        &direct(&[door("a", new, echo.address()), socks("b", 0)]),
    );
    let changes = Changes {
        changed: tags(&["a"]),
        kept: tags(&["b"]),
        ..Changes::default()
    };
    assert_eq!(report.inbounds, changes);
    assert_eq!(report.outbounds, kept(&["out"]));
    assert!(!report.rules && !report.log && !report.is_nothing());
    assert!(TcpStream::connect(loopback(old)).is_err());
    visit(&Entry::Door(loopback(new))).expect("a visit");
    still_inside(&mut visitor);
    drop(visitor);
    comes_true("the old port is free", || is_free(old));
    drop(app);
    drop(echo);
    threads.finish();
}

/// The system lets nobody have a port of an address while it is taken on all,
/// and the other way round.
#[test]
fn an_inbound_moves_between_one_address_and_all() {
    let threads = ThreadCheck::begin();
    let (echo, datagrams) = (echo(), UdpEcho::start());
    let (port, flows) = (free_port(), free_port());
    let at = |ip: &str| {
        let mut doors = [
            door("a", port, echo.address()),
            door("b", flows, datagrams.address()),
        ];
        doors.iter_mut().for_each(|door| door["listen"] = ip.into());
        direct(&doors)
    };
    let app = start(&at("127.0.0.1"));
    let entry = Entry::Door(loopback(port));
    let mut visitors = vec![inside(&entry)];
    for ip in ["0.0.0.0", "127.0.0.1", "0.0.0.0", "127.0.0.1"] {
        let report = reload(&app, &at(ip));
        assert_eq!(report.inbounds.changed, tags(&["a", "b"]));
        visitors.push(inside(&entry));
        visitors.iter_mut().for_each(still_inside);
        let flow = Entry::Door(loopback(flows)).datagrams().expect("a flow");
        flow.send(b"who").expect("send");
        assert_eq!(flow.receive().expect("an answer"), b"who");
        let taken = std::net::TcpListener::bind(loopback(port));
        assert!(taken.is_err(), "nobody else can have it");
    }
    drop((visitors, app));
    drop((echo, datagrams));
    threads.finish();
}

/// TCP: nobody is refused meanwhile, and whoever is inside stays where he is.
#[test]
fn an_inbound_that_changes_on_its_port_refuses_nobody() {
    let threads = ThreadCheck::begin();
    let (one, two) = (echo(), echo());
    let port = free_port();
    let app = start(&direct(&[door("a", port, one.address())]));
    let entry = Entry::Door(loopback(port));
    let mut visitor = inside(&entry);
    under_visits(&entry, || {
        for turn in 0..20 {
            let target = [&two, &one][turn % 2].address();
            let report = reload(&app, &direct(&[door("a", port, target)]));
            assert_eq!(report.inbounds.changed, tags(&["a"]));
        }
        still_inside(&mut visitor);
    });
    let other = TcpTarget::banner();
    reload(&app, &direct(&[door("renamed", port, other.address())]));
    banner(&entry).expect("the new settings");
    still_inside(&mut visitor);
    drop((app, visitor));
    drop((one, two, other));
    threads.finish();
}

#[test]
fn a_port_that_the_system_chose_stays_with_an_inbound_that_changes() {
    let threads = ThreadCheck::begin();
    let (echo, other) = (echo(), TcpTarget::banner());
    let app = start(&direct(&[door("a", 0, echo.address())]));
    let before = address(&app, "a");
    reload(&app, &direct(&[door("a", 0, other.address())]));
    assert_eq!(address(&app, "a"), before);
    banner(&Entry::Door(before)).expect("the new settings");
    drop(app);
    drop((echo, other));
    threads.finish();
}

/// A flow that there is goes on to its target, another one goes to the new.
#[test]
fn flows_of_datagrams_outlive_the_settings_they_began_with() {
    let threads = ThreadCheck::begin();
    let (one, two) = (UdpEcho::start(), UdpEcho::start());
    let port = free_port();
    let app = start(&direct(&[door("a", port, one.address())]));
    let entry = Entry::Door(loopback(port));
    let old = entry.datagrams().expect("a flow");
    let answers = |flow: &super::support::client::Datagrams| {
        flow.send(b"who").expect("send");
        assert_eq!(flow.receive().expect("an answer"), b"who");
    };
    answers(&old);
    reload(&app, &direct(&[door("a", port, loopback(free_port()))]));
    answers(&old);
    reload(&app, &direct(&[door("a", port, two.address())]));
    answers(&old);
    let new = entry.datagrams().expect("a flow");
    answers(&new);
    drop(one); // and with it the answers to the old flow
    answers(&new);
    drop(app);
    drop(two);
    threads.finish();
}

#[test]
fn inbounds_come_and_go() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let (stays, goes, comes) = (free_port(), free_port(), free_port());
    let target = echo.address();
    let app = start(&direct(&[
        door("stays", stays, target),
        door("goes", goes, target),
    ]));
    let mut visitors = [stays, goes].map(|port| inside(&Entry::Door(loopback(port))));
    let report = reload(
        &app,
        &direct(&[door("comes", comes, target), door("stays", stays, target)]),
    );
    let changes = Changes {
        added: tags(&["comes"]),
        removed: tags(&["goes"]),
        kept: tags(&["stays"]),
        changed: tags(&[]),
    };
    assert_eq!(report.inbounds, changes);
    assert!(TcpStream::connect(loopback(goes)).is_err());
    for port in [stays, comes] {
        visit(&Entry::Door(loopback(port))).expect("a visit");
    }
    visitors.iter_mut().for_each(still_inside);
    drop((app, visitors));
    drop(echo);
    threads.finish();
}

/// Who stays longer than the configuration lets him is reset.
#[test]
fn who_stays_at_what_has_gone_is_cut_in_time() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let port = free_port();
    let app = start(&direct(&[door("goes", port, echo.address())]));
    let mut visitor = inside(&Entry::Door(loopback(port)));
    let mut nothing = direct(&[]);
    nothing["policy"] = json!({ "drain": 0 });
    reload(&app, &nothing);
    let read = std::io::Read::read(&mut visitor, &mut [0]);
    assert!(read.is_err(), "a reset, not an end: {read:?}");
    drop(app);
    drop(echo);
    threads.finish();
}

/// Where something stands in a file is no difference.
#[test]
fn the_same_in_other_words_changes_nothing() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let text = direct(&[door("a", 0, echo.address()), socks("b", 0)]);
    let app = start(&text);
    let mut visitor = inside(&Entry::Door(address(&app, "a")));
    let spread = serde_json::to_string_pretty(&text).unwrap();
    let plan_again = muxcool::config::parse("other.json", &format!("// moved\n{spread}")).unwrap();
    let report = app.reload(plan_again).unwrap();
    assert!(report.is_nothing(), "{report}");
    let line = "nothing has changed; inbounds: 2 kept; outbounds: 1 kept";
    assert_eq!(report.to_string(), line);
    still_inside(&mut visitor);
    app.close();
    let late = app.reload(plan(&text)).unwrap_err();
    assert_eq!(late.to_string(), "the program is about to end");
    drop(app);
    drop(echo);
    threads.finish();
}
