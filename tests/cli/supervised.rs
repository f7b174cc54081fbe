//! What the service manager is told.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::directory_with;

const PATIENCE: Duration = Duration::from_secs(20);

/// A manager, and what it has started.
struct Supervised {
    manager: UnixDatagram,
    child: Child,
}

impl Supervised {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let socket = directory.join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_muxcool"))
            .args(args)
            .current_dir(directory)
            .env("NOTIFY_SOCKET", socket)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { manager, child }
    }

    fn told(&self) -> Vec<String> {
        let mut buffer = [0; 1024];
        let length = loop {
            match self.manager.recv(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                told => break told.expect("it tells in time"),
            }
        };
        let told = std::str::from_utf8(&buffer[..length]).unwrap();
        told.lines().map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_is_told_of_the_start_and_of_the_end() {
    let config = r#"{"policy": {"drain": 100}, "outbounds": [{"protocol": "blackhole"}]}"#;
    let directory = directory_with(&[("c.json", config)]);
    let mut program = Supervised::start(directory.path(), &["run", "-c", "c.json"]);
    let ready = program.told();
    assert_eq!(ready[0], "READY=1");
    assert!(ready[1].starts_with("STATUS="), "{ready:?}");
    program.signal(Signal::TERM);
    let stopping = program.told();
    assert_eq!(
        stopping[..2],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=115000000"]
    );
    assert!(stopping[2].contains("100 s"), "{stopping:?}");
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn it_is_told_of_a_one_liner_too() {
    let directory = directory_with(&[]);
    let portal = ["portal", "--ephemeral", "--listen", "127.0.0.1:0"];
    let args = [&portal[..], &["--publish", "0=web"]].concat();
    let program = Supervised::start(directory.path(), &args);
    assert_eq!(program.told()[0], "READY=1");
    program.signal(Signal::INT);
    assert_eq!(program.told()[0], "STOPPING=1");
}

#[test]
fn it_is_told_of_reloads_whatever_comes_of_them() {
    let config = r#"{"outbounds": [{"protocol": "blackhole"}]}"#;
    let directory = directory_with(&[("c.json", config)]);
    let program = Supervised::start(directory.path(), &["run", "-c", "c.json"]);
    assert_eq!(program.told()[0], "READY=1");
    for (config, outcome) in [(config, "was read again"), ("{", "is wrong")] {
        fs::write(directory.path().join("c.json"), config).unwrap();
        program.signal(Signal::HUP);
        let reloading = program.told();
        assert_eq!(reloading[0], "RELOADING=1");
        let now = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(now.parse::<u64>().unwrap() > 0);
        let ready = program.told();
        assert_eq!(ready[0], "READY=1");
        assert!(ready[1].contains(outcome), "{ready:?}");
    }
}

#[test]
fn it_is_not_told_of_a_start_that_fails() {
    let directory = directory_with(&[("c.json", "{")]);
    let mut program = Supervised::start(directory.path(), &["run", "-c", "c.json"]);
    assert_eq!(program.child.wait().unwrap().code(), Some(23));
    program.manager.set_nonblocking(true).unwrap();
    assert!(program.manager.recv(&mut [0; 16]).is_err());
}
