//! Applications and their configurations.

use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use muxcool::app::{App, Changes, Report, StartError};
use muxcool::config::{self, Plan};
use serde_json::{Value, json};

use crate::support::{
    PATIENCE,
    client::{self, Entry},
    eventually,
    target::{BANNER, TcpTarget},
};

pub fn plan(text: &Value) -> Plan {
    config::parse("reload.json", &text.to_string()).expect("a configuration")
}

pub fn start(text: &Value) -> App {
    App::start(plan(text)).expect("a start")
}

pub fn reload(app: &App, text: &Value) -> Report {
    app.reload(plan(text)).expect("a reload")
}

/// Why it does not come about.
pub fn refused(app: &App, text: &Value) -> StartError {
    app.reload(plan(text))
        .expect_err("it cannot be put in force")
}

/// A configuration with these inbounds, straight to their targets.
pub fn direct(inbounds: &[Value]) -> Value {
    json!({ "inbounds": inbounds, "outbounds": [{ "tag": "out", "protocol": "freedom" }] })
}

/// An inbound that stands for `target`, for streams and datagrams.
pub fn door(tag: &str, port: u16, target: SocketAddr) -> Value {
    let settings = json!({
        "address": target.ip(), "port": target.port(), "network": "tcp,udp",
    });
    inbound(tag, port, "dokodemo-door", settings)
}

pub fn socks(tag: &str, port: u16) -> Value {
    inbound(tag, port, "socks", json!({ "auth": "noauth" }))
}

pub fn inbound(tag: &str, port: u16, protocol: &str, settings: Value) -> Value {
    json!({
        "tag": tag, "listen": "127.0.0.1", "port": port,
        "protocol": protocol, "settings": settings,
    })
}

/// The address of the inbound with this tag.
pub fn address(app: &App, tag: &str) -> SocketAddr {
    let addresses = app.local_addrs(tag);
    *addresses.first().expect("the inbound listens")
}

pub fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

pub fn kept(names: &[&str]) -> Changes {
    Changes {
        kept: tags(names),
        ..Changes::default()
    }
}

/// A visitor who is inside, at an echo service.
pub fn inside(entry: &Entry) -> TcpStream {
    let mut stream = entry.connect().expect("a visitor gets in");
    still_inside(&mut stream);
    stream
}

pub fn still_inside(stream: &mut TcpStream) {
    client::echo(stream, b"still there?").expect("the connection goes on");
}

/// Whether somebody new gets to an echo service.
pub fn visit(entry: &Entry) -> io::Result<()> {
    client::visit(entry, 7, PATIENCE)
}

/// What somebody new hears first from [`TcpTarget::banner`].
pub fn banner(entry: &Entry) -> io::Result<()> {
    let mut greeting = vec![0; BANNER.len()];
    entry.connect()?.read_exact(&mut greeting)?;
    match greeting == BANNER {
        true => Ok(()),
        false => Err(io::Error::other("another service")),
    }
}

pub fn echo() -> TcpTarget {
    TcpTarget::echo()
}

/// Tries until it holds.
pub fn comes_true(what: &str, mut holds: impl FnMut() -> bool) {
    let look = || holds().then_some(()).ok_or(());
    let held = eventually(Instant::now() + PATIENCE, look);
    assert!(held.is_ok(), "waited in vain: {what}");
}

/// Visits one after the other while `body` runs, at least one before it and one
/// after it; none may fail.
pub fn under_visits<T>(entry: &Entry, body: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    visit(entry).expect("a visit before");
    thread::scope(|threads| {
        let visitor = threads.spawn(|| {
            let mut visits = 0;
            while !over.load(Ordering::SeqCst) {
                visit(entry).unwrap_or_else(|e| panic!("visit {visits}: {e}"));
                visits += 1;
            }
            visits
        });
        let over = Over(&over);
        let result = body();
        drop(over);
        visitor.join().expect("no visit fails");
        visit(entry).expect("a visit after");
        result
    })
}

/// Ends the visits also when the body panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
