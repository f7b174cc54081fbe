//! Both ends of reverse tunnels, and what goes through them meanwhile.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use muxcool::app::App;
use serde_json::{Value, json};

use super::rig::{
    address, comes_true, door, echo, inside, reload, socks, start, still_inside, tags,
    under_visits, visit,
};
use super::support::{
    PATIENCE,
    client::Entry,
    config::{self, Carrier, Endpoint, Entrances},
    ports::{free_port, loopback},
    streams::{Course, Ending, Manner, Pace, Service, complaints, stay},
    target::{Order, TcpTarget},
    threads::ThreadCheck,
};
use super::ways::without_log;

/// Portal and bridge, and their configurations.
struct Tunnel {
    // In this order they end, so that nobody dials in vain.
    bridge: App,
    portal: App,
    bridge_text: Value,
    portal_text: Value,
    port: u16,
    target: TcpTarget,
}

impl Tunnel {
    fn open() -> Self {
        let (target, port) = (echo(), free_port());
        let endpoint = Endpoint::new(Carrier::Vless, port);
        let entrances = Entrances {
            socks: 0,
            doors: Vec::new(),
        };
        let portal_text = without_log(config::portal(&entrances, &endpoint));
        let bridge_text = without_log(config::bridge(&endpoint));
        let portal = start(&portal_text);
        let bridge = start(&bridge_text);
        comes_true("the bridge has come", || portal.carriers() == 1);
        Self {
            bridge,
            portal,
            bridge_text,
            portal_text,
            port,
            target,
        }
    }

    /// The way in to the echo service.
    fn entry(&self) -> Entry {
        Entry::socks(address(&self.portal, "visitors"), self.target.address())
    }

    /// Ends all, after whoever is inside.
    fn close(self) {
        let Self {
            bridge,
            portal,
            target,
            ..
        } = self;
        drop((bridge, portal));
        drop(target);
    }
}

/// What changes each time at an end of the tunnel, that the tunnel does not
/// need: its kind, and its number.
fn with_something_else(base: &Value, turn: usize) -> Value {
    let mut text = base.clone();
    let list = |text: &mut Value, key: &str, value: Value| {
        let list = &mut text[key];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(value);
    };
    let name = format!("new-{turn}");
    match turn % 5 {
        0 => list(&mut text, "inbounds", socks(&name, 0)),
        1 => list(
            &mut text,
            "outbounds",
            json!({ "tag": name, "protocol": "freedom" }),
        ),
        2 => {
            text["reverse"]["portals"] = {
                let mut portals = text["reverse"]["portals"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                portals.push(json!({ "tag": name, "domain": format!("{name}.example") }));
                portals.into()
            }
        }
        3 => text["policy"] = json!({ "drain": 60 + turn }),
        _ => {
            let rule = json!({ "type": "field", "port": turn + 1, "outboundTag": "portal" });
            let rules = text["routing"]["rules"].as_array_mut().unwrap();
            match rules[0]["outboundTag"] == "portal" {
                true => rules.push(rule),
                false => rules.push(json!({
                    "type": "field", "port": turn + 1, "outboundTag": "local",
                })),
            }
        }
    }
    text
}

/// 64 at a time, every byte of them compared.
#[test]
fn streams_of_what_stays_flow_through_ten_reloads() {
    const STREAMS: u64 = 64;
    const EACH_WAY: u64 = 96 * 1024;
    /// Slow enough for all reloads to come while they are under way.
    const PACE: u64 = 4 * 1024 * 1024;
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let course = Arc::new(Course {
        pace: Some(Pace::new(PACE)),
        ..Course::default()
    });
    let service = Service::start(&course, PATIENCE);
    let entry = Entry::socks(address(&tunnel.portal, "visitors"), service.address());
    let carriers = carriers_of(&tunnel.portal);
    let visits: Vec<(Order, Ending)> = thread::scope(|threads| {
        let (entry, course) = (&entry, &course);
        let visitors: Vec<_> = (0..STREAMS)
            .map(|key| {
                let order = Order {
                    key,
                    upload: EACH_WAY,
                    download: EACH_WAY,
                };
                threads.spawn(move || {
                    let stream = entry.connect().expect("a visitor gets in");
                    (order, stay(&stream, order, Manner::HalfClose, course))
                })
            })
            .collect();
        comes_true("all are inside", || service.open() as u64 == STREAMS);
        for turn in 0..10 {
            for (app, base) in [
                (&tunnel.portal, &tunnel.portal_text),
                (&tunnel.bridge, &tunnel.bridge_text),
            ] {
                reload(app, &with_something_else(base, turn));
            }
        }
        let inside = service.open();
        assert!(inside > 0, "the reloads were too slow to tell");
        visitors
            .into_iter()
            .map(|visitor| visitor.join().expect("visitor"))
            .collect()
    });
    service.settle(PATIENCE).expect("all end");
    let ended = complaints(&visits, &service.take_endings(), (true, true));
    assert!(ended.is_empty(), "{ended:#?}");
    let whole = visits.iter().filter(|(_, ending)| *ending == Ending::Whole);
    assert_eq!(whole.count() as u64, STREAMS);
    // Others may have come, for they are many.
    let now = carriers_of(&tunnel.portal);
    assert!(
        carriers.iter().all(|number| now.contains(number)),
        "{now:?}"
    );
    drop(service);
    tunnel.close();
    threads.finish();
}

/// Numbers of the carriers that a program has.
fn carriers_of(app: &App) -> Vec<u32> {
    let services = app.census().snapshot(0).services;
    let carriers = services.iter().flat_map(|service| &service.carriers);
    let mut numbers: Vec<u32> = carriers.map(|carrier| carrier.number).collect();
    numbers.sort_unstable();
    numbers
}

/// Every visitor gets in, and who is inside stays.
#[test]
fn a_bridge_that_changes_fails_nobody() {
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let mut visitor = inside(&tunnel.entry());
    let before = carriers_of(&tunnel.portal);
    let mut text = tunnel.bridge_text.clone();
    text["reverse"]["bridges"][0]["allowTargets"] = json!(["127.0.0.1"]);
    under_visits(&tunnel.entry(), || {
        let report = reload(&tunnel.bridge, &text);
        assert_eq!(report.bridges.changed, tags(&["bridge"]));
        comes_true("another carrier has come", || {
            carriers_of(&tunnel.portal)
                .iter()
                .any(|number| !before.contains(number))
        });
        still_inside(&mut visitor);
    });
    still_inside(&mut visitor);
    drop(visitor);
    comes_true("the old carrier has ended", || {
        let now = carriers_of(&tunnel.portal);
        now.len() == 1 && now != before
    });
    tunnel.close();
    threads.finish();
}

#[test]
fn a_portal_that_changes_fails_nobody() {
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let mut visitor = inside(&tunnel.entry());
    let mut text = tunnel.portal_text.clone();
    let before = carriers_of(&tunnel.portal);
    text["policy"] = json!({ "mux": { "maxWindow": 2048 } });
    under_visits(&tunnel.entry(), || {
        let report = reload(&tunnel.portal, &text);
        assert_eq!(report.portals.changed, tags(&["portal"]));
        still_inside(&mut visitor);
        comes_true("a bridge has come to the new portal", || {
            tunnel.portal.carriers() == 1
        });
    });
    still_inside(&mut visitor);
    drop(visitor);
    comes_true("the old carrier has ended", || {
        let now = carriers_of(&tunnel.portal);
        now.len() == 1 && now != before
    });
    tunnel.close();
    threads.finish();
}

/// The portal's machine takes carriers on another port; first both know of
/// both, then of the new one alone.
#[test]
fn a_tunnel_moves_to_another_port_and_fails_nobody() {
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let mut visitor = inside(&tunnel.entry());
    let new = free_port();
    let mut both = tunnel.portal_text.clone();
    let inbounds = both["inbounds"].as_array_mut().unwrap();
    let mut second = inbounds.last().unwrap().clone();
    assert_eq!(second["port"], tunnel.port);
    second["port"] = new.into();
    second["tag"] = "second".into();
    inbounds.push(second);
    let tags_of_carriers = &mut both["routing"]["rules"][0]["inboundTag"];
    tags_of_carriers
        .as_array_mut()
        .unwrap()
        .push("second".into());
    let mut alone = both.clone();
    let inbounds = alone["inbounds"].as_array_mut().unwrap();
    inbounds.retain(|inbound| inbound["tag"] != "carrier");
    alone["routing"]["rules"][0]["inboundTag"] = json!(["second"]);

    under_visits(&tunnel.entry(), || {
        let report = reload(&tunnel.portal, &both);
        assert_eq!(report.inbounds.added, tags(&["second"]));
        let mut text = tunnel.bridge_text.clone();
        text["outbounds"][0]["settings"]["vnext"][0]["port"] = new.into();
        let before = carriers_of(&tunnel.portal);
        let report = reload(&tunnel.bridge, &text);
        assert_eq!(report.outbounds.changed, tags(&["carrier"]));
        assert_eq!(
            report.bridges.changed,
            tags(&["bridge"]),
            "it is to go another way"
        );
        comes_true("another carrier has come", || {
            carriers_of(&tunnel.portal)
                .iter()
                .any(|number| !before.contains(number))
        });
        let report = reload(&tunnel.portal, &alone);
        assert_eq!(report.inbounds.removed, tags(&["carrier"]));
        still_inside(&mut visitor);
    });
    still_inside(&mut visitor);
    drop(visitor);
    tunnel.close();
    threads.finish();
}

/// A bridge whose portal's inbound goes is told, and comes by the other.
#[test]
fn a_bridge_that_came_by_what_changes_comes_anew() {
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let mut text = tunnel.portal_text.clone();
    let before = carriers_of(&tunnel.portal);
    let inbounds = text["inbounds"].as_array_mut().unwrap();
    inbounds.last_mut().unwrap()["sniffing"] = json!({ "enabled": true });
    under_visits(&tunnel.entry(), || {
        let report = reload(&tunnel.portal, &text);
        assert_eq!(report.inbounds.changed, tags(&["carrier"]));
        assert!(report.portals.are_none());
        comes_true("the bridge has come anew", || {
            carriers_of(&tunnel.portal)
                .iter()
                .any(|number| !before.contains(number))
        });
    });
    tunnel.close();
    threads.finish();
}

#[test]
fn portals_and_bridges_come_and_go() {
    let threads = ThreadCheck::begin();
    let tunnel = Tunnel::open();
    let mut portal = tunnel.portal_text.clone();
    portal["reverse"]["portals"] = json!([]);
    portal["routing"]["rules"] = json!([]);
    let mut bridge = tunnel.bridge_text.clone();
    bridge["reverse"]["bridges"] = json!([]);
    bridge["routing"]["rules"] = json!([]);
    for (app, text) in [(&tunnel.portal, &mut portal), (&tunnel.bridge, &mut bridge)] {
        text["policy"] = json!({ "drain": 1 });
        let report = reload(app, text);
        let removed = [report.portals.removed, report.bridges.removed].concat();
        assert_eq!(removed.len(), 1, "{removed:?}");
    }
    assert!(visit(&tunnel.entry()).is_err());
    comes_true("all carriers have ended", || {
        carriers_of(&tunnel.portal).is_empty() && carriers_of(&tunnel.bridge).is_empty()
    });
    reload(&tunnel.portal, &tunnel.portal_text);
    let report = reload(&tunnel.bridge, &tunnel.bridge_text);
    assert_eq!(report.bridges.added, tags(&["bridge"]));
    comes_true("the bridge is back", || tunnel.portal.carriers() == 1);
    visit(&tunnel.entry()).expect("a visit");
    tunnel.close();
    threads.finish();
}

/// A program that is told to stop waits for those, too, who use what its
/// configuration does not have any more.
#[test]
fn who_stays_at_what_has_gone_is_waited_for_at_the_end() {
    let threads = ThreadCheck::begin();
    let echo = echo();
    let port = free_port();
    let app = start(&super::rig::direct(&[door("goes", port, echo.address())]));
    let mut visitor = inside(&Entry::Door(loopback(port)));
    reload(&app, &super::rig::direct(&[]));
    let (hurry, begin) = (muxcool::sync::Done::new(), Instant::now());
    let left = app.drain(Duration::from_millis(100), &hurry);
    assert_eq!(left.connections, 1);
    assert!(begin.elapsed() >= Duration::from_millis(100));
    still_inside(&mut visitor);
    drop(visitor);
    let left = app.drain(PATIENCE, &hurry);
    assert!(left.is_none(), "{left:?}");
    drop(app);
    drop(echo);
    threads.finish();
}
