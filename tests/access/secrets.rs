//! Secrets are in no log, whatever level, and in no `Debug` output.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use muxcool::app::App;
use muxcool::config;
use muxcool::limits::MUX_DOMAIN;
use muxcool::net::Destination;
use muxcool::proxy::http::wire::{HeadBuffer, parse_request};
use muxcool::proxy::vless;

use crate::loopback::PATIENCE;
use crate::mux_support::logs;
use crate::support::target::TcpTarget;
use crate::support::threads::ThreadCheck;

const PASSWORD: &str = "Xy7-open-sesame";
const WRONG: &str = "Qw3-shut-sesame";
const ID: &str = "b831381d-6324-4d53-ad4f-8cda48b30811";
const WRONG_ID: &str = "0f5e1a9c-1111-4d53-ad4f-8cda48b30812";

/// The secrets as they may turn up: as text, in base64 (`alice:…`), as bytes
/// in a list, without dashes.
fn forms() -> Vec<String> {
    let list = |text: &str| {
        let bytes: Vec<String> = text.bytes().map(|b| b.to_string()).collect();
        bytes.join(", ")
    };
    let mut forms = Vec::new();
    for secret in [PASSWORD, WRONG] {
        forms.extend([secret.to_owned(), list(secret)]);
    }
    for id in [ID, WRONG_ID] {
        forms.extend([id.to_owned(), id.replace('-', "")]);
    }
    // The password alone in base64, which is a part of the right credentials.
    forms.push("WHk3LW9wZW4tc2VzYW1l".to_owned());
    forms.extend([BASIC_RIGHT, BASIC_WRONG].map(str::to_owned));
    forms
}

const BASIC_RIGHT: &str = "YWxpY2U6WHk3LW9wZW4tc2VzYW1l";
const BASIC_WRONG: &str = "YWxpY2U6UXczLXNodXQtc2VzYW1l";

#[track_caller]
fn assert_silent(text: &str) {
    let lower = text.to_lowercase();
    for form in forms() {
        assert!(!lower.contains(&form.to_lowercase()), "{form} in {text}");
    }
}

#[track_caller]
fn assert_hides(value: &impl Debug) {
    assert_silent(&format!("{value:?}"));
    assert_silent(&format!("{value:#?}"));
}

fn configuration(access: &str) -> String {
    let accounts = format!(r#""accounts": [{{ "user": "alice", "pass": "{PASSWORD}" }}]"#);
    let inbound = |tag: &str, protocol: &str, settings: &str| {
        format!(
            r#"{{ "tag": "{tag}", "protocol": "{protocol}", "listen": "127.0.0.1", "port": 0,
                 "settings": {{ {settings} }} }}"#
        )
    };
    let inbounds = [
        inbound(
            "socks",
            "socks",
            &format!(r#""auth": "password", {accounts}"#),
        ),
        inbound("http", "http", &accounts),
        inbound(
            "vless",
            "vless",
            &format!(r#""decryption": "none", "clients": [{{ "id": "{ID}", "email": "alice" }}]"#),
        ),
    ];
    format!(
        r#"{{ "log": {{ "access": "{access}", "loglevel": "debug" }},
             "inbounds": [{}],
             "outbounds": [{{ "protocol": "freedom", "tag": "direct" }},
               {{ "protocol": "socks", "tag": "proxy", "settings": {{ "servers": [{{ "address":
                 "127.0.0.1", "port": 9, "users": [{{ "user": "alice", "pass": "{PASSWORD}" }}] }}] }} }},
               {{ "protocol": "vless", "tag": "server", "settings": {{ "vnext": [{{ "address":
                 "127.0.0.1", "port": 9, "users": [{{ "id": "{ID}", "encryption": "none" }}] }}] }} }}] }}"#,
        inbounds.join(",")
    )
}

#[test]
fn what_holds_a_secret_does_not_print_it() {
    let plan = config::parse("f", &configuration("none")).unwrap();
    assert!(format!("{plan:?}").contains("alice"), "it prints something");
    assert_hides(&plan);

    let mut header = Vec::new();
    let target = Destination::tcp(MUX_DOMAIN, 0).unwrap();
    vless::wire::write_request(&mut header, &ID.parse().unwrap(), &target);
    let header = vless::wire::read_request(&mut muxcool::wire::Cursor::new(&header)).unwrap();
    assert_hides(&header);

    let head = http("CONNECT example.com:80", BASIC_RIGHT);
    assert_hides(&parse_request(&head).unwrap());
    let mut buffer = HeadBuffer::new();
    buffer.fill(&mut muxcool::buf::Buf::copy_of(&head)).unwrap();
    assert_hides(&buffer);
}

/// Also of texts that are refused: the error is a line in a log.
#[test]
fn errors_in_the_configuration_do_not_repeat_secrets() {
    for wrong in [
        &ID[1..],
        "a-short-text",
        "b831381d-6324-4d53-ad4f-8cda48b30811-and-more",
    ] {
        let text = configuration("none").replace(ID, wrong);
        let error = config::parse("f", &text).unwrap_err().to_string();
        assert!(!error.contains(wrong), "{error}");
        assert!(!error.contains(&ID[1..30]), "{error}");
    }
}

fn http(line: &str, basic: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nProxy-Authorization: Basic {basic}\r\n\r\n").into_bytes()
}

fn socks(password: &str, target: SocketAddr) -> Vec<u8> {
    let mut bytes = b"\x05\x01\x02\x01\x05alice".to_vec();
    bytes.push(password.len() as u8);
    bytes.extend(password.as_bytes());
    bytes.extend(b"\x05\x01\x00\x01\x7f\x00\x00\x01");
    bytes.extend(target.port().to_be_bytes());
    bytes
}

fn vless(id: &str, target: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    let target = Destination::tcp("127.0.0.1", target.port()).unwrap();
    vless::wire::write_request(&mut bytes, &id.parse().unwrap(), &target);
    bytes
}

/// Says it and goes; what is answered does not matter.
fn say(app: &App, tag: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(app.local_addrs(tag)[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn no_log_line_of_any_level_has_a_secret_in_it() {
    let threads = ThreadCheck::begin();
    logs::start();
    let folder = tempfile::tempdir().unwrap();
    let access = folder.path().join("access.log");
    let app = config::parse("f", &configuration(access.to_str().unwrap())).unwrap();
    let app = App::start(app).unwrap();
    let target = TcpTarget::echo();
    let at = target.address();
    for (password, basic, id) in [(PASSWORD, BASIC_RIGHT, ID), (WRONG, BASIC_WRONG, WRONG_ID)] {
        say(&app, "socks", &socks(password, at));
        say(&app, "http", &http(&format!("CONNECT {at}"), basic));
        say(&app, "http", &http(&format!("GET http://{at}/"), basic));
        say(&app, "vless", &vless(id, at));
        // Cut short, and garbled.
        say(&app, "socks", &socks(password, at)[..14]);
        say(&app, "vless", &vless(id, at)[..10]);
        say(&app, "socks", &vless(id, at));
        say(&app, "vless", &http("GET /", basic));
        say(&app, "http", &socks(password, at));
    }
    app.close();
    let lines = logs::lines();
    assert!(lines.len() > 10, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("unknown user id")));
    lines.iter().for_each(|line| assert_silent(line));
    let access = std::fs::read_to_string(&access).unwrap();
    assert!(access.contains("accepted"), "{access}");
    assert!(access.contains("rejected"), "{access}");
    assert_silent(&access);
    drop((app, target));
    threads.finish();
}
