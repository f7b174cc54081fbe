//! What newer configurations of Xray spell differently.

use muxcool::config::{self, InboundOptions, OutboundOptions};
use muxcool::proxy::freedom::FinalRule;
use muxcool::proxy::vmess::Security as Cipher;
use muxcool::router::{Condition, Way};
use muxcool::transport::stream::Security;

use super::{ID, Plan, address, inbound, outbound, valid};

fn plan() -> Plan {
    valid("xray.json")
}

#[test]
fn what_changes_nothing_is_warned_of() {
    let text = r#"{
        "outbounds": [{ "protocol": "freedom", "tag": "a", "streamSettings": { "sockopt": {
            "tcpFastOpen": true, "tcpKeepAliveIdle": 100, "tcpKeepAliveInterval": 0 } } }],
        "routing": { "domainMatcher": "hybrid", "rules": [
            { "ruleTag": "r", "domainMatcher": "mph", "port": 80, "outboundTag": "a" }] } }"#;
    let warnings = config::parse("c", text).unwrap().warnings;
    for key in [
        "outbounds[0].streamSettings.sockopt.tcpFastOpen",
        "outbounds[0].streamSettings.sockopt.tcpKeepAliveIdle",
        "routing.domainMatcher",
        "routing.rules[0].ruleTag",
        "routing.rules[0].domainMatcher",
    ] {
        let start = format!("{key}: has no effect");
        let told = warnings.iter().filter(|line| line.contains(&start));
        assert_eq!(told.count(), 1, "{key}: {warnings:#?}");
    }
}

#[test]
fn a_tunnel_is_a_door() {
    let plan = plan();
    let door = inbound(&plan, "door");
    assert_eq!(door.ports, 8080..=8080);
    let InboundOptions::Dokodemo(door) = &door.options else {
        panic!("no door")
    };
    assert_eq!((&door.address, door.port), (&address("192.0.2.80"), 80));
    assert!(door.tcp && door.udp);
}

#[test]
fn users_are_clients_or_accounts() {
    let plan = plan();
    let users = |tag: &str| match &inbound(&plan, tag).options {
        InboundOptions::Vless(vless) => vless.clients[0].id.to_string(),
        InboundOptions::Vmess(vmess) => vmess.clients[0].email.to_string(),
        InboundOptions::Socks(socks) => socks.accounts.as_ref().unwrap()[0].user.clone(),
        InboundOptions::Http(http) => http.accounts[0].user.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(users("vless"), ID);
    assert_eq!(users("vmess"), "a@example.com");
    assert_eq!(
        (users("socks"), users("http")),
        ("alice".into(), "bob".into())
    );
}

#[test]
fn a_server_may_stand_in_the_settings() {
    let plan = plan();
    let OutboundOptions::Vless(vless) = &outbound(&plan, "vless").options else {
        panic!("not vless")
    };
    let [server] = &vless.servers[..] else {
        panic!("{:?}", vless.servers)
    };
    assert_eq!((&server.address, server.port), (&address("127.0.0.1"), 443));
    assert_eq!(server.users.len(), 1);
    assert_eq!(server.users[0].to_string(), ID);

    let OutboundOptions::Vmess(vmess) = &outbound(&plan, "vmess").options else {
        panic!("not vmess")
    };
    let [server] = &vmess.servers[..] else {
        panic!("{:?}", vmess.servers)
    };
    assert_eq!(server.address, address("portal.example.com"));
    assert_eq!(server.users[0].id.to_string(), ID);
    assert_eq!(server.users[0].security, Some(Cipher::Chacha20Poly1305));

    let accounts = |tag: &str| match &outbound(&plan, tag).options {
        OutboundOptions::Socks(socks) => socks.servers[0].users.clone(),
        other => panic!("{other:?}"),
    };
    assert!(accounts("nobody").is_empty());
    assert_eq!(accounts("somebody")[0].user, "alice");
    assert_eq!(accounts("somebody")[0].password, "wonder");
}

#[test]
fn final_rules_are_read_in_order() {
    let plan = plan();
    let rules = |tag: &str| match &outbound(&plan, tag).options {
        OutboundOptions::Freedom(freedom) => freedom.final_rules.clone(),
        other => panic!("{other:?}"),
    };
    let bounded = rules("bounded");
    let service = FinalRule {
        allow: true,
        tcp: true,
        udp: false,
        ports: vec![80..=80, 8000..=8999],
        nets: vec!["127.0.0.1/32".parse().unwrap()],
    };
    assert_eq!(bounded[0], service);
    assert_eq!(
        (bounded[1].allow, bounded[1].tcp, bounded[1].udp),
        (false, false, true)
    );
    assert_eq!(bounded[1].nets.len(), 20);
    assert!(bounded[1].nets.contains(&"192.168.0.0/16".parse().unwrap()));
    assert!(bounded[2].is_for_all() && !bounded[2].allow);
    assert_eq!(bounded.len(), 3);
    assert_eq!(rules("half-bounded")[0].ports, [25..=25]);
    let nowhere = &outbound(&plan, "nowhere").options;
    assert!(matches!(nowhere, OutboundOptions::Blackhole(_)));
}

#[test]
fn rules_need_no_type_and_know_private_addresses() {
    let rules = plan().router.rules;
    assert_eq!(rules[0].outbound, Way::Outbound("vless".into()));
    assert_eq!(rules[0].conditions.len(), 1);
    let [Condition::Ip(private)] = &rules[1].conditions[..] else {
        panic!("{:?}", rules[1])
    };
    assert_eq!(private.len(), 19);
    for (ip, expected) in [
        ("192.168.1.2", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("::", true),
        ("fd00::1", true),
        ("1.1.1.1", false),
        ("2606:4700::1", false),
    ] {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        assert_eq!(
            private.iter().any(|net| net.contains(&ip)),
            expected,
            "{ip}"
        );
    }
}

#[test]
fn what_has_no_effect_is_said() {
    let plan = plan();
    let Security::Tls(tls) = &outbound(&plan, "vless").stream.security else {
        panic!("no TLS")
    };
    assert!(!tls.resumption);
    let wanted = [
        "policy.system.statsInboundUplink: has no effect",
        "policy.levels.0.statsUserUplink: has no effect",
        "outbounds[5].settings.finalRules: lets through what none of its rules holds for",
    ];
    for (line, part) in plan.warnings.iter().zip(wanted) {
        assert!(line.contains(part), "{line}\n{part}");
    }
    assert_eq!(plan.warnings.len(), wanted.len(), "{:#?}", plan.warnings);
}
