//! What goes beside the program in a package.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{USAGE, muxcool, printed, stderr, stdout};

const COMMANDS: [&str; 15] = [
    "run",
    "test",
    "status",
    "reload",
    "demo",
    "portal",
    "bridge",
    "forward",
    "forward serve",
    "forward dial",
    "uuid",
    "tls cert",
    "completions",
    "unit",
    "version",
];

/// What a program that is there says of a text, or `None` where it is not.
fn judged_by(program: &str, args: &[&str], text: &str) -> Option<String> {
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "200")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap(); // it may have seen enough before the end
    assert!(output.status.success(), "{program}: {output:?}");
    assert_eq!(stderr(&output), "", "{program}");
    Some(stdout(&output).to_owned())
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in ["muxcool", "forward", "token-file", "completions"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let bash = printed(&["completions", "bash"]);
    let judged = judged_by("bash", &["-n"], &bash);
    assert!(judged.is_none_or(|said| said.is_empty()));
    assert_eq!(muxcool(&["completions", "csh"]).status.code(), Some(USAGE));
}

#[test]
fn the_manual_has_every_command() {
    let manual = printed(&["man"]);
    for command in COMMANDS {
        let heading = format!("\n.SH \"MUXCOOL {}\"\n", command.to_uppercase());
        assert!(manual.contains(&heading), "{command}");
    }
    // An example stands as in the help.
    let Some(read) = judged_by("man", &["--warnings", "-l", "-"], &manual) else {
        return;
    };
    for line in printed(&["run", "--help"]).lines() {
        if line.starts_with("  muxcool ") {
            assert!(read.contains(line), "{line}\n{read}");
        }
    }
}

#[test]
fn the_manual_is_a_page_for_each_command_too() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("new/man1");
    let listed = printed(&["man", "--dir", pages.to_str().unwrap()]);
    for command in COMMANDS {
        let path = pages.join(format!("muxcool-{}.1", command.replace(' ', "-")));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(page.contains("\n.SH EXAMPLES\n"), "{command}");
        assert!(listed.contains(path.to_str().unwrap()), "{command}");
    }
    assert_eq!(
        listed.lines().count(),
        fs::read_dir(&pages).unwrap().count()
    );
    assert!(pages.join("muxcool.1").is_file());
}

#[test]
fn pages_that_cannot_be_written_are_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = muxcool(&["man", "--dir", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot be written"), "{output:?}");
}

#[test]
fn the_unit_is_a_hardened_service_that_tells_when_it_is_ready() {
    let unit = printed(&["unit", "--exec", "/usr/bin/muxcool"]);
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/muxcool run -c /etc/muxcool/config.json",
        "WorkingDirectory=-/etc/muxcool",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 23",
        "TimeoutStopSec=45",
        "TasksMax=infinity",
        "LimitNOFILE=262144",
        "DynamicUser=yes",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
        "RuntimeDirectory=muxcool",
        "StateDirectory=muxcool",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
    }
    assert!(!unit.contains("SupplementaryGroups="));
}

#[test]
fn the_unit_runs_what_is_wanted() {
    let exec = ["unit", "--exec", "/opt/muxcool"];
    let with = |more: &[&str]| printed(&[&exec[..], more].concat());
    let bridge = with(&["-c", "/etc/b.json", "--group", "keys", "--name", "b"]);
    for line in [
        "ExecStart=/opt/muxcool run -c /etc/b.json",
        "WorkingDirectory=-/etc",
        "SupplementaryGroups=keys",
        "RuntimeDirectory=b",
        "StateDirectory=b",
        "LogsDirectory=b",
    ] {
        assert!(bridge.lines().any(|found| found == line), "{line}");
    }
    let words = ["--", "bridge", "--token-file", "/etc/t", "--serve", "w=80"];
    let one_line = with(&words);
    assert!(
        one_line.contains("\nExecStart=/opt/muxcool bridge --token-file /etc/t --serve w=80\n")
    );
    // What it reads again are tokens.
    assert!(!one_line.contains("WorkingDirectory=") && one_line.contains("\nExecReload="));
}

#[test]
fn what_systemd_would_read_otherwise_is_refused() {
    for (wrong, why) in [
        (&["--config", "b.json"][..], "relative"),
        (&["--config", "/etc/a b"], "' '"),
        (&["--config", "/home/a/b.json"], "/home/"),
        (&["--exec", "/root/.cargo/bin/muxcool"], "/root/"),
        (&["--name", "a/b"], "a letter"),
        (&["--", "bridge", "%h"], "'%'"),
        (&["--config", "/a", "--", "demo"], "cannot be used with"),
    ] {
        let output = muxcool(&[&["unit"], wrong].concat());
        assert_eq!(output.status.code(), Some(USAGE), "{wrong:?}");
        assert!(stderr(&output).contains(why), "{output:?}");
    }
}

/// It says what it does not know, and that nothing is called so.
#[test]
fn systemd_understands_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("muxcool.service");
    let unit = printed(&["unit", "--exec", "/bin/sh", "--group", "nogroup"]);
    fs::write(&path, unit).unwrap();
    let verify = ["verify", "--man=no", path.to_str().unwrap()];
    if judged_by("systemd-analyze", &verify, "").is_none() {
        eprintln!("skipped: no systemd-analyze");
    }
}
