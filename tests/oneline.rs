//! Tunnels by one line on each machine.

#![cfg(feature = "cli")]

#[path = "oneline/line.rs"]
mod line;
mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Instant,
};

use line::{Line, file, output, token_in};
use support::{
    PATIENCE,
    client::{Entry, echo},
    eventually,
    ports::free_port,
    program::v2ray_or_skip,
    target::{TcpTarget, UdpEcho},
};

const ANY: &str = "127.0.0.1:0";
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const BAD_CONFIGURATION: i32 = 23;

/// A service that says its name.
fn named(name: &'static str) -> TcpTarget {
    TcpTarget::start(move |mut visitor| {
        visitor.write_all(name.as_bytes())?;
        visitor.shutdown(Shutdown::Write)
    })
}

/// What the service says whose visitors come to `address`.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// Visits until the service with that name answers.
fn until_answered_by(address: SocketAddr, name: &str) {
    let visit = || match ask(address) {
        Ok(said) if said == name => Ok(()),
        other => Err(other),
    };
    let answered = eventually(Instant::now() + PATIENCE, visit);
    answered.unwrap_or_else(|last| panic!("{name} never answers: {last:?}"));
}

fn serve(name: &str, target: SocketAddr) -> String {
    format!("{name}={target}")
}

fn portal(publish: &[&str]) -> Line {
    let options = ["portal", "--listen", ANY, "--ephemeral"];
    Line::start(&[&options[..], publish].concat())
}

fn bridge(token: &str, services: &[String], more: &[&str]) -> Line {
    let mut args = vec!["bridge", token];
    for service in services {
        args.extend(["--serve", service]);
    }
    args.extend(more);
    let bridge = Line::start(&args);
    bridge.says("carrier to the portal is up");
    bridge
}

#[test]
fn streams_and_datagrams_get_through_and_nothing_else() {
    let (web, dns) = (TcpTarget::echo(), UdpEcho::start());
    let portal = portal(&[
        "--publish",
        "0=web",
        "--publish",
        "0=lost",
        "--publish-udp",
        "0=dns",
    ]);
    let services = [
        serve("web", web.address()),
        serve("dns", dns.address()),
        "typo=1".into(),
    ];
    let bridge = bridge(&portal.token(), &services, &[]);
    portal.says("serves web, dns, typo");
    portal.says("that bridge serves typo, which nobody gets to here");
    bridge.says("--serve typo: no portal had a service of that name");

    let mut stream = TcpStream::connect(portal.address("web/tcp")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    echo(&mut stream, &[7; 100_000]).unwrap();
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(portal.address("dns/udp")).unwrap();
    socket.send(b"question").unwrap();
    let mut answer = [0; 100];
    let length = socket.recv(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"question");

    let _ = ask(portal.address("lost/tcp"));
    portal.says("there is no bridge for the visitor");
    drop(web);
    // Until it runs its program, a child of another test keeps the socket.
    let refused = eventually(Instant::now() + PATIENCE, || {
        let _ = ask(portal.address("web/tcp"));
        let told = bridge.log().contains("no connection to tcp:127.0.0.1:");
        told.then_some(()).ok_or(())
    });
    refused.expect("the bridge says that there is no service");
    drop(bridge);
    portal.says("bridge has gone from 127.0.0.1:");
}

/// Each has a part of the services; a portal that took any of them would fail
/// every other time.
#[test]
fn each_visitor_comes_to_a_bridge_that_has_what_is_asked_for() {
    let (one, two) = (named("one"), named("two"));
    let portal = portal(&["--publish", "0=one", "--publish", "0=two"]);
    let token = portal.token();
    let _first = bridge(&token, &[serve("one", one.address())], &[]);
    let _second = bridge(&token, &[serve("two", two.address())], &[]);
    portal.says_times("bridge has come", 2);
    for _ in 0..5 {
        assert_eq!(ask(portal.address("one/tcp")).unwrap(), "one");
        assert_eq!(ask(portal.address("two/tcp")).unwrap(), "two");
    }
}

#[test]
fn a_bridge_on_standby_takes_over_and_gives_back() {
    let (first, second) = (named("first"), named("second"));
    let portal = portal(&["--publish", "0=web"]);
    let (token, web) = (portal.token(), portal.address("web/tcp"));
    let serve_first = [serve("web", first.address())];
    let _standby = bridge(&token, &[serve("web", second.address())], &["--standby"]);
    portal.says("serves web, on standby");
    until_answered_by(web, "second");
    let main = bridge(&token, &serve_first, &[]);
    portal.says_times("bridge has come", 2);
    for _ in 0..6 {
        assert_eq!(ask(web).unwrap(), "first");
    }
    drop(main);
    until_answered_by(web, "second");
    let _again = bridge(&token, &serve_first, &[]);
    until_answered_by(web, "first");
}

#[test]
fn one_bridge_serves_several_portals() {
    let web = named("web");
    let (one, two) = (
        portal(&["--publish", "0=web"]),
        portal(&["--publish", "0=web"]),
    );
    let directory = tempfile::tempdir().unwrap();
    let tokens = format!("# portals\n{}\n\n{}\n", one.token(), two.token());
    let tokens = file(&directory, "tokens", tokens);
    let options = ["--token-file", tokens.to_str().unwrap()];
    let service = serve("web", web.address());
    let _bridge = Line::start(&[&["bridge", "--serve", &service], &options[..]].concat());
    for portal in [&one, &two] {
        portal.says("bridge has come");
        assert_eq!(ask(portal.address("web/tcp")).unwrap(), "web");
    }
}

/// What it was told by arguments stays; tokens in files may be others.
#[test]
fn a_bridge_reads_its_tokens_again() {
    let web = named("web");
    let (one, two) = (
        portal(&["--publish", "0=web"]),
        portal(&["--publish", "0=web"]),
    );
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(&directory, "tokens", one.token());
    let service = serve("web", web.address());
    let path = tokens.to_str().unwrap();
    let bridge = Line::start(&["bridge", "--serve", &service, "--token-file", path]);
    one.says("bridge has come");
    bridge.hang_up();
    bridge.says("reloaded: nothing has changed");
    fs::write(&tokens, format!("{}\n{}", one.token(), two.token())).unwrap();
    bridge.hang_up();
    two.says("bridge has come");
    fs::write(&tokens, "nonsense").unwrap();
    let answer = output(&["reload", "--pid", &bridge.pid().to_string()]);
    assert_eq!(answer.status.code(), Some(BAD_CONFIGURATION), "{answer:?}");
    bridge.says("not reloaded, everything stays: ");
    for portal in [&one, &two] {
        assert_eq!(ask(portal.address("web/tcp")).unwrap(), "web");
    }
    assert_eq!(one.log().matches("bridge has come").count(), 1);
}

/// It has no file at all.
#[test]
fn a_portal_that_is_hung_up_stays_what_it_is() {
    let web = named("web");
    let portal = portal(&["--publish", "0=web"]);
    let _bridge = bridge(&portal.token(), &[serve("web", web.address())], &[]);
    portal.hang_up();
    portal.says("reloaded: nothing has changed");
    assert_eq!(ask(portal.address("web/tcp")).unwrap(), "web");
    assert_eq!(portal.stdout().matches("On the other machine").count(), 1);
}

/// What comes first is a line that says who the visitor is.
#[test]
fn a_service_is_told_who_visits() {
    let web = TcpTarget::echo();
    let portal = portal(&["--publish", "0=web"]);
    let services = [serve("web", web.address())];
    let _bridge = bridge(&portal.token(), &services, &["--proxy-protocol", "v1"]);
    let address = portal.address("web/tcp");
    let visit = || -> io::Result<(SocketAddr, String)> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(&stream), &mut said)?;
        Ok((stream.local_addr()?, said))
    };
    // Until bridge and portal have told each other what they are, it is not known.
    let known = || match visit() {
        Ok((from, said)) if !said.is_empty() && !said.contains("UNKNOWN") => Ok((from, said)),
        other => Err(other),
    };
    let (from, said) = eventually(Instant::now() + PATIENCE, known).unwrap();
    let expected = format!("PROXY TCP4 {} {} {}", from.ip(), address.ip(), from.port());
    assert!(said.starts_with(&expected), "{said} for {from}");
}

#[test]
fn visitors_beyond_the_bound_are_refused() {
    let web = TcpTarget::echo();
    let portal = portal(&["--publish", "0=web"]);
    let services = [serve("web", web.address())];
    let bridge = bridge(&portal.token(), &services, &["--max-conns", "16"]);
    let visit = || {
        let mut stream = TcpStream::connect(portal.address("web/tcp")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        echo(&mut stream, b"hello").map(|()| stream)
    };
    let stay: Vec<_> = (0..16).map(|_| visit().unwrap()).collect();
    assert!(visit().is_err());
    bridge.says("session refused");
    drop(stay);
    eventually(Instant::now() + PATIENCE, visit).unwrap();
}

/// What a token names is asked for through the server; what is not allowed
/// ends there.
#[test]
fn a_forwarding_brings_what_the_server_reaches() {
    let (allowed, forbidden, dns) = (named("allowed"), named("forbidden"), UdpEcho::start());
    let allow = [allowed.address().to_string(), dns.address().to_string()];
    let server = ["forward", "serve", "--listen", ANY, "--ephemeral"];
    let server = [&server[..], &["--allow", &allow[0], "--allow", &allow[1]]].concat();
    let server = Line::start(&server);
    let local = |target: SocketAddr| format!("0={target}");
    let locals = [local(allowed.address()), local(dns.address())];
    let client = ["forward", "dial", "--socks", "0", "--local", &locals[0]];
    let client = [&client[..], &["--local-udp", &locals[1]]].concat();
    let client = Line::start_with(&client, &[("MUXCOOL_TOKEN", &server.token())]);

    let socks = client.address("socks");
    let through = |target: SocketAddr| -> io::Result<String> {
        let mut said = String::new();
        let mut stream = Entry::socks(socks, target).connect()?;
        stream.read_to_string(&mut said)?;
        Ok(said)
    };
    assert_eq!(through(allowed.address()).unwrap(), "allowed");
    assert_ne!(
        through(forbidden.address()).unwrap_or_default(),
        "forbidden"
    );
    let tag = format!("{}/tcp", allowed.address());
    assert_eq!(ask(client.address(&tag)).unwrap(), "allowed");
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let tag = format!("{}/udp", dns.address());
    socket.connect(client.address(&tag)).unwrap();
    socket.send(b"question").unwrap();
    assert_eq!(socket.recv(&mut [0; 100]).unwrap(), b"question".len());
    server.says("[nowhere]");
    let log = server.log();
    assert_eq!(log.matches("carrier 1 accepted").count(), 1, "{log}");
    assert!(!log.contains("carrier 2 accepted"), "{log}");
}

#[test]
fn a_forwarding_passes_over_a_machine_that_is_not_there() {
    let web = named("web");
    let serve = ["forward", "serve", "--listen", ANY, "--ephemeral"];
    let (gone, there) = (Line::start(&serve), Line::start(&serve));
    let tokens = [gone.token(), there.token()];
    drop(gone);
    let local = format!("0={}", web.address());
    let dial = ["forward", "dial", &tokens[0], &tokens[1], "--local", &local];
    let dial = Line::start(&dial);
    let door = dial.address(&format!("{}/tcp", web.address()));
    for _ in 0..3 {
        assert_eq!(ask(door).unwrap(), "web");
    }
}

#[test]
fn what_is_exported_is_the_same_tunnel() {
    let web = named("web");
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let portal = ["portal", "--listen", &listen, "--publish", "0=web"];
    let exported = output(&[&portal[..], &["--ephemeral", "--export"]].concat());
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    let token = token_in(&String::from_utf8_lossy(&exported.stderr)).unwrap();
    let portal = file(&directory, "portal.json", exported.stdout);
    let service = serve("web", web.address());
    let exported = output(&["bridge", &token, "--serve", &service, "--export"]);
    let bridge = file(&directory, "bridge.json", exported.stdout);

    for config in [&portal, &bridge] {
        fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
        let checked = output(&["test", "-c", config.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        assert!(checked.stderr.is_empty(), "{checked:?}");
    }
    if v2ray_or_skip() {
        for config in [&portal, &bridge] {
            let checked = Command::new("v2ray")
                .args(["-test", "-config"])
                .arg(config)
                .output();
            let checked = checked.unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }
    let run = |config: &Path| Line::start(&["run", "-c", config.to_str().unwrap()]);
    let portal = run(&portal);
    portal.address("bridges");
    let _bridge = run(&bridge);
    portal.says("bridge has come");
    assert_eq!(ask(portal.address("web/tcp")).unwrap(), "web");
}

#[test]
fn a_token_outlives_the_portal_that_keeps_its_state() {
    let web = named("web");
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let state = directory.path().join("kept/");
    let options = ["portal", "--listen", &listen, "--publish", "0=web"];
    let start = |more: &[&str]| Line::start(&[&options[..], more].concat());
    let kept = ["--state", state.to_str().unwrap()];
    let first = start(&kept);
    let token = first.token();
    let bridge = bridge(&token, &[serve("web", web.address())], &[]);
    drop(first);
    let second = start(&kept);
    assert_eq!(second.token(), token);
    until_answered_by(second.address("web/tcp"), "web");
    let found = fs::read_dir(&state).unwrap().next().unwrap().unwrap();
    assert_eq!(
        found.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    drop(second);
    let other = start(&["--ephemeral"]);
    assert_ne!(other.token(), token);
    bridge.says("the pin or token here is an old one");
    other.says("its pin or token is another's");
    drop(other);

    fs::set_permissions(found.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let open = output(&[&options[..], &kept].concat());
    assert_eq!(open.status.code(), Some(BAD_CONFIGURATION));
    assert!(
        String::from_utf8_lossy(&open.stderr).contains("chmod 600"),
        "{open:?}"
    );
}

#[test]
fn systemds_state_directory_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let options = ["portal", "--listen", &listen, "--publish", "0=web"];
    let kept = [("STATE_DIRECTORY", directory.path().to_str().unwrap())];
    let token = Line::start_with(&options, &kept).token();
    assert!(
        directory
            .path()
            .join(format!("portal-{port}.pem"))
            .is_file()
    );
    assert_eq!(Line::start_with(&options, &kept).token(), token);
}

/// With another id at the same certificate the portal must not say a word.
#[test]
fn a_bridge_that_the_portal_does_not_know_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let state = directory.path().join("state.pem");
    let options = [
        "portal",
        "--listen",
        &listen,
        "--publish",
        "0=web",
        "--state",
    ];
    let start = || Line::start(&[&options[..], &[state.to_str().unwrap()]].concat());
    let token = start().token();
    let kept = fs::read_to_string(&state).unwrap();
    let (_, rest) = kept.split_once('\n').unwrap();
    let other = format!("id: {}\n{rest}", uuid::Uuid::new_v4());
    fs::write(&state, other).unwrap();
    let portal = start();
    assert_ne!(portal.token(), token);
    let bridge = Line::start(&["bridge", &token, "--serve", "web=1"]);
    bridge.says("does the portal know the bridge's id and domain");
}

#[test]
fn wrong_turns_say_where_to_go() {
    let portal = portal(&["--publish", "0=web"]);
    let token = portal.token();
    let taken = portal.address("web/tcp").to_string();
    let cut = &token[..token.len() - 3];
    let unknown_host = [
        "portal",
        "--listen",
        "0",
        "--publish",
        "0=web",
        "--ephemeral",
        "--host",
    ];
    let directory = tempfile::tempdir().unwrap();
    let (kept, empty) = (
        file(&directory, "kept", &token),
        file(&directory, "empty", ""),
    );
    let (kept, empty) = (kept.to_str().unwrap(), empty.to_str().unwrap());
    let untold = format!("{token}@HOST");
    let cases: [(&[&str], i32, &str); 19] = [
        (&["bridge", cut], USAGE, "the token is cut off"),
        (&["bridge", "A!"], USAGE, "as its character 2"),
        (&["bridge"], USAGE, "MUXCOOL_TOKEN"),
        (&["bridge", "TOKEN"], USAGE, "tokens begin with"),
        (&["bridge", kept], USAGE, "--token-file"),
        (&["bridge", "--token-file", empty], USAGE, "no token in"),
        (&["bridge", &untold], USAGE, "for HOST"),
        (&["bridge", &token, &token], USAGE, "two tokens lead to"),
        (&["bridge", &token], USAGE, "--serve web=HOST:PORT"),
        (
            &["bridge", &token, "--serve", "web"],
            USAGE,
            "NAME=HOST:PORT",
        ),
        (
            &["bridge", &token, "--serve", "a=1", "--serve", "a=2"],
            USAGE,
            "given twice",
        ),
        (
            &["forward", "dial", &token, "--socks", "0"],
            USAGE,
            "this token is for `muxcool bridge`",
        ),
        (&["portal", "--listen", "0"], USAGE, "--publish 8080=web"),
        (&["portal", "--listen", "x"], USAGE, "ADDRESS:PORT"),
        (
            &["portal", "--listen", "9", "--publish", "9=a"],
            USAGE,
            "--listen has port 9 already",
        ),
        (
            &[
                "portal",
                "--listen",
                "1",
                "--publish",
                "9=a",
                "--publish",
                "127.0.0.1:9=b",
            ],
            USAGE,
            "--publish of a has port 9 already",
        ),
        (&["tls"], USAGE, "muxcool tls cert"),
        (
            &[
                "portal",
                "--listen",
                &taken,
                "--publish",
                "0=a",
                "--ephemeral",
            ],
            FAILED,
            "another program has the port",
        ),
        (
            &["portal", "--listen", "9", "--publish", "0=a"],
            BAD_CONFIGURATION,
            "another place with --state",
        ),
    ];
    for (args, code, text) in cases {
        let output = output(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    }
    let bad_host = output(&[&unknown_host[..], &["a:1"]].concat());
    assert_eq!(bad_host.status.code(), Some(USAGE), "{bad_host:?}");
}

/// A port where nobody listens, one where another protocol is spoken, and one
/// where the bridge's is not understood.
#[test]
fn a_bridge_says_what_may_be_wrong_with_the_portals_port() {
    let web = TcpTarget::start(|mut visitor| visitor.write_all(b"HTTP/1.0 400 Bad Request\r\n"));
    let mute = TcpTarget::start(|_visitor| Ok(()));
    let portal = portal(&["--publish", "0=web"]);
    let token = portal.token();
    for (port, said) in [
        (
            mute.address().port(),
            "is there TLS at both ends or at none?",
        ),
        (free_port(), "is the portal running, and on this port?"),
        (web.address().port(), "is it the right port?"),
    ] {
        let place = format!("{token}@127.0.0.1:{port}");
        let bridge = Line::start(&["bridge", &place, "--serve", "web=1"]);
        bridge.says(said);
    }
}

/// Nobody knows it by 0.0.0.0.
#[test]
fn who_listens_everywhere_is_told_to_say_where_it_is() {
    let options = [
        "portal",
        "--listen",
        "127.0.0.1:0",
        "--publish",
        "0=web",
        "--ephemeral",
    ];
    let told = Line::start(&[&options[..], &["--host", "portal.example.com"]].concat());
    assert!(!told.token().contains('@'));
    let everywhere = [
        "portal",
        "--listen",
        "8443",
        "--publish",
        "0=web",
        "--export",
    ];
    let untold = output(&[&everywhere[..], &["--ephemeral"]].concat());
    let said = String::from_utf8_lossy(&untold.stderr).into_owned();
    let token = token_in(&said).unwrap();
    assert!(
        token.ends_with("@HOST") && said.contains("--host"),
        "{said}"
    );
    let bare = token.trim_end_matches("@HOST");
    let undirected = output(&["bridge", bare, "--serve", "web=1"]);
    assert_eq!(undirected.status.code(), Some(USAGE));
    assert!(String::from_utf8_lossy(&undirected.stderr).contains("TOKEN@HOST"));
}
