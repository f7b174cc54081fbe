//! The program: SIGHUP, `muxcool reload`, and its log files.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::rig::{comes_true, direct, door, echo, inside, still_inside, visit};
use super::support::{
    client::Entry,
    command::{self, stderr, stdout},
    ports::{free_port, loopback},
    program::{Kind, Program},
    target::TcpTarget,
};

const BAD_CONFIGURATION: i32 = 23;

fn muxcool(args: &[&str]) -> Output {
    command::muxcool(args).output().expect("it runs")
}

/// `muxcool reload`, as the operator of this program says it.
fn ask(program: &Program) -> Output {
    let pid = program.pid().expect("it runs").to_string();
    muxcool(&["reload", "--pid", &pid])
}

/// A program with one door to an echo service, and somebody inside.
struct Rig {
    program: Program,
    echo: TcpTarget,
    port: u16,
    config: Value,
}

impl Rig {
    fn start(log: Value) -> Self {
        let (echo, port) = (echo(), free_port());
        let mut config = direct(&[door("a", port, echo.address())]);
        config["log"] = log;
        Self {
            program: Program::start(Kind::Muxcool, "reloaded", &config),
            echo,
            port,
            config,
        }
    }

    fn entry(&self) -> Entry {
        Entry::Door(loopback(self.port))
    }

    fn rewrite(&self, config: &Value) {
        self.program.rewrite(&config.to_string());
    }
}

#[test]
fn the_command_says_what_has_changed_and_so_does_the_log() {
    let rig = Rig::start(json!({ "access": "none" }));
    let mut visitor = inside(&rig.entry());
    let answer = ask(&rig.program);
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    let nothing = "nothing has changed; inbounds: 1 kept; outbounds: 1 kept\n";
    assert_eq!(stdout(&answer), nothing);

    let mut config = rig.config.clone();
    let other = free_port();
    let inbounds = config["inbounds"].as_array_mut().unwrap();
    inbounds.push(door("b", other, rig.echo.address()));
    rig.rewrite(&config);
    let answer = ask(&rig.program);
    let changes = "inbounds: added [b], 1 kept; outbounds: 1 kept\n";
    assert_eq!(stdout(&answer), changes, "{answer:?}");
    visit(&Entry::Door(loopback(other))).expect("a visit");

    rig.rewrite(&rig.config);
    rig.program.hang_up();
    rig.program
        .says("reloaded: inbounds: removed [b], 1 kept; outbounds: 1 kept");
    still_inside(&mut visitor);
    drop(visitor);
    (0..5).for_each(|_| rig.program.hang_up()); // it stops all the same
    rig.program.finish();
}

#[test]
fn what_is_wrong_changes_nothing_and_is_said_as_by_the_test() {
    let rig = Rig::start(json!({ "access": "none" }));
    let mut visitor = inside(&rig.entry());
    let mut wrong = rig.config.clone();
    wrong["inbounds"][0]["port"] = free_port().into();
    wrong["inbounds"][0]["protocol"] = "sock".into();
    rig.rewrite(&wrong);
    let path = rig.program.config_path();
    let tested = muxcool(&["test", "-c", path.to_str().unwrap()]);
    let answer = ask(&rig.program);
    assert_eq!(answer.status.code(), Some(BAD_CONFIGURATION), "{answer:?}");
    let why = stderr(&answer);
    assert_eq!(why, stderr(&tested));
    assert!(
        why.contains("inbounds[0].protocol: unknown protocol"),
        "{why}"
    );
    rig.program.hang_up();
    let line = why.trim_start_matches("error: ").trim_end();
    rig.program
        .says(&format!("not reloaded, everything stays: {line}"));

    let taken = std::net::TcpListener::bind(loopback(0)).unwrap();
    let mut blocked = rig.config.clone();
    blocked["inbounds"][0]["port"] = taken.local_addr().unwrap().port().into();
    rig.rewrite(&blocked);
    let answer = ask(&rig.program);
    assert_eq!(answer.status.code(), Some(BAD_CONFIGURATION), "{answer:?}");
    let why = stderr(&answer);
    assert!(why.contains("inbounds[0].port: cannot listen on"), "{why}");
    fs::remove_file(&path).unwrap();
    let answer = ask(&rig.program);
    assert_eq!(answer.status.code(), Some(BAD_CONFIGURATION), "{answer:?}");
    visit(&rig.entry()).expect("a visit");
    still_inside(&mut visitor);
    drop(visitor);
    rig.program.finish();
}

fn contents(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn logs_change_their_level_and_follow_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (error, access) = (path("error.log"), path("access.log"));
    let log = |level: &str| json!({ "error": error, "access": access, "loglevel": level });
    let rig = Rig::start(log("error"));
    visit(&rig.entry()).expect("a visit");
    comes_true("the visit is noted", || {
        contents(&access).contains("accepted")
    });
    assert_eq!(contents(&error), "");

    let mut config = rig.config.clone();
    config["log"] = log("info");
    rig.rewrite(&config);
    let answer = ask(&rig.program);
    assert!(stdout(&answer).ends_with("log changed\n"), "{answer:?}");
    visit(&rig.entry()).expect("a visit");
    comes_true("the level is another", || {
        contents(&error).contains("taking detour")
    });

    // As logrotate does it; what is wrong with the configuration does not matter.
    for (round, config) in [config.to_string(), "{".to_owned()].iter().enumerate() {
        let aside = |name: &str| path(&format!("{name}.{round}"));
        fs::rename(&error, aside("error")).unwrap();
        fs::rename(&access, aside("access")).unwrap();
        rig.program.rewrite(config);
        rig.program.hang_up();
        comes_true("they are there again", || {
            contents(&error).contains("reloaded") && access.exists()
        });
        let before = contents(&aside("access"));
        visit(&rig.entry()).expect("a visit");
        comes_true("the visit is noted", || {
            contents(&access).contains("accepted")
        });
        assert_eq!(contents(&aside("access")), before);
    }
    rig.program.finish();
}

#[test]
fn what_came_by_standard_input_cannot_be_read_again() {
    let config = json!({ "log": { "access": "none" }, "outbounds": [{ "protocol": "freedom" }] });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let socket = directory.path().join("control.sock");
    fs::write(&file, {
        let mut config = config;
        config["control"] = json!({ "socket": socket });
        config.to_string()
    })
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_muxcool"))
        .args(["run", "-c", "stdin:"])
        .stdin(fs::File::open(&file).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    comes_true("it listens", || socket.exists());
    let answer = muxcool(&["reload", "--socket", socket.to_str().unwrap()]);
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(answer.status.code(), Some(BAD_CONFIGURATION), "{answer:?}");
    let why = stderr(&answer);
    assert!(
        why.contains("standard input, which cannot be read again"),
        "{why}"
    );
}

#[test]
fn whoever_is_not_there_cannot_be_told() {
    let answer = muxcool(&["reload", "--pid", &u32::MAX.to_string()]);
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
}
