//! Starting, and not starting.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use muxcool::app::{App, StartError};
use muxcool::config;
use serde_json::json;

use super::support::{
    ports::{free_port, is_free},
    threads::ThreadCheck,
};

/// Three inbounds, in a line each; the second cannot listen.
fn text(first: u16, taken: u16, third: u16) -> String {
    let inbounds: Vec<String> = [first, taken, third]
        .iter()
        .map(|port| {
            let inbound = json!({
                "listen": "127.0.0.1",
                "port": port,
                "protocol": "dokodemo-door",
                "settings": { "address": "127.0.0.1", "port": 9, "network": "tcp,udp" },
            });
            inbound.to_string()
        })
        .collect();
    format!("{{ \"inbounds\": [\n{}\n] }}", inbounds.join(",\n"))
}

fn assert_does_not_start(text: &str, taken: u16) {
    let plan = config::parse("taken.json", text).expect("a configuration");
    let Err(StartError::Config(error)) = App::start(plan) else {
        panic!("it started on a port that is taken");
    };
    let column = text.lines().nth(2).unwrap().find("\"port\":").unwrap() + "\"port\":".len() + 1;
    let place = format!("taken.json:3:{column}: inbounds[1].port: ");
    let message = error.to_string();
    assert!(message.starts_with(&place), "{message}");
    let what = format!("cannot listen on 127.0.0.1:{taken}: ");
    assert!(message.contains(&what), "{message}");
}

#[test]
fn a_port_that_is_taken_is_named_and_the_others_are_released() {
    let threads = ThreadCheck::begin();
    let (first, third) = (free_port(), free_port());
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = tcp.local_addr().unwrap().port();
    assert_does_not_start(&text(first, taken, third), taken);
    assert!(is_free(first) && is_free(third));

    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let taken = udp.local_addr().unwrap().port();
    assert_does_not_start(&text(first, taken, third), taken);
    assert!(is_free(first) && is_free(third));
    assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).is_ok());
    threads.finish();
}

#[test]
fn its_ports_are_free_once_it_is_closed() {
    let threads = ThreadCheck::begin();
    let ports = [free_port(), free_port(), free_port()];
    let [first, second, third] = ports;
    for _ in 0..3 {
        let plan = config::parse("ports.json", &text(first, second, third)).unwrap();
        let app = App::start(plan).unwrap();
        assert!(!ports.iter().any(|port| is_free(*port)));
        drop(app);
        assert!(ports.iter().all(|port| is_free(*port)));
    }
    threads.finish();
}

/// JSON can spell any character.
#[test]
fn a_tag_may_be_any_text() {
    let threads = ThreadCheck::begin();
    let tag = "a\0b \u{1f309}\n, longer than the name of a thread";
    let text = json!({
        "inbounds": [{ "tag": tag, "listen": "127.0.0.1", "port": 0, "protocol": "socks" }],
        "outbounds": [{ "tag": tag, "protocol": "blackhole" }],
        "reverse": { "bridges": [{ "tag": format!("bridge {tag}"), "domain": "a.example.com" }] },
    });
    let plan = config::parse("tags.json", &text.to_string()).unwrap();
    let app = App::start(plan).unwrap();
    assert_eq!(app.local_addrs(tag).len(), 1);
    drop(app);
    threads.finish();
}
