//! The control socket, and how it is found.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use muxcool::app::control::{AskError, Commands, ControlSocket, ask};
use muxcool::limits::{CONTROL_CLIENTS, CONTROL_REQUEST};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{Rig, command};
use crate::support::PATIENCE;
use crate::support::client::visit;

#[test]
fn the_socket_is_its_users_alone_and_goes_with_the_program() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    let sockets = [&rig.portal, &bridge].map(|program| rig.socket(program));
    for socket in &sockets {
        let mode = fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let pids = [&rig.portal, &bridge].map(|program| program.pid().unwrap());
    let several = rig.ask(&["status"]);
    let said = String::from_utf8(several.stderr).unwrap();
    assert_eq!(several.status.code(), Some(1));
    for (pid, socket) in pids.iter().zip(&sockets) {
        let line = format!("--pid {pid}    {}", socket.display());
        assert!(said.contains(&line), "{said}");
    }
    for (program, tag) in [(&rig.portal, "portal portal"), (&bridge, "bridge bridge")] {
        let file = program.config_path();
        let about = format!(".sock    {}: {tag}", file.display());
        assert!(said.contains(&about), "{about:?} in\n{said}");
    }
    bridge.finish();
    assert!(sockets[0].exists() && !sockets[1].exists());
    let left = rig.ask(&["status", "--pid", &pids[0].to_string()]); // others may run here
    let said = String::from_utf8(left.stdout).unwrap();
    assert!(said.contains("no bridge to rely on"), "{said}");
    rig.portal.finish();
    assert!(!sockets[0].exists());
}

#[test]
fn clients_who_stall_harm_nobody() {
    let rig = Rig::start();
    let bridge = rig.bridge();
    let socket = rig.socket(&rig.portal);
    // One place is for the look whether somebody listens.
    let stalled: Vec<UnixStream> = (2..CONTROL_CLIENTS)
        .map(|number| stalled(&socket, &b"{\"command\":"[..number % 3]))
        .collect();
    assert_eq!(rig.json(&rig.portal)["phase"], "running");
    visit(&rig.entry, 2, PATIENCE).unwrap();
    rig.portal.finish(); // which waits for nobody
    drop(stalled);
    bridge.finish();
}

/// Somebody who says this and no more.
fn stalled(socket: &Path, said: &[u8]) -> UnixStream {
    let mut client = UnixStream::connect(socket).unwrap();
    client.write_all(said).unwrap();
    client
}

#[test]
fn one_client_too_many_or_one_who_says_too_much_is_closed() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("s");
    let _socket = ControlSocket::start(&path, Commands::new()).unwrap();
    let first = stalled(&path, b"");
    first.set_nonblocking(true).unwrap();
    let assert_first_is_waited_for = || {
        let read = (&first).read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::WouldBlock);
    };
    let talker = stalled(&path, &[b'x'; CONTROL_REQUEST + 1]);
    assert_closed(&talker);
    assert_first_is_waited_for();
    let _others: Vec<_> = (0..CONTROL_CLIENTS).map(|_| stalled(&path, b"")).collect();
    assert_closed(&UnixStream::connect(&path).unwrap());
    assert_first_is_waited_for();
}

/// Without an answer.
fn assert_closed(mut client: &UnixStream) {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = client.read(&mut [0]);
    let is_reset = |e: &io::Error| e.kind() == ErrorKind::ConnectionReset;
    assert!(
        matches!(&read, Ok(0)) || read.as_ref().is_err_and(is_reset),
        "{read:?}"
    );
}

#[test]
fn a_socket_answers_what_it_knows_where_the_configuration_puts_it() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("here");
    let commands = || {
        Commands::new().with("double", |request| {
            let number = request.get("number").and_then(Value::as_u64);
            number
                .map(|number| json!(2 * number))
                .ok_or_else(|| "no number".to_owned())
        })
    };
    let socket = ControlSocket::start(&path, commands()).unwrap();
    let asked = |request: Value| ask(&path, &request, PATIENCE);
    let doubled = asked(json!({ "command": "double", "number": 21 })).unwrap();
    assert_eq!(doubled, 42);
    for (request, why) in [
        (json!({ "command": "double" }), "no number"),
        (
            json!({ "command": "treble" }),
            "unknown command \"treble\"; there are: double",
        ),
    ] {
        assert!(matches!(asked(request), Err(AskError::Refused(said)) if said == why));
    }
    let taken = ControlSocket::start(&path, commands()).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let output = command(home.path(), &["status", "--socket", path.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("unknown command \"status\""), "{said}");
    socket.close();
    let gone = asked(json!({}));
    assert!(matches!(gone, Err(AskError::Unreachable(_))), "{gone:?}");
    let own = std::process::id().to_string(); // others may run here
    let none = command(home.path(), &["status", "--pid", &own]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn what_a_killed_program_has_left_is_replaced() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("left");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = ControlSocket::start(&path, Commands::new()).unwrap();
    let silent = ask(&path, &json!({}), Duration::ZERO);
    assert!(matches!(silent, Err(AskError::Silent(_))), "{silent:?}");
    drop(socket);
    assert!(!path.exists());
    fs::write(&path, "something else").unwrap();
    assert!(ControlSocket::start(&path, Commands::new()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
}
