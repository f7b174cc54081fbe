//! The program as its users start it.

#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;
#[path = "cli/package.rs"]
mod package;
#[path = "cli/supervised.rs"]
mod supervised;

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Output;

use command::{stderr, stdout};
use muxcool::transport::tls::Pin;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

const BAD_CONFIGURATION: i32 = 23;
const USAGE: i32 = 2;

/// Nothing in it is worth a warning.
const QUIET: &str = r#"{
    "inbounds": [{"port": 1080, "listen": "127.0.0.1", "protocol": "socks"}],
    "outbounds": [{"protocol": "blackhole", "tag": "nowhere"}]
}"#;

fn directory_with(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn muxcool(args: &[&str]) -> Output {
    muxcool_in(Path::new("."), args)
}

fn muxcool_in(directory: &Path, args: &[&str]) -> Output {
    command::muxcool(args)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// What it prints when all is well and it has nothing to complain about.
fn printed(args: &[&str]) -> String {
    let output = muxcool(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    assert_eq!(stderr(&output), "", "{args:?}");
    stdout(&output).to_owned()
}

#[test]
fn every_spelling_of_version_prints_the_same_line() {
    let line = printed(&["version"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(line.starts_with(&format!("muxcool {version} (")), "{line}");
    assert!(line.contains(std::env::consts::ARCH) && line.contains("features: cli"));
    assert_eq!(line.lines().count(), 1);
    for spelling in ["--version", "-V", "-version"] {
        assert_eq!(printed(&[spelling]), line);
    }
}

/// An error must not print it, for it is a secret.
#[test]
fn the_id_that_xray_makes_of_a_text_is_told_on_demand() {
    let id = printed(&["uuid", "-i", "example"]);
    assert_eq!(id, "feb54431-301b-52bb-a6dd-e1e93e81bb9e\n");
}

#[test]
fn uuids_are_of_version_4_and_differ() {
    let [one, other] = [printed(&["uuid"]), printed(&["uuid"])];
    assert_ne!(one, other);
    for line in [one, other] {
        let id: uuid::Uuid = line.strip_suffix('\n').unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        assert_eq!(line.trim(), id.hyphenated().to_string());
    }
}

/// Both files go into a configuration that is sound; what is there already
/// stays.
#[test]
fn a_certificate_is_made_with_its_key_and_its_pin() {
    let directory = directory_with(&[(
        "c.json",
        r#"{"inbounds": [{"port": 1080, "listen": "127.0.0.1", "protocol": "socks",
            "streamSettings": {"security": "tls", "tlsSettings": {"certificates": [
                {"certificateFile": "new.pem", "keyFile": "new.key"}]}}}],
            "outbounds": [{"protocol": "blackhole"}]}"#,
    )]);
    let path = directory.path();
    let early = muxcool_in(path, &["test", "-c", "c.json"]);
    assert_eq!(early.status.code(), Some(BAD_CONFIGURATION));
    assert!(
        stderr(&early).contains("c.json:2:31: inbounds[0].streamSettings: cannot read new.pem")
    );
    let make = [
        "tls",
        "cert",
        "--domain",
        "a.example.com",
        "--domain",
        "192.0.2.1",
    ];
    let make = [&make[..], &["--file", "new"]].concat();
    let made = muxcool_in(path, &make);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let pin = stdout(&made)
        .lines()
        .last()
        .unwrap()
        .strip_prefix("pin: ")
        .unwrap()
        .trim();
    let pin: Pin = pin.parse().unwrap();
    let chain = fs::read(path.join("new.pem")).unwrap();
    let der = CertificateDer::from_pem_slice(&chain).unwrap();
    assert_eq!(Pin::of_chain([der.as_ref()]), Some(pin));
    let sound = muxcool_in(path, &["test", "-c", "c.json"]);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    let again = muxcool_in(path, &make);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(fs::read(path.join("new.pem")).unwrap(), chain);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path.join("new.key")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}

#[test]
fn help_has_an_example_for_every_command() {
    for command in [
        "run",
        "test",
        "explain",
        "demo",
        "portal",
        "bridge",
        "forward",
        "uuid",
        "completions",
        "man",
        "unit",
        "version",
    ] {
        let help = printed(&[command, "--help"]);
        let example = format!("\n  muxcool {command}");
        assert!(
            help.contains("Example") && help.contains(&example),
            "{help}"
        );
        assert!(printed(&["--help"]).contains(&format!("\n  {command} ")));
    }
    assert_eq!(printed(&["-help"]), printed(&["--help"]));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    for args in [
        &["walk"][..],
        &["run", "--fast"],
        &["uuid", "-c", "x.json"],
        &["run", "-c"],
        &["demo", "--port", "65536"],
        &["-format", "json"],
    ] {
        let output = muxcool(args);
        assert_eq!(output.status.code(), Some(USAGE), "{args:?}");
        assert!(stderr(&output).contains("error:"), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn nothing_to_read_ends_with_23_and_says_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    for args in [&[][..], &["run"], &["test"], &["-test"]] {
        let output = muxcool_in(empty.path(), args);
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{args:?}");
        assert!(stderr(&output).contains("-c FILE"), "{args:?}");
    }
    let output = muxcool_in(empty.path(), &["-confdir", "."]);
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    assert!(stderr(&output).contains("no .json file"));
}

#[test]
fn a_missing_file_ends_with_23() {
    let empty = tempfile::tempdir().unwrap();
    for args in [
        &["run", "-c", "missing.json"][..],
        &["-config", "missing.json"],
        &["test", "-c", "missing.json"],
        &["-test", "-config=missing.json"],
    ] {
        let output = muxcool_in(empty.path(), args);
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{args:?}");
        assert!(
            stderr(&output).starts_with("error: missing.json: "),
            "{args:?}"
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{args:?}");
    }
}

#[test]
fn a_good_configuration_is_found_wherever_it_is_named() {
    let directory = directory_with(&[("config.json", QUIET)]);
    for args in [
        &["test"][..],
        &["-test"],
        &["test", "-c", "config.json"],
        &["-test", "-config", "config.json"],
        &["test", "--confdir", "."],
        &["-confdir=.", "-test"],
    ] {
        let output = muxcool_in(directory.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert_eq!(stdout(&output), "Configuration OK.\n", "{args:?}");
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_configuration_may_come_by_standard_input() {
    let directory = directory_with(&[("some.json", QUIET)]);
    let output = command::muxcool(&["test", "-c", "stdin:"])
        .stdin(File::open(directory.path().join("some.json")).unwrap())
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "Configuration OK.\n", "{output:?}");
}

#[test]
fn warnings_go_beside_the_answer() {
    let open_to_all = QUIET.replace("127.0.0.1", "0.0.0.0");
    let directory = directory_with(&[("config.json", &open_to_all)]);
    let output = muxcool_in(directory.path(), &["test"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "Configuration OK.\n");
    assert!(
        stderr(&output).starts_with("warning: config.json:2:"),
        "{output:?}"
    );
}

#[test]
fn a_mistake_is_one_line_with_its_place() {
    let directory = directory_with(&[("config.json", &QUIET.replace("tag", "tga"))]);
    for args in [&["test"][..], &["run"], &[]] {
        let output = muxcool_in(directory.path(), args);
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{args:?}");
        let complaint = stderr(&output);
        assert!(
            complaint.starts_with("error: config.json:3:"),
            "{complaint}"
        );
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn a_log_that_cannot_be_written_ends_with_23() {
    let unwritable = QUIET.replacen('{', r#"{"log": {"error": "missing/error.log"},"#, 1);
    let directory = directory_with(&[("config.json", &unwritable)]);
    let output = muxcool_in(directory.path(), &["run"]);
    assert_eq!(output.status.code(), Some(BAD_CONFIGURATION));
    let complaint = stderr(&output);
    assert!(
        complaint.starts_with("error: log file missing/error.log "),
        "{complaint}"
    );
}

/// So that a service is started again when the port may be free.
#[test]
fn a_port_that_is_taken_ends_with_1() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    let directory = directory_with(&[("config.json", &QUIET.replace("1080", &taken))]);
    let publish = format!("{taken}=web");
    let portal = [
        "portal",
        "--ephemeral",
        "--listen",
        "127.0.0.1:0",
        "--publish",
        &publish,
    ];
    for args in [&["run"][..], &portal] {
        let output = muxcool_in(directory.path(), args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            stderr(&output).contains("another program has the port"),
            "{output:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_is_full_is_an_error_and_no_panic() {
    let output = command::muxcool(&["uuid"])
        .stdout(File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: cannot print: "));
}
