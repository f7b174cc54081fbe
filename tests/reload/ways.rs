//! Rules and outbounds.

use serde_json::{Value, json};

use muxcool::app::Changes;

use super::rig::{
    address, comes_true, echo, inside, reload, socks, start, still_inside, tags, under_visits,
    visit,
};
use super::support::{
    client::Entry,
    config::{self, Carrier, Endpoint, Entrances},
    threads::ThreadCheck,
};

/// By SOCKS to one of two outbounds.
fn ruled(to: &str) -> Value {
    json!({
        "inbounds": [socks("in", 0)],
        "outbounds": [
            { "tag": "nowhere", "protocol": "blackhole" },
            { "tag": "straight", "protocol": "freedom" },
        ],
        "routing": { "rules": [{ "type": "field", "inboundTag": ["in"], "outboundTag": to }] },
    })
}

#[test]
fn another_rule_is_for_those_who_come() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let app = start(&ruled("straight"));
    let entry = Entry::socks(address(&app, "in"), echo.address());
    let mut visitor = inside(&entry);
    let report = reload(&app, &ruled("nowhere"));
    assert!(report.rules && report.inbounds.are_none() && report.outbounds.are_none());
    assert!(visit(&entry).is_err());
    still_inside(&mut visitor);
    reload(&app, &ruled("straight"));
    visit(&entry).expect("a visit");
    still_inside(&mut visitor);
    drop((app, visitor));
    drop(echo);
    threads.finish();
}

#[test]
fn the_first_outbound_takes_what_no_rule_decides_also_when_it_is_new() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let mut text = ruled("straight");
    text["routing"] = Value::Null;
    let app = start(&text);
    let entry = Entry::socks(address(&app, "in"), echo.address());
    assert!(visit(&entry).is_err());
    let direct = json!({ "tag": "new", "protocol": "freedom" });
    text["outbounds"].as_array_mut().unwrap().insert(0, direct);
    let report = reload(&app, &text);
    assert_eq!(report.outbounds.added, tags(&["new"]));
    visit(&entry).expect("a visit");
    let mut visitor = inside(&entry);
    text["outbounds"].as_array_mut().unwrap().remove(0);
    let report = reload(&app, &text);
    let changes = Changes {
        removed: tags(&["new"]),
        kept: tags(&["nowhere", "straight"]),
        ..Changes::default()
    };
    assert_eq!(report.outbounds, changes);
    assert!(visit(&entry).is_err());
    still_inside(&mut visitor);
    drop((app, visitor));
    drop(echo);
    threads.finish();
}

/// The carriers of an outbound that changes are used to their sessions' end;
/// others take the new sessions.
#[test]
fn sessions_of_an_outbound_that_changes_go_on_in_their_carriers() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let endpoint = Endpoint::new(Carrier::Vless, 0);
    let far = start(&without_log(config::mux_server(&endpoint)));
    let endpoint = endpoint.via(address(&far, "carrier").port());
    let entrances = Entrances {
        socks: 0,
        doors: Vec::new(),
    };
    let mut text = without_log(config::mux_client(&entrances, &endpoint));
    let near = start(&text);
    let entry = Entry::socks(address(&near, "visitors"), echo.address());
    let carriers = |app: &muxcool::app::App| {
        let services = app.census().snapshot(0).services;
        let counts = services.iter().map(|service| service.carriers.len());
        counts.sum::<usize>()
    };
    let mut visitor = inside(&entry);
    assert_eq!(carriers(&near), 1);
    under_visits(&entry, || {
        text["outbounds"][0]["mux"]["concurrency"] = 9.into();
        let report = reload(&near, &text);
        assert_eq!(report.outbounds.changed, tags(&["carrier"]));
    });
    still_inside(&mut visitor);
    assert_eq!(carriers(&near), 2);
    drop(visitor);
    comes_true("the old carrier ends with its last session", || {
        carriers(&near) == 1
    });
    drop((near, far));
    drop(echo);
    threads.finish();
}

pub fn without_log(mut text: Value) -> Value {
    text.as_object_mut().expect("an object").remove("log");
    text
}
