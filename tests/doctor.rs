//! `muxcool test` and `muxcool explain`: all that is wrong, what is surely
//! unmeant, and which rule decides.

#![cfg(feature = "cli")]

#[allow(dead_code)]
#[path = "support/certificate.rs"]
mod certificate;
#[path = "support/command.rs"]
mod command;

use std::fs;
use std::process::Output;

use certificate::Certificate;
use command::{stderr, stdout};
use muxcool::config;
use serde_json::{Value, json};

const BAD_CONFIGURATION: i32 = 23;
const USAGE: i32 = 2;

/// The program, on a configuration that stands in `c.json`.
fn on(text: &str, args: &[&str], env: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("c.json"), text).unwrap();
    command::muxcool(args)
        .args(["-c", "c.json"])
        .current_dir(directory.path())
        .env_remove("CLICOLOR_FORCE")
        .envs(env.iter().copied())
        .output()
        .unwrap()
}

const WRONG: &str = r#"{
  "log": {"loglevel": "loud"},
  "policy": {"levels": {"0": {"connIdle": 0}, "x": {}}},
  "inbounds": [
    {"port": 1080, "tag": "a", "protocol": "socks", "listen": "nope"},
    {"port": 1081, "tga": "b", "protocol": "socks", "listen": "127.0.0.1"},
    {"port": 1082, "tag": "c", "protocol": "http", "listen": "127.0.0.1", "streamSettings":
      {"security": "tls", "tlsSettings": {"certificates": [
        {"certificateFile": "missing.pem", "keyFile": "missing.key"}]}}},
    {"port": 1083, "tag": "d", "port": 3, "protocol": "http", "listen": "0.0.0.0"}
  ],
  "routing": {"rules": [
    {"type": "field", "inboundTag": ["a"], "outboundTag": "out"},
    {"type": "field", "port": "x", "outboundTag": "out"},
    {"type": "field", "port": "1", "outboundTag": "nowhere"}
  ]},
  "outbounds": [{"protocol": "fredom", "tag": "out"}],
  "reverse": {"portals": [{"tag": "p"}], "bridges": [{"tag": "b", "domain": ""}]},
  "stats": {"a": 1}
}"#;

/// Where each mistake of it is. What was named by something wrong is none.
const PLACES: [&str; 13] = [
    "c.json:2:23: log.loglevel: unknown log level",
    "c.json:3:43: policy.levels.0.connIdle: 0 seconds",
    "c.json:3:47: policy.levels.x: ",
    "c.json:5:63: inbounds[0].listen: ",
    "c.json:6:20: inbounds[1].tga: unknown key; did you mean \"tag\"?",
    "c.json:8:7: inbounds[2].streamSettings: cannot read missing.pem",
    "c.json:10:32: inbounds[3].port: this key is given twice",
    "c.json:14:31: routing.rules[1].port: \"x\" is no port",
    "c.json:15:51: routing.rules[2].outboundTag: no outbound",
    "c.json:17:30: outbounds[0].protocol: unknown protocol",
    "c.json:18:27: reverse.portals[0]: \"domain\" is missing",
    "c.json:18:77: reverse.bridges[0].domain: an empty domain",
    "c.json:19:12: stats: not supported",
];

#[test]
fn everything_wrong_is_told_at_once_by_line() {
    for args in [&["test"][..], &["run"], &[]] {
        let output = on(WRONG, args, &[]);
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        let lines: Vec<&str> = stderr(&output).lines().collect();
        for (line, place) in lines.iter().zip(PLACES) {
            assert!(line.starts_with(&format!("error: {place}")), "{lines:#?}");
        }
        let open = lines[PLACES.len()];
        assert!(open.starts_with("warning: c.json:10:"), "{lines:#?}");
        assert_eq!(*lines.last().unwrap(), "13 errors, 1 warning");
        assert_eq!(lines.len(), PLACES.len() + 2, "{lines:#?}");
    }
}

/// Many mistakes in each part, and what each part is named by.
const DENSE: &str = r#"{
  "log": {"loglevel": "loud", "access": 1},
  "policy": {"levels": {"0": {"handshake": 0, "connIdle": "9"}}, "mux": {"probe": -1, "dead": "x"}},
  "inbounds": [{
    "tag": "in", "protocol": "vless", "port": 70000,
    "listen": "nope", "allocate": {"strategy": "random"},
    "settings": {"decryption": "yes", "clients": [
      {"id": "x", "level": "0", "flow": "xtls"},
      {"email": 1}
    ]},
    "streamSettings": {
      "network": "kcp", "security": "xtls",
      "tlsSettings": {"alpn": 1, "certificates": [{"usage": "issue"}, {"keyFile": 1}]},
      "sockopt": {"tproxy": "redirect", "mark": 1}
    },
    "sniffing": {"enabled": "true", "destOverride": ["htp", "tls"]}
  }],
  "outbounds": [{
    "tag": "out", "protocol": "vmess", "sendThrough": "here",
    "mux": {"enabled": 1, "concurrency": 2000},
    "settings": {"vnext": [
      {"port": "443", "users": [{"id": "y", "security": "rot13", "experiments": "a"}]}
    ]}
  }, {"tag": "out", "prot": "freedom"}],
  "routing": {
    "rules": [
      {"type": "fild", "inboundTag": ["in", "int"], "port": "x",
       "ip": ["10.0.0.0/8", "10.0.0.0/99"], "network": "tcp,sctp", "outboundTag": "uot"},
      {"inboundTag": "in", "outboundTag": "out"},
      {"inboudTag": "in", "balancerTag": "even"}
    ],
    "balancers": [{"selector": [], "strategy": {"type": "best"}, "fallbackTag": "none"}]
  },
  "reverse": {"bridges": [{"domain": "", "services": ["Web", "ok"], "allowTargets": ["80", "a:1"]}]}
}"#;

/// How what is told of it begins: line, key, what.
const DENSE_MISTAKES: [&str; 51] = [
    "2 log.loglevel: unknown log level \"loud\"",
    "2 log.access: expected a string, found a number",
    "3 policy.levels.0.handshake: 0 seconds would end every connection at once",
    "3 policy.levels.0.connIdle: expected a number, found a string",
    "3 policy.mux.probe: -1 is out of range",
    "3 policy.mux.dead: expected a number, found a string",
    "5 inbounds[0].port: 70000 is out of range",
    "6 inbounds[0].listen: \"nope\" is no address to listen on",
    "6 inbounds[0].allocate.strategy: \"random\" is not supported by muxcool",
    "7 inbounds[0].settings.decryption: VLESS has no decryption \"yes\"",
    "8 inbounds[0].settings.clients[0].id: a short text instead of a UUID, as Xray takes it",
    "8 inbounds[0].settings.clients[0].level: expected a number, found a string",
    "8 inbounds[0].settings.clients[0].flow: not supported by muxcool",
    "9 inbounds[0].settings.clients[1]: \"id\" is missing",
    "9 inbounds[0].settings.clients[1].email: expected a string, found a number",
    "12 inbounds[0].streamSettings.network: the network \"kcp\" is not supported by muxcool",
    "12 inbounds[0].streamSettings.security: \"xtls\" is not supported by muxcool",
    "13 inbounds[0].streamSettings.tlsSettings.alpn: expected an array of strings, or one s",
    "13 inbounds[0].streamSettings.tlsSettings.certificates[0]: \"certificateFile\" is miss",
    "13 inbounds[0].streamSettings.tlsSettings.certificates[0].usage: \"issue\" is not supp",
    "13 inbounds[0].streamSettings.tlsSettings.certificates[1]: \"certificateFile\" is miss",
    "13 inbounds[0].streamSettings.tlsSettings.certificates[1].keyFile: expected a string,",
    "14 inbounds[0].streamSettings.sockopt.tproxy: transparent proxying is not supported by",
    "14 inbounds[0].streamSettings.sockopt.mark: not supported by muxcool",
    "16 inbounds[0].sniffing.enabled: expected true or false, found a string",
    "16 inbounds[0].sniffing.destOverride[0]: unknown protocol \"htp\"",
    "19 outbounds[0].sendThrough: \"here\" is no IP address",
    "20 outbounds[0].mux.enabled: expected true or false, found a number",
    "20 outbounds[0].mux.concurrency: 2000 sessions on one carrier are too many",
    "22 outbounds[0].settings.vnext[0]: \"address\" is missing",
    "22 outbounds[0].settings.vnext[0].port: expected a number, found a string",
    "22 outbounds[0].settings.vnext[0].users[0].id: a short text instead of a UUID, as Xray",
    "22 outbounds[0].settings.vnext[0].users[0].security: unknown security \"rot13\"",
    "22 outbounds[0].settings.vnext[0].users[0].experiments: unknown experiment \"a\"",
    "24 outbounds[1].tag: the tag \"out\" is taken",
    "24 outbounds[1].prot: unknown key",
    "27 routing.rules[0].type: unknown type \"fild\"",
    "27 routing.rules[0].port: \"x\" is no port",
    "28 routing.rules[0].ip[1]: \"10.0.0.0/99\" is no IP address or range",
    "28 routing.rules[0].network: unknown network \"sctp\"",
    "28 routing.rules[0].outboundTag: no outbound or portal is called \"uot\"",
    "30 routing.rules[2].inboudTag: unknown key",
    "32 routing.balancers[0]: \"tag\" is missing",
    "32 routing.balancers[0].selector: an empty list selects no outbound",
    "32 routing.balancers[0].strategy.type: unknown strategy \"best\"",
    "32 routing.balancers[0].fallbackTag: no outbound or portal is called \"none\"",
    "34 reverse.bridges[0]: \"tag\" is missing",
    "34 reverse.bridges[0].domain: an empty domain",
    "34 reverse.bridges[0].services[0]: \"Web\" is no name of a service",
    "34 reverse.bridges[0].allowTargets[0]: \"80\" is a port without an address",
    "34 reverse.bridges[0].allowTargets[1]: \"a\" is a name, and what is checked is the add",
];

#[test]
fn everything_wrong_in_one_part_is_told_at_once() {
    let diagnosis = config::examine("c", DENSE);
    let told = diagnosis.errors().iter().map(|error| {
        let place = error.place().unwrap();
        format!("{} {}: {}", place.line, place.path, error.what())
    });
    let told: Vec<String> = told.collect();
    for (line, start) in told.iter().zip(DENSE_MISTAKES) {
        assert!(line.starts_with(start), "{line}\n{start}\n{told:#?}");
    }
    assert_eq!(told.len(), DENSE_MISTAKES.len(), "{told:#?}");
    assert!(diagnosis.warnings().is_empty());
}

#[test]
fn what_is_misspelt_is_not_missing_as_well() {
    let server = r#"{"address": "a.example", "port": 1, "users": []}"#;
    for (key, value) in [
        ("inbounds", r#"{"protocl": "socks", "port": 1}"#.to_owned()),
        (
            "inbounds",
            r#"{"protocol": "socks", "port": 1,
            "streamSettings": {"security": "tls", "tlsSetting": {}}}"#
                .to_owned(),
        ),
        (
            "inbounds",
            r#"{"protocol": "dokodemo-door", "port": 1,
            "settings": {"followRedirect": true}}"#
                .to_owned(),
        ),
        (
            "outbounds",
            format!(r#"{{"protocol": "socks", "settings": {{"server": [{server}]}}}}"#),
        ),
        (
            "outbounds",
            format!(r#"{{"protocol": "vless", "settings": {{"vnex": [{server}]}}}}"#),
        ),
    ] {
        let diagnosis = config::examine("c", &format!(r#"{{"{key}": [{value}]}}"#));
        let told = diagnosis.errors();
        assert_eq!(told.len(), 1, "{told:#?}");
    }
}

/// A certificate is looked for though the inbound has no port, nor its stream a
/// network that we know; and what is wrong
/// with an inbound makes no proxy of it that is open to everybody.
#[test]
fn files_are_looked_for_in_parts_that_are_wrong_otherwise() {
    let text = r#"{"inbounds": [{"protocol": "socks", "streamSettings": {
        "network": "kcp", "security": "tls", "tlsSettings": {"certificates": [
        {"certificateFile": "missing.pem", "keyFile": "missing.key"}]}}}]}"#;
    let output = on(text, &["test"], &[]);
    let told = stderr(&output);
    assert!(told.contains("\"port\" is missing"), "{told}");
    assert!(told.contains("cannot read missing.pem"), "{told}");
    assert!(told.ends_with("3 errors\n"), "{told}");
}

#[test]
fn the_same_is_told_in_json() {
    let output = on(WRONG, &["test", "--json"], &[]);
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    assert_eq!(stderr(&output), "");
    let found: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(found["ok"], false);
    let errors = found["errors"].as_array().unwrap();
    assert_eq!(errors.len(), PLACES.len());
    assert_eq!(errors[4]["file"], "c.json");
    assert_eq!(errors[4]["line"], 6);
    assert_eq!(errors[4]["column"], 20);
    assert_eq!(errors[4]["key"], "inbounds[1].tga");
    assert_eq!(errors[4]["what"], "unknown key");
    assert_eq!(errors[4]["help"], "did you mean \"tag\"?");
    assert_eq!(found["warnings"][0]["line"], 10);
}

#[test]
fn a_certificate_that_has_expired_is_warned_of() {
    for (certificate, warnings) in [
        (Certificate::expired("a.example"), 1),
        (Certificate::for_name("a.example"), 0),
    ] {
        let text = json!({
            "inbounds": [{ "port": 1, "listen": "127.0.0.1", "protocol": "socks",
                "streamSettings": certificate.shown() }],
            "outbounds": [{ "protocol": "blackhole" }],
        });
        let output = on(&text.to_string(), &["test"], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told = stderr(&output);
        assert_eq!(told.lines().count(), warnings, "{told}");
        let date = "this certificate expired at 2002-01-01T00:00:00Z: ";
        assert_eq!(told.contains(date), warnings > 0, "{told}");
    }
}

#[test]
fn a_sound_one_is_ok_in_json() {
    let sound = WAY_OUT.replace("RULES", "");
    let output = on(&sound, &["test", "--json"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let found: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(found["ok"], true);
    assert!(found["errors"].as_array().unwrap().is_empty());
}

#[test]
fn colours_are_for_terminals_or_whoever_insists() {
    for (env, coloured) in [
        (&[][..], false),
        (&[("NO_COLOR", "1")], false),
        (&[("CLICOLOR_FORCE", "1")], true),
    ] {
        let test = on(WRONG, &["test"], env);
        assert_eq!(stderr(&test).contains('\u{1b}'), coloured, "{env:?}");
        let args = ["explain", "--from", "in", "--to", "tcp:a.example:80"];
        let explained = on(&WAY_OUT.replace("RULES", ""), &args, env);
        assert_eq!(stdout(&explained).contains('\u{1b}'), coloured, "{env:?}");
    }
}

#[test]
fn mistakes_without_end_are_cut() {
    let key = r#""a": 1,"#.repeat(10_000);
    let errors = config::examine("f", &format!("{{{key} \"b\": 2}}")).into_plan();
    assert_eq!(
        errors.unwrap_err().len(),
        muxcool::limits::MAX_CONFIG_ERRORS
    );
}

// ---------------------------------------------------------------------------
// Warnings, each with a twin that has none
// ---------------------------------------------------------------------------

/// A portal that bridges and visitors get to.
const PORTAL: &str = r#"{
  "inbounds": [
    {"tag": "in", "port": 1080, "listen": "127.0.0.1", "protocol": "dokodemo-door",
     "settings": {"address": "127.0.0.1", "port": 80}},
    {"tag": "bridges", "port": 1081, "listen": "127.0.0.1", "protocol": "vless",
     "settings": {"decryption": "none"}}
  ],
  "outbounds": [{"protocol": "blackhole"}],
  "reverse": {"portals": [{"tag": "portal", "domain": "t.example"}]},
  "routing": {"rules": [
    {"type": "field", "inboundTag": ["in"], "outboundTag": "portal"},
    {"type": "field", "inboundTag": ["bridges"], "domain": ["full:t.example"], "outboundTag": "portal"}
  ]}
}"#;

/// A bridge that gets to its portal.
const BRIDGE: &str = r#"{
  "outbounds": [
    {"protocol": "blackhole"},
    {"tag": "to", "protocol": "vless", "settings": {"vnext": [{"address": "127.0.0.1", "port": 1,
     "users": [{"id": "b831381d-6324-4d53-ad4f-8cda48b30811", "encryption": "none"}]}]}}
  ],
  "reverse": {"bridges": [{"tag": "bridge", "domain": "t.example", "allowTargets": ":80"}]},
  "routing": {"rules": [
    {"type": "field", "inboundTag": ["bridge"], "domain": ["full:t.example"], "outboundTag": "to"}
  ]}
}"#;

/// One way in, several out.
const WAY_OUT: &str = r#"{
  "inbounds": [{"tag": "in", "port": 1080, "listen": "127.0.0.1", "protocol": "socks"}],
  "outbounds": [
    {"protocol": "freedom", "tag": "first"},
    {"protocol": "blackhole", "tag": "drop"},
    {"protocol": "freedom", "tag": "out-1"},
    {"protocol": "freedom", "tag": "out-2"}
  ],
  "routing": {"rules": [RULES],
    "balancers": [{"tag": "even", "selector": ["out-"], "fallbackTag": "drop"}]}
}"#;

fn warnings(text: &str) -> Vec<String> {
    config::parse("c", text).unwrap().warnings
}

/// `text` has no warning until `from` becomes `to`.
fn one_warning(text: &str, from: &str, to: &str, wanted: &str) {
    assert_eq!(warnings(text), [""; 0]);
    assert!(text.contains(from), "{from}");
    let found = warnings(&text.replace(from, to));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(wanted), "{found:#?}");
}

#[test]
fn portals_that_nobody_gets_to() {
    let no_bridge = "full:t.exampel";
    one_warning(PORTAL, "full:t.example", no_bridge, "no bridge can come in");
    let only = r#""outboundTag": "portal""#;
    let other = &PORTAL.replace("blackhole\"", "blackhole\", \"tag\": \"o\"");
    one_warning(
        other,
        only,
        r#""outboundTag": "o""#,
        "no rule leads to this portal",
    );
    let first = r#"{"protocol": "blackhole"}"#;
    one_warning(PORTAL, first, "", "the first portal takes every connection");
    let second = r#"t.example"}, {"tag": "other", "domain": "o.example"}"#;
    let found = warnings(&PORTAL.replace(first, "").replace(r#"t.example"}"#, second));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[1].contains("no rule leads to this portal"),
        "{found:#?}"
    );
}

#[test]
fn bridges_that_do_not_get_out() {
    one_warning(BRIDGE, "full:t.example", "full:other", "lead to no portal");
    let name = r#""domain": ["full:t.example"], "#;
    one_warning(BRIDGE, name, "", "back to where the portal is");
    let with_mux = r#"{"mux": {"enabled": true}, "tag": "to""#;
    one_warning(
        BRIDGE,
        r#"{"tag": "to""#,
        with_mux,
        "all carriers of a bridge share one",
    );
}

#[test]
fn what_is_open_to_the_world() {
    let proxy = WAY_OUT.replace("RULES", "");
    one_warning(&proxy, "127.0.0.1", "0.0.0.0", "open to everybody");
    let entrance = r#"1081, "listen": "127.0.0.1""#;
    let public = r#"1081, "listen": "0.0.0.0""#;
    one_warning(
        PORTAL,
        entrance,
        public,
        "VLESS sends ids and data unencrypted",
    );
    one_warning(
        BRIDGE,
        "127.0.0.1",
        "192.0.2.1",
        "VLESS sends ids and data unencrypted",
    );
}

#[test]
fn rules_in_the_shadow_of_others() {
    // The earlier rule, one that it covers, and one that it does not.
    let cases = [
        (
            r#""inboundTag": ["in"]"#,
            r#""inboundTag": ["in"], "port": 1"#,
            r#""port": 1"#,
        ),
        (
            r#""port": "1-100""#,
            r#""port": "7,20-30""#,
            r#""port": "99-101""#,
        ),
        (
            r#""ip": "10.0.0.0/8""#,
            r#""ip": "10.1.0.0/16""#,
            r#""ip": "0.0.0.0/0""#,
        ),
        (
            r#""source": "10.0.0.0/8""#,
            r#""source": "10.0.0.1""#,
            r#""ip": "10.0.0.1""#,
        ),
        (
            r#""sourcePort": "1-9""#,
            r#""sourcePort": "2""#,
            r#""port": "2""#,
        ),
        (
            r#""network": "tcp""#,
            r#""network": "tcp", "port": 1"#,
            r#""network": "tcp,udp""#,
        ),
        (r#""network": "tcp,udp""#, r#""port": 1"#, ""),
        (
            r#""user": ["a", "b"]"#,
            r#""user": "b""#,
            r#""user": ["b", "c"]"#,
        ),
        (
            r#""protocol": "http""#,
            r#""protocol": "http/1.1""#,
            r#""port": 1"#,
        ),
        (
            r#""domain": "domain:a.com""#,
            r#""domain": "full:x.a.com""#,
            r#""domain": "full:xa.com""#,
        ),
        (
            r#""domain": "domain:a.com""#,
            r#""domain": "domain:b.a.com""#,
            r#""domain": "domain:com""#,
        ),
        (
            r#""domain": "a.c""#,
            r#""domain": "domain:a.com""#,
            r#""domain": "a.""#,
        ),
        (
            r#""domain": "regexp:^a""#,
            r#""domain": ["regexp:^a", "full:ab"]"#,
            r#""domain": "full:ba""#,
        ),
        (
            r#""domain": "dotless:a""#,
            r#""domain": "dotless:ab""#,
            r#""domain": "ab""#,
        ),
    ];
    for (earlier, covered, free) in cases {
        let with = |later: &str| {
            let rule = |conditions: &str| {
                format!(r#"{{"type": "field", "outboundTag": "drop", {conditions}}}"#)
            };
            let rules = format!("{}, {}", rule(earlier), rule(later));
            warnings(&WAY_OUT.replace("RULES", &rules))
        };
        let found = with(covered);
        assert_eq!(found.len(), 1, "{earlier} {covered}: {found:?}");
        assert!(found[0].contains("routing.rules[1]: this rule never matches"));
        if !free.is_empty() {
            assert_eq!(with(free), [""; 0], "{earlier} {free}");
        }
    }
}

// ---------------------------------------------------------------------------
// Explanations
// ---------------------------------------------------------------------------

const RULES: &str = r#"
    {"type": "field", "domain": ["full:b.example"], "outboundTag": "drop"},
    {"type": "field", "port": "53,1000-2000", "outboundTag": "drop"},
    {"type": "field", "ip": "10.0.0.0/8", "outboundTag": "drop"},
    {"type": "field", "source": "192.0.2.0/24", "outboundTag": "drop"},
    {"type": "field", "sourcePort": "7", "outboundTag": "drop"},
    {"type": "field", "user": "eve", "outboundTag": "drop"},
    {"type": "field", "protocol": "http", "outboundTag": "drop"},
    {"type": "field", "inboundTag": "in", "network": "udp", "balancerTag": "even"}"#;

fn explained(args: &[&str]) -> Value {
    let text = WAY_OUT.replace("RULES", RULES);
    let args = [&["explain", "--json", "--from", "in"], args].concat();
    let output = on(&text, &args, &[]);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    serde_json::from_str(stdout(&output)).unwrap()
}

#[test]
fn each_kind_of_condition_is_named() {
    let plain = "tcp:a.example:80";
    let cases: [(&[&str], usize, &str); 8] = [
        (&["--to", "tcp:b.example:80"], 0, "domain full:b.example"),
        (&["--to", "tcp:a.example:1500"], 1, "port 53,1000-2000"),
        (&["--to", "tcp:10.1.2.3:80"], 2, "ip 10.0.0.0/8"),
        (
            &["--to", plain, "--source", "192.0.2.9"],
            3,
            "source 192.0.2.0/24",
        ),
        (&["--to", plain, "--source", "[::1]:7"], 4, "sourcePort 7"),
        (&["--to", plain, "--user", "eve"], 5, "user eve"),
        (
            &["--to", plain, "--protocol", "http/1.1"],
            6,
            "protocol http",
        ),
        (&["--to", "udp:a.example:80"], 7, "inboundTag in"),
    ];
    for (args, rule, matched) in cases {
        let answer = explained(args);
        assert_eq!(answer["rule"], rule, "{args:?}");
        let rules = answer["passes"][0]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), rule + 1, "{args:?}");
        assert_eq!(rules[rule]["decides"], true);
        assert_eq!(rules[rule]["matched"][0], matched);
        let place = format!("routing.rules[{rule}]");
        assert_eq!(rules[rule]["key"], place.as_str());
        for (before, (_, _, unmet)) in rules[..rule].iter().zip(cases) {
            assert_eq!(before["unmet"], unmet, "{args:?}");
        }
    }
}

#[test]
fn rules_lead_to_outbounds_balancers_and_the_default() {
    let tags = |answer: &Value| -> Vec<String> {
        let outbounds = answer["outbounds"].as_array().unwrap().iter();
        outbounds
            .map(|o| o["tag"].as_str().unwrap().to_owned())
            .collect()
    };
    let ruled = explained(&["--to", "tcp:b.example:80"]);
    assert_eq!(tags(&ruled), ["drop"]);
    assert_eq!(ruled["outbounds"][0]["what"], "blackhole");
    let balanced = explained(&["--to", "udp:a.example:80"]);
    assert_eq!(tags(&balanced), ["out-1", "out-2"]);
    assert_eq!(balanced["balancer"], "even");
    assert_eq!(balanced["strategy"], "random");
    assert_eq!(balanced["fallback"], "drop");
    let left = explained(&["--to", "tcp:a.example:80"]);
    assert_eq!(tags(&left), ["first"]);
    assert_eq!(left["rule"], Value::Null);
    assert_eq!(left["passes"][0]["rules"][7]["unmet"], "network udp");
}

/// A bridge whose visitors go out by freedom, or by a server.
fn bounded() -> String {
    let freedom = r#""outbounds": [{"protocol": "freedom", "tag": "out", "settings": {
      "finalRules": [{"action": "block", "port": 443}, {"action": "allow"}]}},"#;
    let outbounds = BRIDGE.replace(r#""outbounds": ["#, freedom);
    let allowed = r#"["127.0.0.1:80", "10.0.0.0/8", ":443"]"#;
    let rule = r#"{"type": "field", "inboundTag": ["bridge"], "port": 8, "outboundTag": "to"},"#;
    let rules = format!(r#""rules": [{rule}"#);
    let text = outbounds.replace(r#"":80""#, allowed);
    text.replace(r#""rules": ["#, &rules)
}

#[test]
fn an_explanation_says_what_may_be_dialled() {
    let told = |to: &str| {
        let args = ["explain", "--from", "bridge", "--to", to];
        let output = on(&bounded(), &args, &[]);
        stdout(&output).lines().last().unwrap().to_owned()
    };
    let freely = "127.0.0.1:80 of allowTargets and finalRules[1]";
    for (to, last) in [
        (
            "tcp:127.0.0.1:80",
            format!("allowed 127.0.0.1:80: {freely}"),
        ),
        (
            "tcp:10.1.2.3:443",
            "refused 10.1.2.3:443: finalRules[0]".into(),
        ),
        (
            "tcp:127.0.0.1:22",
            "refused 127.0.0.1:22: not in allowTargets".into(),
        ),
        (
            "tcp:10.1.2.3:8",
            "allowed 10.1.2.3:8: 10.0.0.0/8 of allowTargets".into(),
        ),
        (
            "tcp:192.0.2.1:8",
            "refused 192.0.2.1:8: not in allowTargets".into(),
        ),
    ] {
        assert_eq!(told(to), last);
    }
    let by_name = told("tcp:a.example:8");
    assert!(
        by_name.starts_with("refused a.example:8: only addresses"),
        "{by_name}"
    );
    assert!(told("tcp:t.example:0").starts_with("goes to to"));
}

#[test]
fn an_explanation_can_be_read() {
    let ask = |from| ["explain", "--from", from, "--to", "tcp:t.example:0"];
    let bridges = on(PORTAL, &ask("bridges"), &[]);
    assert_eq!(
        stdout(&bridges),
        "no      c.json:11: routing.rules[0]: not inboundTag in\n\
         decides c.json:12: routing.rules[1]: inboundTag bridges; domain full:t.example\n\
         goes to portal: portal of t.example\n"
    );
    let unknown = on(PORTAL, &ask("bridge"), &[]);
    assert_eq!(unknown.status.code(), Some(USAGE));
    assert!(
        stderr(&unknown).contains("one of: in, bridges"),
        "{unknown:?}"
    );
    for wrong in [
        "t.example:0",
        "tcp:t.example",
        "tcp:t.example:65536",
        "tcp:a b:1",
    ] {
        let output = on(PORTAL, &["explain", "--to", wrong], &[]);
        assert_eq!(output.status.code(), Some(USAGE), "{wrong}");
    }
}
