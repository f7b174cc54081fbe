//! Several outbounds that share what a rule leads to them: whole programs,
//! ours and V2Ray 4 with the same configuration.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod support;

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::SocketAddr,
};

use muxcool::app::App;
use muxcool::config;
use serde_json::{Value, json};

use support::{
    client::{Entry, echo},
    ports::{free_port, loopback},
    program::{Kind, Program, v2ray_or_skip},
    target::TcpTarget,
    threads::ThreadCheck,
};

const ID: &str = "b831381d-6324-4d53-ad4f-8cda48b30811";

/// Says its letter and ends.
fn lettered(letter: u8) -> TcpTarget {
    TcpTarget::start(move |mut visitor| visitor.write_all(&[letter]))
}

fn redirect(tag: &str, to: SocketAddr) -> Value {
    json!({ "tag": tag, "protocol": "freedom", "settings": { "redirect": to.to_string() } })
}

fn server(tag: &str, port: u16) -> Value {
    json!({ "tag": tag, "protocol": "vless", "settings": { "vnext": [{
        "address": "127.0.0.1", "port": port, "users": [{ "id": ID, "encryption": "none" }] }] } })
}

fn balanced(port: u16, outbounds: &[Value], balancer: Value) -> Value {
    json!({
        "inbounds": [{ "tag": "in", "protocol": "socks", "listen": "127.0.0.1", "port": port }],
        "outbounds": outbounds,
        "routing": {
            "rules": [{ "type": "field", "network": "tcp", "balancerTag": "all" }],
            "balancers": [balancer],
        },
    })
}

fn start(config: Value) -> App {
    App::start(config::parse("test", &config.to_string()).expect("a configuration")).expect("start")
}

fn answer(entry: &Entry) -> io::Result<u8> {
    let mut letter = [0];
    entry.connect()?.read_exact(&mut letter)?;
    Ok(letter[0])
}

/// How often each target has answered.
fn answers(entry: &Entry, visits: usize) -> BTreeMap<char, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..visits {
        let letter = answer(entry).expect("an answer");
        *seen.entry(letter.into()).or_default() += 1;
    }
    seen
}

/// Each gets about half: with 64 visits fewer than 8 of one would be a wonder.
#[test]
fn chance_decides_as_in_v2ray() {
    let _turn = ThreadCheck::begin();
    let (a, b, c) = (lettered(b'a'), lettered(b'b'), lettered(b'c'));
    let outbounds = [
        redirect("other", c.address()),
        redirect("out-a", a.address()),
        redirect("out-b", b.address()),
    ];
    for kind in [Kind::Muxcool, Kind::V2ray] {
        if kind == Kind::V2ray && !v2ray_or_skip() {
            continue;
        }
        let port = free_port();
        let config = balanced(
            port,
            &outbounds,
            json!({ "tag": "all", "selector": ["out-"] }),
        );
        let program = Program::start(kind, "balancer", &config);
        let seen = answers(&Entry::socks(loopback(port), a.address()), 64);
        assert!(
            seen[&'a'] >= 8 && seen[&'b'] >= 8 && seen.len() == 2,
            "{kind:?}: {seen:?}"
        );
        program.finish();
    }
}

/// A server that is down costs as many visitors as it takes to notice: one.
#[test]
fn a_server_that_cannot_be_reached_is_passed_over() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::echo();
    let far = start(json!({
        "inbounds": [{ "tag": "in", "protocol": "vless", "listen": "127.0.0.1", "port": 0,
            "settings": { "decryption": "none", "clients": [{ "id": ID }] } }],
        "outbounds": [{ "protocol": "freedom" }],
    }));
    let up = far.local_addrs("in")[0].port();
    for strategy in ["random", "roundRobin", "leastPing", "leastLoad"] {
        for mux in [false, true] {
            let mut outbounds = [server("out-up", up), server("out-down", free_port())];
            for outbound in &mut outbounds {
                outbound["mux"] = json!({ "enabled": mux });
            }
            let balancer =
                json!({ "tag": "all", "selector": ["out-"], "strategy": { "type": strategy } });
            let app = start(balanced(0, &outbounds, balancer));
            let entry = Entry::socks(app.local_addrs("in")[0], target.address());
            let lost = (0..40).filter(|_| {
                let mut stream = entry.connect().expect("connect");
                echo(&mut stream, b"hello").is_err()
            });
            assert!(lost.count() <= 1, "{strategy}, mux {mux}");
            assert_is_told(&app, strategy, mux);
            app.close();
        }
    }
    far.close();
    drop((far, target));
    threads.finish();
}

/// Of the two outbounds the program says what the balancer has gone by.
fn assert_is_told(app: &App, strategy: &str, mux: bool) {
    let told = app.census().snapshot(0).balancers;
    let [balancer] = &told[..] else {
        panic!("one balancer: {told:?}");
    };
    assert_eq!((&*balancer.tag, &*balancer.strategy), ("all", strategy));
    let [up, down] = &balancer.outbounds[..] else {
        panic!("two outbounds: {balancer:?}");
    };
    assert_eq!((&*up.tag, &*up.state), ("out-up", "up"), "mux {mux}");
    assert!(up.round_trip_seconds.is_some_and(|time| time > 0.0));
    assert_eq!(up.failed_seconds_ago, None);
    assert_eq!(&*down.tag, "out-down");
    // Chance may never have led there.
    let was_met = down.state == "down" && down.failed_seconds_ago.is_some();
    assert!(was_met || strategy == "random", "{strategy}: {down:?}");
}

/// A portal without a bridge works as little as a server that is down.
#[test]
fn the_fallback_is_taken_when_nothing_works() {
    let threads = ThreadCheck::begin();
    let (spare, other) = (lettered(b's'), lettered(b'o'));
    let outbounds = [
        redirect("other", other.address()),
        redirect("spare", spare.address()),
    ];
    let balancer = json!({ "tag": "all", "selector": ["portal"], "fallbackTag": "spare" });
    let mut config = balanced(0, &outbounds, balancer);
    config["reverse"] = json!({ "portals": [
        { "tag": "portal-1", "domain": "one.test" },
        { "tag": "portal-2", "domain": "two.test" },
    ] });
    let app = start(config);
    let entry = Entry::socks(app.local_addrs("in")[0], other.address());
    assert_eq!(answers(&entry, 8), BTreeMap::from([('s', 8)]));
    app.close();
    drop((app, spare, other));
    threads.finish();
}
