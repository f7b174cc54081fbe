//! The program where the system gives it few descriptors, or few threads: who
//! cannot be served is refused, and once others have left all is well again.

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::eventually;
use support::ports::{free_port, loopback};
use support::program::{Kind, Program};
use support::target::TcpTarget;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than any of the limits below serves.
const VISITORS: usize = 300;

/// Threads that the program may have.
const THREADS: usize = 100;

/// Tests take turns, for each has threads that may count against the other's
/// limit.
static TURN: Mutex<()> = Mutex::new(());

fn config(port: u16, target: SocketAddr) -> Value {
    json!({
        "log": { "loglevel": "warning", "access": "none" },
        "inbounds": [{
            "tag": "door",
            "listen": "127.0.0.1",
            "port": port,
            "protocol": "dokodemo-door",
            "settings": { "address": target.ip(), "port": target.port(), "network": "tcp" },
        }],
        "outbounds": [{ "protocol": "freedom" }],
    })
}

/// One byte there and back.
fn visit(door: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&door, PATIENCE)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok(stream)
}

/// A visitor who says nothing; `None` if he was reset before he knew that he was
/// connected.
fn knock(door: SocketAddr) -> Option<TcpStream> {
    match TcpStream::connect_timeout(&door, PATIENCE) {
        Err(e) if e.kind() == ErrorKind::ConnectionReset => None,
        connected => Some(connected.expect("a place in the backlog")),
    }
}

/// Lets more visitors come than can be served, and go; `starved` says whether
/// the program has noticed.
fn exhaust(limits: &str, starved: impl Fn(&Program, &[TcpStream]) -> Result<(), String>) {
    let target = TcpTarget::echo();
    let port = free_port();
    let door = loopback(port);
    let config = config(port, target.address());
    let mut program = Program::start_limited(Kind::Muxcool, "relay", &config, limits);
    drop(visit(door).expect("the first visit"));
    for _ in 0..2 {
        let visitors: Vec<TcpStream> = (0..VISITORS).filter_map(|_| knock(door)).collect();
        eventually(Instant::now() + PATIENCE, || starved(&program, &visitors))
            .expect("the limit is reached");
        drop(visitors);
        eventually(Instant::now() + PATIENCE, || visit(door).map(drop))
            .expect("visitors are served again");
        program.assert_alive();
    }
    program.finish();
}

fn has_logged(program: &Program, text: &str) -> Result<(), String> {
    let log = program.log();
    log.contains(text).then_some(()).ok_or(log)
}

#[test]
fn without_descriptors_visitors_wait_and_later_ones_are_served() {
    let _turn = TURN.lock();
    exhaust("ulimit -n 64", |program, _| {
        has_logged(program, "cannot accept")
    });
}

#[test]
fn without_threads_visitors_are_reset_and_later_ones_are_served() {
    let _turn = TURN.lock();
    // Root's are not counted by the system, and it is the program that keeps to it.
    let others = if is_exempt() {
        0
    } else {
        threads_of_this_user()
    };
    exhaust(&threads_at_most(others + THREADS), |program, visitors| {
        has_logged(program, "cannot accept")?;
        let reset = visitors.iter().any(was_reset);
        reset.then_some(()).ok_or_else(|| "nobody is reset".into())
    });
}

fn was_reset(mut visitor: &TcpStream) -> bool {
    visitor.set_nonblocking(true).unwrap();
    let read = visitor.read(&mut [0]);
    matches!(read, Err(e) if e.kind() == ErrorKind::ConnectionReset)
}

/// Shells disagree on the letter.
fn threads_at_most(count: usize) -> String {
    format!("ulimit -p {count} 2>/dev/null || ulimit -u {count}")
}

/// Whether this user may start more than the limit allows.
fn is_exempt() -> bool {
    let script = format!("{}; (exit 0)", threads_at_most(1));
    let status = Command::new("sh").args(["-c", &script]).status();
    status.expect("a shell").success()
}

/// The system counts all of them against the limit of each.
fn threads_of_this_user() -> usize {
    let own = uid("/proc/self/status");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses = processes.map(|process| process.path().join("status"));
    let of_user = statuses.filter(|path| uid(path) == own);
    of_user
        .filter_map(|path| field(path, "Threads:")?.parse::<usize>().ok())
        .sum()
}

fn uid(status: impl AsRef<std::path::Path>) -> Option<String> {
    field(status, "Uid:")
}

fn field(status: impl AsRef<std::path::Path>, name: &str) -> Option<String> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}
