//! What goes wrong with a carrier, in whole programs: it ends one connection,
//! with one line in the log, and all others go on.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "failures/carriers.rs"]
mod carriers;
mod loopback;
#[path = "vmess/raw.rs"]
#[allow(dead_code)]
mod raw;
mod support;
#[path = "failures/tls.rs"]
mod tls;
#[path = "failures/users.rs"]
mod users;

use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
};

use serde_json::{Value, json};
use support::{PATIENCE, program::Program};

/// Of the one user that there is.
const ID: &str = "11111111-2222-4333-8444-555555555555";

/// Log lines that are not of every program and of every visitor.
fn unusual(program: &Program) -> Vec<String> {
    let is_usual = |line: &&str| {
        [
            "listening on",
            "control socket at",
            " started",
            "taking detour",
            "chmod o-r",
            "this certificate expired at",
        ]
        .iter()
        .any(|words| line.contains(words))
    };
    let log = program.log();
    let lines = log.lines().filter(|line| !is_usual(line));
    lines.map(str::to_owned).collect()
}

fn assert_one(lines: &[String], words: Option<&str>) {
    match (lines, words) {
        ([], None) => {}
        ([line], Some(words)) if line.contains(words) => {}
        _ => panic!("{words:?} was to be said, once: {lines:#?}"),
    }
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    stream
}

/// In whichever way; not by who waits.
fn assert_ended(mut stream: TcpStream) {
    if let Err(e) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(e.kind(), io::ErrorKind::ConnectionReset, "{e}");
    }
}

/// Without access lines, so that what is left in the log has a reason.
fn log() -> Value {
    json!({ "loglevel": "info", "access": "none" })
}
