//! Configuration texts: the fixtures beside this file, the examples, and
//! arbitrary input.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use proptest::prelude::*;

use muxcool::config::{
    self, ConfigError, ControlPlan, InboundOptions, InboundPlan, LogTarget, MuxPlan,
    OutboundOptions, OutboundPlan, Plan,
};
use muxcool::mux::{CarrierOptions, LivenessTimes};
use muxcool::net::{Address, Domain};
use muxcool::proxy::vmess::Security as Cipher;
use muxcool::proxy::{blackhole, freedom};
use muxcool::router::{
    BalancerOptions, BalancerStrategy, Condition, DomainPattern, DomainStrategy, Way,
};
use muxcool::sniff::SniffingOptions;
use muxcool::transport::proxy_protocol::Version;
use muxcool::transport::stream::{Framing, Security, StreamOptions};
use muxcool::transport::tcp::{IdleTimes, ServerLimits};
use muxcool::transport::tls::{self, Certificate, Pem, Usage};
use muxcool::transport::ws;

#[path = "config/xray.rs"]
mod xray;

const ID: &str = "b831381d-6324-4d53-ad4f-8cda48b30811";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The name and text of every file in a folder, which must be JSON.
fn texts(name: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder(name)).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.ends_with(".json"), "{name} would be skipped");
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn valid(name: &str) -> Plan {
    config::load(&folder("tests/config/valid").join(name)).unwrap()
}

/// The first line of each file is a comment with the message, without the
/// name of the file.
#[test]
fn every_invalid_fixture_gives_its_message() {
    let fixtures = texts("tests/config/invalid");
    assert!(fixtures.len() >= 40, "only {} fixtures", fixtures.len());
    let mut wrong = Vec::new();
    for (name, text) in &fixtures {
        let wanted = text.lines().next().and_then(|l| l.strip_prefix("// "));
        let wanted = format!("{name}:{}", wanted.expect("no message in the first line"));
        let got = match config::parse(name, text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        if got != wanted {
            wrong.push(format!("wanted {wanted}\n   got {got}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What is wrong once is told once, and nothing that follows from it.
#[test]
fn no_invalid_fixture_has_a_second_mistake() {
    for (name, text) in texts("tests/config/invalid") {
        let diagnosis = config::examine(&name, &text);
        let told: Vec<_> = diagnosis.errors().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:#?}");
    }
}

/// Each of them is looked at in a test below.
#[test]
fn every_valid_fixture_is_accepted() {
    let fixtures = texts("tests/config/valid");
    assert!(fixtures.len() >= 10, "only {} fixtures", fixtures.len());
    for (name, text) in &fixtures {
        if let Err(error) = config::parse(name, text) {
            panic!("{error}");
        }
    }
}

fn inbound<'a>(plan: &'a Plan, tag: &str) -> &'a InboundPlan {
    plan.inbounds.iter().find(|i| *i.tag == *tag).unwrap()
}

fn outbound<'a>(plan: &'a Plan, tag: &str) -> &'a OutboundPlan {
    plan.outbounds.iter().find(|o| *o.tag == *tag).unwrap()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn an_empty_configuration_has_v2rays_defaults() {
    let plan = valid("empty.json");
    assert_eq!(plan.log.access, LogTarget::Off);
    assert_eq!(plan.log.error, LogTarget::Console);
    assert_eq!(plan.log.level, LevelFilter::Warn);
    assert!(plan.inbounds.is_empty() && plan.outbounds.is_empty());
    assert!(plan.bridges.is_empty() && plan.portals.is_empty());
    assert!(plan.router.rules.is_empty());
    assert_eq!(
        plan.warnings,
        [format!(
            "{}:1:1: there is nothing to do: no inbounds and no bridges",
            folder("tests/config/valid/empty.json").display()
        )]
    );
}

#[test]
fn comments_and_the_case_of_keys_do_not_matter() {
    let plan = valid("comments.json");
    assert_eq!(plan.log.level, LevelFilter::Info);
    assert_eq!(plan.log.access, LogTarget::Console);
    assert_eq!(plan.inbounds[0].ports, 1080..=1080);
    assert_eq!(&*plan.inbounds[0].tag, "a#b//c/*d*/");
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn log_targets() {
    let files = valid("log-files.json").log;
    assert_eq!(files.access, LogTarget::File("/var/log/access.log".into()));
    assert_eq!(files.error, LogTarget::Off);
    assert_eq!(files.level, LevelFilter::Debug);
    let none = valid("log-none.json").log;
    assert_eq!((none.access, none.error), (LogTarget::Off, LogTarget::Off));
    assert_eq!(none.level, LevelFilter::Off);
}

#[test]
fn where_it_can_be_asked_how_it_does() {
    let plan = valid("control.json");
    assert_eq!(plan.control, ControlPlan::At("/run/portal.sock".into()));
    let listen = plan.metrics.map(|metrics| metrics.listen);
    assert_eq!(listen, Some("0.0.0.0:9090".parse().unwrap()));
    let public = "3:26: metrics.listen: whoever can reach this address can see the names of the \
                  tunnels, who is at their other ends, and how much goes through: listen on 127.0.0.1";
    assert!(plan.warnings[0].ends_with(public), "{:?}", plan.warnings);
    assert_eq!(plan.warnings.len(), 1);
    for (text, control) in [
        ("{}", ControlPlan::ByProcess),
        (r#"{ "control": {} }"#, ControlPlan::ByProcess),
        (r#"{ "control": { "socket": "none" } }"#, ControlPlan::Off),
    ] {
        let plan = config::parse("c", text).unwrap();
        assert_eq!((plan.control, plan.metrics), (control, None), "{text}");
    }
    let loopback = r#"{ "metrics": { "listen": "[::1]:9090" } }"#;
    let warnings = config::parse("c", loopback).unwrap().warnings;
    assert!(!warnings.iter().any(|line| line.contains("metrics")));
}

#[test]
fn proxy_inbounds() {
    let plan = valid("protocols.json");
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let InboundOptions::Socks(socks) = &inbound(&plan, "socks").options else {
        panic!("not socks")
    };
    let accounts = socks.accounts.as_ref().unwrap();
    assert_eq!(
        (accounts[0].user.as_str(), accounts[0].password.as_str()),
        ("alice", "wonder")
    );
    assert_eq!(
        (accounts[1].user.as_str(), accounts[1].password.as_str()),
        ("bob", "")
    );
    assert!(socks.udp);
    assert_eq!(socks.ip, Some(Ipv4Addr::LOCALHOST.into()));

    let http = inbound(&plan, "http");
    assert_eq!(http.listen, "::1".parse::<IpAddr>().unwrap());
    assert_eq!(http.ports, 8080..=8080);
    let InboundOptions::Http(http) = &http.options else {
        panic!("not http")
    };
    assert_eq!(http.accounts.len(), 1);
    assert!(http.allow_transparent);
}

#[test]
fn doors_and_vless_inbounds() {
    let plan = valid("protocols.json");
    let door = inbound(&plan, "door");
    assert_eq!(door.listen, IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(door.ports, 8000..=8003);
    assert!(
        door.place
            .to_string()
            .ends_with("protocols.json:32:15: inbounds[2].port")
    );
    let InboundOptions::Dokodemo(door) = &door.options else {
        panic!("not a door")
    };
    assert_eq!(
        (&door.address, door.port),
        (&address("service.example.com"), 80)
    );
    assert!(door.tcp && door.udp);
    let InboundOptions::Dokodemo(dns) = &inbound(&plan, "dns").options else {
        panic!("not a door")
    };
    assert!(!dns.tcp && dns.udp);

    let vless = inbound(&plan, "vless");
    assert_eq!(vless.ports, 0..=0);
    let InboundOptions::Vless(vless) = &vless.options else {
        panic!("not vless")
    };
    assert_eq!(vless.clients[0].id.to_string(), ID);
    assert_eq!(&*vless.clients[0].email, "alice@example.com");
    assert_eq!(vless.clients[1].id.to_string(), ID.replace("0811", "0812"));
    assert_eq!(&*vless.clients[1].email, "");
}

#[test]
fn outbounds_without_a_server() {
    let plan = valid("protocols.json");
    let freedom = |tag| match &outbound(&plan, tag).options {
        OutboundOptions::Freedom(options) => options.clone(),
        other => panic!("{other:?}"),
    };
    let local = Some("192.0.2.7".parse().unwrap());
    assert_eq!(outbound(&plan, "direct").send_through, local);
    let direct = freedom::OutboundOptions {
        domain_strategy: freedom::DomainStrategy::UseIpv4,
        redirect_address: Some(address("2001:db8::1")),
        redirect_port: 8443,
        final_rules: Vec::new(),
        send_through: local,
        proxy_protocol: None,
    };
    assert_eq!(freedom("direct"), direct);
    assert_eq!(
        (
            freedom("port").redirect_address,
            freedom("port").redirect_port
        ),
        (None, 81)
    );
    assert_eq!(freedom("kept"), freedom::OutboundOptions::default());
    for (tag, response) in [
        ("drop", blackhole::Response::None),
        ("deny", blackhole::Response::Http),
    ] {
        let options = blackhole::OutboundOptions { response };
        assert_eq!(
            outbound(&plan, tag).options,
            OutboundOptions::Blackhole(options)
        );
    }
}

#[test]
fn proxy_headers() {
    let plan = valid("proxy-protocol.json");
    let accepting: Vec<&str> = plan
        .inbounds
        .iter()
        .filter(|inbound| inbound.stream.accept_proxy_protocol)
        .map(|inbound| &*inbound.tag)
        .collect();
    let wanted = ["tcp", "raw", "sockopt", "ws", "datagrams", "open"];
    assert_eq!(accepting, wanted);
    let sending = |tag| match &outbound(&plan, tag).options {
        OutboundOptions::Freedom(options) => options.proxy_protocol,
        other => panic!("{other:?}"),
    };
    let versions = ["none", "v1", "v2", "client"].map(sending);
    assert_eq!(versions, [None, Some(Version::V1), Some(Version::V2), None]);
    let name = folder("tests/config/valid/proxy-protocol.json");
    let warnings = plan.warnings.iter();
    let warnings: Vec<_> = warnings
        .map(|line| line.strip_prefix(&format!("{}:", name.display())).unwrap())
        .collect();
    let wanted = [
        "13:84: inbounds[5].streamSettings.tcpSettings.acceptProxyProtocol: has no effect",
        "38:63: outbounds[3].streamSettings.sockopt.acceptProxyProtocol: has no effect",
        "21:25: inbounds[6].streamSettings: \"acceptProxyProtocol\" has no effect: datagrams",
        "28:25: inbounds[7].streamSettings: with \"acceptProxyProtocol\" whoever can reach",
    ];
    assert_eq!(warnings.len(), wanted.len(), "{warnings:#?}");
    for (line, start) in warnings.iter().zip(wanted) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn outbounds_with_servers() {
    let plan = valid("protocols.json");
    let OutboundOptions::Socks(socks) = &outbound(&plan, "upstream").options else {
        panic!("not socks")
    };
    assert_eq!(
        (&socks.servers[0].address, socks.servers[0].port),
        (&Address::LOCALHOST, 1081)
    );
    assert!(socks.servers[0].users.is_empty());
    assert_eq!(socks.servers[1].address, address("::1"));
    assert_eq!(socks.servers[1].users[0].user, "alice");

    let OutboundOptions::Vless(vless) = &outbound(&plan, "remote").options else {
        panic!("not vless")
    };
    assert_eq!(vless.send_through, Some("::1".parse().unwrap()));
    assert_eq!(
        (&vless.servers[0].address, vless.servers[0].port),
        (&Address::LOCALHOST, 443)
    );
    assert_eq!(vless.servers[0].users.len(), 2);
    assert_eq!(vless.servers[0].users[0].to_string(), ID);
}

#[test]
fn vmess_both_ways() {
    let plan = valid("protocols.json");
    let InboundOptions::Vmess(inbound) = &inbound(&plan, "vmess").options else {
        panic!("not vmess")
    };
    assert!(inbound.only_encrypted);
    assert_eq!(inbound.clients.len(), 2);
    assert_eq!(inbound.clients[0].id.to_string(), ID);
    assert_eq!(&*inbound.clients[0].email, "alice@example.com");
    let OutboundOptions::Vmess(outbound) = &outbound(&plan, "encrypted").options else {
        panic!("not vmess")
    };
    assert_eq!(outbound.send_through, Some("::1".parse().unwrap()));
    let server = &outbound.servers[0];
    assert_eq!((&server.address, server.port), (&Address::LOCALHOST, 443));
    let users = server.users.iter();
    let settings: Vec<_> = users
        .map(|user| (user.security, user.sealed_sizes))
        .collect();
    let expected = [
        (None, false),
        (None, false),
        (None, false),
        (Some(Cipher::Aes128Gcm), false),
        (Some(Cipher::Chacha20Poly1305), true),
        (Some(Cipher::None), false),
    ];
    assert_eq!(settings, expected);
}

#[test]
fn every_condition_of_a_rule() {
    let router = valid("routing.json").router;
    assert_eq!(router.strategy, DomainStrategy::IpOnDemand);
    assert_eq!(router.rules[0].outbound, "drop".into());
    let nets = |list: &[&str]| {
        list.iter()
            .map(|n| n.parse().unwrap())
            .collect::<Vec<ipnet::IpNet>>()
    };
    for condition in &router.rules[0].conditions {
        match condition {
            Condition::InboundTag(tags) => assert_eq!(tags, &["a", "b"]),
            Condition::Domain(patterns) => domain_patterns(patterns),
            Condition::Ip(ranges) => assert_eq!(
                ranges,
                &nets(&[
                    "192.0.2.1/32",
                    "10.0.0.0/8",
                    "192.0.2.2/32",
                    "fc00::/7",
                    "2001:db8::1/128"
                ])
            ),
            Condition::Port(ports) => assert_eq!(ports, &[53..=53, 443..=443, 1000..=2000]),
            Condition::Source(ranges) => assert_eq!(ranges, &nets(&["192.0.2.0/24"])),
            Condition::SourcePort(ports) => assert_eq!(ports, &[1234..=1234]),
            Condition::Network { tcp, udp } => assert!(*tcp && *udp),
            Condition::User(users) => assert_eq!(users, &["alice@example.com"]),
            Condition::Protocol(protocols) => assert_eq!(protocols, &["http"]),
        }
    }
    assert_eq!(router.rules[0].conditions.len(), 9);
    assert!(matches!(&router.rules[1].conditions[..], [Condition::Port(p)] if p[..] == [0..=0]));
    assert!(matches!(
        &router.rules[2].conditions[..],
        [Condition::Network {
            tcp: false,
            udp: true
        }]
    ));
}

fn domain_patterns(patterns: &[DomainPattern]) {
    use DomainPattern::{Domain, Dotless, Full, Keyword, Regex};

    let [
        Keyword(plain),
        Full(full),
        Domain(domain),
        Keyword(keyword),
        Regex(regex),
        Dotless(dotless),
    ] = patterns
    else {
        panic!("{patterns:?}")
    };
    assert_eq!(
        (plain.as_str(), full.as_str()),
        ("example", "a.example.com")
    );
    assert_eq!(
        (domain.as_str(), keyword.as_str()),
        ("example.org", "example")
    );
    assert_eq!((regex.as_str(), dotless.as_str()), ("^w[0-9]+\\.", "lan"));
}

#[test]
fn rules_in_the_older_place_come_last() {
    let router = valid("routing-older.json").router;
    assert_eq!(router.strategy, DomainStrategy::IpIfNonMatch);
    let ports = router.rules.iter().map(|rule| match &rule.conditions[..] {
        [Condition::Port(ports)] => ports[0].clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(ports.collect::<Vec<_>>(), [1..=1, 2..=2]);
}

#[test]
fn bridges_and_portals_lend_their_tags_to_rules() {
    let plan = valid("reverse.json");
    assert_eq!(plan.bridges[0].tag, "bridge");
    assert_eq!(plan.bridges[0].domain, "one.example.com");
    assert_eq!(plan.portals[0].tag, "portal");
    assert_eq!(plan.portals[0].control_domain, "reverse.internal.v2ray.com");
    assert_eq!(plan.router.rules[0].outbound, "portal".into());
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);

    let allowed = plan.bridges[0].allow_targets.as_ref().unwrap();
    for (address, expected) in [
        ("192.0.2.1:1", true),
        ("192.0.2.2:1", false),
        ("10.9.9.9:80", true),
        ("10.9.9.9:81", false),
        ("[fd00::1]:2000", true),
        ("[fd00::1]:2001", false),
        ("[2001:db8::1]:9", true),
        ("203.0.113.1:53", true),
        ("[::1]:22", true),
        ("[::1]:23", false),
        ("127.0.0.1:22", false),
    ] {
        assert_eq!(
            allowed.permits(address.parse().unwrap()),
            expected,
            "{address}"
        );
    }
}

#[test]
fn levels_decide_the_times() {
    let plan = valid("policy.json");
    let times = |both, after_read, after_write| IdleTimes {
        both: seconds(both),
        after_read: seconds(after_read),
        after_write: seconds(after_write),
    };
    let cases = [
        ("level 0", 4, times(100, 100, 1)),
        ("level 3", 5, times(30, 7, 2)),
        ("timeout", 4, times(9, 100, 1)),
        ("vless", 4, times(30, 7, 2)),
        ("level 4", 60, times(300, 300, 0)),
    ];
    for (tag, handshake, idle) in cases {
        let inbound = inbound(&plan, tag);
        assert_eq!(
            (inbound.handshake, inbound.idle),
            (seconds(handshake), idle),
            "{tag}"
        );
    }
    for tag in ["level 3", "socks"] {
        let outbound = outbound(&plan, tag);
        assert_eq!(
            (outbound.handshake, outbound.idle),
            (seconds(5), times(30, 2, 7)),
            "{tag}"
        );
    }
}

#[test]
fn carriers_have_the_bounds_of_the_policy() {
    let plan = valid("policy-mux.json");
    let portal = &plan.portals[0].carrier;
    for options in [&plan.mux, &plan.bridges[0].carrier, portal] {
        assert!(options.extensions);
        assert_eq!((options.window, options.max_window), (32 << 10, 1 << 20));
        assert_eq!(options.parked, 64 << 10);
        assert_eq!(options.stalled_session, seconds(7));
        assert_eq!(options.end_quiet, seconds(0));
        let times = LivenessTimes {
            probe: seconds(1),
            suspect: seconds(2),
            dead: seconds(3),
            unread: seconds(4),
        };
        assert_eq!(options.liveness, Some(times));
        assert_eq!((options.sessions, options.dialling), (100, 10));
        let all = options.all_sessions.as_ref().unwrap();
        assert_eq!(all.limit(), 200);
        assert!(Arc::ptr_eq(all, plan.mux.all_sessions.as_ref().unwrap()));
        assert_eq!(options.check(), Ok(()));
    }
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let listeners = ServerLimits {
        connections: 1,
        connections_per_source: 2,
        handshakes: 3,
        handshakes_per_source: 4,
    };
    assert_eq!(plan.listeners, listeners);
    assert_eq!(valid("policy.json").listeners, ServerLimits::default());
    assert_eq!(plan.drain, seconds(5));
    assert_eq!(valid("policy.json").drain, muxcool::limits::DRAIN);
}

#[test]
fn what_carriers_do_not_use_is_warned_of() {
    let plan = valid("policy-mux-off.json");
    assert!(!plan.mux.extensions);
    assert_eq!(plan.mux.liveness, None);
    let wanted = [
        "3:45: policy.mux.window: has no effect: there is no credit without \"extensions\"",
        "3:69: policy.mux.dead: has no effect: \"probe\" is 0",
    ];
    for (line, end) in plan.warnings.iter().zip(wanted) {
        assert!(line.ends_with(end), "{line}\n{end}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
}

#[test]
fn without_a_policy_carriers_have_the_librarys_defaults() {
    for name in ["policy-absent.json", "policy.json"] {
        let (plan, default) = (valid(name).mux, CarrierOptions::default());
        assert_eq!(format!("{plan:?}"), format!("{default:?}"), "{name}");
    }
}

/// The defaults that a table of the README tells, as members of an object.
fn told_in_the_readme(heading: &str) -> Vec<String> {
    let readme = fs::read_to_string(folder("README.md")).unwrap();
    let (_, section) = readme.split_once(heading).unwrap();
    let (section, _) = section.split_once("\n##").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, rest) = row.split_once("` | ").unwrap();
        let (default, _) = rest.split_once([' ', '|']).unwrap();
        format!("\"{key}\": {}", default.trim_matches('`'))
    })
    .collect()
}

#[test]
fn the_readme_tells_the_defaults_of_listeners() {
    let members = told_in_the_readme("### Settings of listeners");
    assert_eq!(members.len(), 4, "{members:?}");
    let text = format!(
        r#"{{"policy": {{"inbounds": {{ {} }} }} }}"#,
        members.join(", ")
    );
    let written = config::parse("r", &text).unwrap();
    assert_eq!(written.listeners, ServerLimits::default());
}

/// The defaults have one place, and what the README says of them is that.
#[test]
fn the_readme_tells_the_defaults_of_carriers() {
    let members = told_in_the_readme("### Settings of carriers");
    assert_eq!(members.len(), 13, "{members:?}");
    let text = format!(r#"{{"policy": {{"mux": {{ {} }} }} }}"#, members.join(", "));
    let (written, default) = (
        config::parse("r", &text).unwrap(),
        CarrierOptions::default(),
    );
    assert_eq!(format!("{:?}", written.mux), format!("{default:?}"));
}

#[test]
fn without_a_policy_level_1_is_more_patient() {
    let plan = valid("policy-absent.json");
    assert_eq!(plan.inbounds[0].idle.both, seconds(300));
    assert_eq!(plan.inbounds[1].idle.both, seconds(600));
    assert_eq!(plan.inbounds[1].handshake, seconds(60));
}

#[test]
fn mux_is_on_only_where_it_says_so() {
    let plan = valid("mux.json");
    for (tag, concurrency) in [
        ("absent", None),
        ("disabled", None),
        ("default", Some(8)),
        ("zero", Some(8)),
        ("most", Some(1024)),
        ("negative", None),
    ] {
        let mux = concurrency.map(|concurrency| MuxPlan { concurrency });
        assert_eq!(outbound(&plan, tag).mux, mux, "{tag}");
    }
}

#[test]
fn what_is_switched_off_may_stay() {
    let plan = valid("disabled.json");
    assert!(matches!(&plan.inbounds[0].options, InboundOptions::Socks(s) if s.accounts.is_none()));
    assert_eq!(plan.log.access, LogTarget::Console);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn extensions() {
    let plan = valid("extensions.json");
    assert_eq!(plan.portals[0].control_domain, "reverse.internal.v2fly.org");
    assert_eq!(plan.inbounds.len(), 1);
}

#[test]
fn websocket_settings() {
    let plan = valid("websocket.json");
    let ws = |stream: &StreamOptions| match &stream.framing {
        Framing::Ws(options) => options.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ws(&inbound(&plan, "plain").stream), ws::Options::default());
    let path = ws(&inbound(&plan, "path").stream);
    assert_eq!((&*path.path, path.bare_path()), ("/tunnel?a=b", "/tunnel"));
    let headers = ws(&outbound(&plan, "headers").stream);
    assert_eq!((&*headers.path, headers.host()), ("/", Some("cdn.example")));
    let agent = ("User-Agent".to_owned(), "curl/8".to_owned());
    assert_eq!(headers.headers[1..], [agent]);
    let host = ws(&outbound(&plan, "host").stream);
    assert_eq!(host.host(), Some("new.example"));
}

#[test]
fn sniffing_of_inbounds() {
    let plan = valid("sniffing.json");
    let sniffing = |tag| inbound(&plan, tag).sniffing.clone();
    let both = SniffingOptions {
        http: true,
        tls: true,
        ..SniffingOptions::default()
    };
    assert_eq!(sniffing("v2ray"), Some(both.clone()));
    let xray = SniffingOptions {
        route_only: true,
        excluded: vec![Domain::new("courier.push.example.com").unwrap()],
        ..both
    };
    assert_eq!(sniffing("xray"), Some(xray));
    assert_eq!(sniffing("off"), None);
    let wanted = [
        "inbounds[1].sniffing.destOverride: \"quic\" changes nothing: only streams are sniffed, \
         not datagrams",
        "routing.rules[0].protocol[3]: \"quic\" never matches: what inbounds tell, with \
         \"sniffing\" or without, is \"http/1.1\", \"http1\", \"tls\", \"bittorrent\"",
        "inbounds[2].port: with \"sniffing\" its visitors get to any host that they name, not only \
         to \"address\"; \"routeOnly\" keeps them there",
    ];
    for (line, end) in plan.warnings.iter().zip(wanted) {
        assert!(line.ends_with(end), "{line}\n{end}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
}

#[test]
fn balancers_and_the_rules_that_lead_to_them() {
    let plan = valid("balancers.json");
    let ways: Vec<&Way> = plan
        .router
        .rules
        .iter()
        .map(|rule| &rule.outbound)
        .collect();
    let balancer = |tag: &str| Way::Balancer(tag.into());
    assert_eq!(
        ways,
        [&balancer("old"), &balancer("ping"), &"direct".into()]
    );
    let [old, ping, load, turns] = plan.router.balancers.as_slice() else {
        panic!("{:?}", plan.router.balancers);
    };
    let selector = vec!["out".into(), "dir".into()];
    assert_eq!(*old, BalancerOptions::new("old", selector));
    assert!(old.selects("out-1") && old.selects("direct") && !old.selects("in"));
    assert_eq!(ping.fallback.as_deref(), Some("direct"));
    assert_eq!(turns.fallback, None);
    let strategies = [ping, load, turns].map(|balancer| balancer.strategy);
    let wanted = [
        BalancerStrategy::LeastPing,
        BalancerStrategy::LeastLoad,
        BalancerStrategy::RoundRobin,
    ];
    assert_eq!(strategies, wanted);
    let wanted = [
        "routing.balancers[2].strategy.settings: has no effect: round trips are taken from the \
         connections themselves",
        "routing.balancers[2]: no outbound has a tag that begins so",
        "routing.rules[2].balancerTag: has no effect beside \"outboundTag\"",
        "observatory: has no effect: nothing is probed, and balancers go by the connections that \
         their outbounds make",
    ];
    for (line, end) in plan.warnings.iter().zip(wanted) {
        assert!(line.ends_with(end), "{line}\n{end}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
}

fn tls(stream: &StreamOptions) -> &tls::Options {
    match &stream.security {
        Security::Tls(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tls_settings() {
    let plan = valid("tls.json");
    let server = tls(&inbound(&plan, "files").stream);
    assert!(server.resumption && server.alpn == Some(vec!["h2".into()]));
    let shown = |chain, key| Certificate {
        usage: Usage::Encipherment,
        chain,
        key: Some(key),
    };
    let wanted = [
        shown(
            Pem::File("/etc/a.pem".into()),
            Pem::File("/etc/a.key".into()),
        ),
        shown(Pem::Inline("one\ntwo".into()), Pem::Inline("three".into())),
    ];
    assert_eq!(server.certificates, wanted);
    let client = |tag| tls(&outbound(&plan, tag).stream);
    assert_eq!(*client("default"), tls::Options::default());
    let pinned = client("pinned");
    assert_eq!(pinned.server_name, Some(address("portal.example.com")));
    assert_eq!(pinned.alpn, Some(vec!["http/1.1".into()]));
    assert_eq!(pinned.pins.len(), 1);
    assert!(pinned.allow_insecure && pinned.disable_system_root && !pinned.resumption);
    let insecure = client("insecure");
    assert!(insecure.allow_insecure && insecure.pins.is_empty());
    assert_eq!(insecure.certificates[0].usage, Usage::Verify);
    assert_eq!(outbound(&plan, "plain").stream, StreamOptions::default());
    let wanted = [
        "tlsSettings.serverName: has no effect on an inbound",
        "tlsSettings.allowInsecure: whoever answers is trusted",
        "tlsSettings: has no effect: \"security\" is not \"tls\"",
    ];
    for (line, part) in plan.warnings.iter().zip(wanted) {
        assert!(line.contains(part), "{line}\n{part}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
}

/// Keys are in them.
#[test]
fn pem_lines_are_not_printed() {
    let secret = Pem::Inline("-----BEGIN PRIVATE KEY-----".into());
    assert!(!format!("{secret:?} {secret}").contains("PRIVATE"));
}

#[test]
fn warnings_name_their_place() {
    let text = fs::read_to_string(folder("tests/config/valid/warnings.json")).unwrap();
    let plan = config::parse("w", &text).unwrap();
    let wanted = [
        "w:2:48: policy.levels.0.bufferSize: has no effect",
        "w:14:68: inbounds[0].settings.accounts: has no effect",
        "w:35:92: inbounds[6].settings.clients[0].alterId: the old header of VMess is not read",
        "w:66:94: outbounds[3].settings.vnext[0].users[0].alterId: the old header of VMess is not sent",
        "w:76:39: routing.rules[0].protocol[0]: \"bittorrent\" never matches",
        "w:14:36: inbounds[0].port: this proxy is open to everybody",
        "w:15:35: inbounds[1].port: this proxy is open to everybody",
        "w:16:36: inbounds[2].port: VLESS sends ids and data unencrypted",
        "w:39:5: outbounds[0]: \"mux\" needs a server",
        "w:40:5: outbounds[1]: VLESS sends ids and data unencrypted",
        "w:52:5: outbounds[2]: its carriers go through SOCKS",
        "w:58:5: outbounds[3]: with \"security\": \"none\" VMess sends data unencrypted",
        "w:9:16: reverse.portals[0].tag: no rule leads to this portal",
        "w:14:36: inbounds[0].port: whoever can reach this port and knows the portal's domain",
        "w:15:35: inbounds[1].port: whoever can reach this port and knows the portal's domain",
        "w:19:15: inbounds[3].port: whoever can reach this port becomes a bridge",
        "w:29:15: inbounds[5].port: bridges that come here send",
        "w:5:16: reverse.bridges[0].tag: its connection to the portal would",
        "w:5:16: reverse.bridges[0].tag: whoever uses the portal chooses",
        "w:6:16: reverse.bridges[1].tag: its carriers go through SOCKS",
        "w:52:5: outbounds[2]: with \"mux\" all carriers of a bridge share one",
    ];
    for (line, start) in plan.warnings.iter().zip(wanted) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
    let lonely = valid("no-outbounds.json").warnings;
    assert!(lonely[0].ends_with("there are no outbounds: every connection will be closed"));
}

/// What the examples say that they mean.
const MEANT: [&str; 3] = [
    "VLESS sends ids",
    "let nobody but the balancer reach it",
    "whoever can reach this address can see",
];

#[test]
fn the_examples_are_sound() {
    let entries = fs::read_dir(folder("examples")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let examples: Vec<_> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let plan = config::load(&example).unwrap();
        let meant = |line: &String| MEANT.iter().any(|part| line.contains(part));
        assert!(plan.warnings.iter().all(meant), "{:?}", plan.warnings);
    }
    for [bridge, portal] in [
        ["reverse-bridge.json", "reverse-portal.json"],
        ["vmess-bridge.json", "vmess-portal.json"],
        ["proxy-protocol-bridge.json", "proxy-protocol-portal.json"],
        ["haproxy-bridge.json", "haproxy-portal.json"],
    ] {
        let bridge = config::load(&folder("examples").join(bridge)).unwrap();
        let portal = config::load(&folder("examples").join(portal)).unwrap();
        assert_eq!(bridge.bridges[0].domain, portal.portals[0].domain);
    }
}

#[test]
fn several_files_are_one_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = [
        write(
            "1.json",
            r#"{"log": {"loglevel": "info"}, "outbounds": [{"protocol": "freedom", "tag": "a"}]}"#,
        ),
        write(
            "2.json",
            r#"{"outbounds": [{"protocol": "blackhole", "tag": "b"}]}"#,
        ),
        write(
            "3.json",
            r#"{"routing": {"rules": [{"type": "field", "port": 1, "outboundTag": "c"}]}}"#,
        ),
    ];
    let plan = config::load_all(&files[..2]).unwrap();
    let tags: Vec<&str> = plan.outbounds.iter().map(|o| &*o.tag).collect();
    assert_eq!(tags, ["b", "a"]);
    assert_eq!(plan.log.level, LevelFilter::Info);

    let error = config::load_all(&files).unwrap_err();
    assert!(error.file_name().ends_with("3.json"));
    assert_eq!(error.place().unwrap().path, "routing.rules[0].outboundTag");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    use std::error::Error;

    let folder = tempfile::tempdir().unwrap();
    let fails = |path: &Path| -> ConfigError { config::load(path).unwrap_err() };
    let path = folder.path().join("missing.json");
    let error = fails(&path);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}: cannot read", path.display()))
    );
    assert!(error.source().is_some() && error.place().is_none());
    assert!(fails(folder.path()).to_string().contains("cannot read"));

    let path = folder.path().join("latin1.json");
    fs::write(&path, b"{\n  \"log\": \"\xe9\"\n}").unwrap();
    assert!(
        fails(&path)
            .to_string()
            .ends_with("latin1.json:2:11: this is not UTF-8")
    );
    let path = folder.path().join("large.json");
    fs::write(&path, vec![b' '; muxcool::limits::MAX_CONFIG_SIZE + 1]).unwrap();
    assert!(
        fails(&path)
            .to_string()
            .contains("larger than 4194304 bytes")
    );
}

/// Texts that are nearly right: a fixture with a piece cut out or put in.
fn mutated() -> impl Strategy<Value = String> {
    let all: Vec<String> = texts("tests/config/valid")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let pieces = [
        "{", "}", "[", "]", ",", ":", "\"", "#", "//", "/*", "null", "-1", "é", "\\", "{}",
    ];
    let pieces = prop::sample::select(pieces.to_vec());
    (
        prop::sample::select(all),
        any::<prop::sample::Index>(),
        0..40usize,
        pieces,
    )
        .prop_map(|(text, at, cut, piece)| {
            let chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            let rest = (at + cut).min(chars.len());
            let (head, tail) = (&chars[..at], &chars[rest..]);
            head.iter().collect::<String>() + piece + &tail.iter().collect::<String>()
        })
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let _ = config::parse("f", &text);
    }

    #[test]
    fn errors_of_nearly_right_texts_fit_in_a_line(text in mutated()) {
        if let Err(error) = config::parse("f", &text) {
            let line = error.to_string();
            prop_assert!(line.starts_with("f:") && !line.contains('\n'), "{}", line);
            let place = error.place().unwrap();
            prop_assert!((1..=text.lines().count() + 1).contains(&place.line));
        }
    }
}
