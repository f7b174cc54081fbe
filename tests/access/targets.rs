//! Where what comes through a tunnel may go: the address that is dialled is
//! what counts, however it was spelt.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use muxcool::app::App;
use muxcool::config;
use muxcool::limits::SESSION_PIPE;
use muxcool::link::{DispatchError, Dispatcher, Outbound, Request, pair};
use muxcool::net::{AllowedTargets, Destination, Network, TargetRange};
use muxcool::proxy::{blackhole, freedom};
use muxcool::router::{OutboundManager, Router, RouterOptions};

use crate::loopback::{PATIENCE, closed_port, idle};
use crate::mux_support::logs;
use crate::mux_support::tasks::wait_until;
use crate::reverse_support::assert_reset;
use crate::support::target::TcpTarget;
use crate::support::threads::ThreadCheck;

/// Only these addresses, on these ports.
fn only(address: SocketAddr) -> Arc<AllowedTargets> {
    let range = TargetRange {
        net: Some(address.ip().into()),
        ports: address.port()..=address.port(),
    };
    Arc::new(AllowedTargets::new(vec![range]))
}

fn freedom(options: freedom::OutboundOptions) -> Router {
    router(Arc::new(freedom::Outbound::new(
        "direct".into(),
        options,
        idle(),
    )))
}

fn router(outbound: Arc<dyn Outbound>) -> Router {
    let outbounds = Arc::new(OutboundManager::new());
    outbounds.add_handler(outbound).unwrap();
    Router::new(RouterOptions::default(), outbounds)
}

fn request(network: Network, host: &str, port: u16, allowed: &Arc<AllowedTargets>) -> Request {
    Request {
        allowed: Some(allowed.clone()),
        inbound: "bridge".into(),
        ..Request::new(Destination::new(network, host.parse().unwrap(), port))
    }
}

/// A listener that somebody must not reach.
fn guarded() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

#[track_caller]
fn assert_untouched(listener: &TcpListener) {
    let kind = listener.accept().expect_err("somebody came").kind();
    assert_eq!(kind, ErrorKind::WouldBlock);
}

/// Ways to write 127.0.0.1. The system's resolver knows all of them, without
/// asking anybody.
const SPELLINGS: [&str; 30] = [
    "127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "localhost",
    "127.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.1",
    "127.0x1",
    "127.0.0x1",
    "127.0.0.0x1",
    "127.0.0.01",
    "0x7f.0.1",
    "0x7f.0.0.1",
    "0x7F.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x7F000001",
    "0177.1",
    "0177.0.1",
    "0177.00.00.01",
    "017700000001",
    "LOCALHOST",
    "[127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "::FFFF:7F00:1",
    "0:0:0:0:0:ffff:127.0.0.1",
    "0:0:0:0:0:ffff:7f00:1",
    "0000:0000:0000:0000:0000:ffff:7f00:0001",
];

/// Others that lead to this machine.
const NEARBY: [&str; 12] = [
    "0.0.0.0",
    "0",
    "0x0",
    "0.0",
    "::",
    "[::]",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "127.0.0.2",
    "127.255.255.254",
    "0177.0.0.2",
];

#[test]
fn no_spelling_of_an_address_gets_past_the_list() {
    let threads = ThreadCheck::begin();
    logs::start();
    let secret = guarded();
    let port = secret.local_addr().unwrap().port();
    let elsewhere = only(SocketAddr::new("192.0.2.1".parse().unwrap(), port));
    let router = freedom(freedom::OutboundOptions::default());
    for spelling in SPELLINGS.iter().chain(&NEARBY) {
        let asked = request(Network::Tcp, spelling, port, &elsewhere);
        match router.connect(&asked) {
            Err(DispatchError::Forbidden(address)) => assert_eq!(address.port(), port),
            other => panic!("{spelling}: {:?}", other.map(|_| "a link")),
        }
        let (near, far) = pair(SESSION_PIPE);
        assert!(router.dispatch(&asked, far).is_err(), "{spelling}");
        assert_reset(near.into());
    }
    assert_untouched(&secret);
    let lines = logs::lines();
    let refusal = lines.iter().find(|line| line.contains("refusing"));
    let refusal = refusal.expect("a line about it");
    for part in [
        "[bridge]",
        "127.0.0.1",
        "not among the targets that are allowed",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    threads.finish();
}

#[test]
fn every_spelling_of_an_allowed_address_leads_there() {
    let threads = ThreadCheck::begin();
    let target = TcpTarget::echo();
    let allowed = only(target.address());
    let router = freedom(freedom::OutboundOptions::default());
    for spelling in SPELLINGS {
        let asked = request(Network::Tcp, spelling, target.address().port(), &allowed);
        let link = router.connect(&asked);
        assert!(link.is_ok(), "{spelling}: {:?}", link.err());
    }
    drop(target);
    threads.finish();
}

/// Only the port that is named; datagrams are no exception; nor is where an
/// outbound leads everything.
#[test]
fn ports_networks_and_redirects_are_checked_too() {
    let threads = ThreadCheck::begin();
    let (open, closed) = (guarded(), guarded());
    let [open_at, closed_at] = [&open, &closed].map(|l| l.local_addr().unwrap());
    let allowed = only(open_at);
    let plain = freedom(freedom::OutboundOptions::default());
    let asked = |at: SocketAddr, network| request(network, "127.0.0.1", at.port(), &allowed);
    let forbidden = |router: &Router, asked: &Request| {
        matches!(router.connect(asked), Err(DispatchError::Forbidden(_)))
    };
    assert!(plain.connect(&asked(open_at, Network::Tcp)).is_ok());
    assert!(plain.connect(&asked(open_at, Network::Udp)).is_ok());
    assert!(forbidden(&plain, &asked(closed_at, Network::Tcp)));
    assert!(forbidden(&plain, &asked(closed_at, Network::Udp)));

    let redirected = freedom(freedom::OutboundOptions {
        redirect_port: closed_at.port(),
        ..Default::default()
    });
    assert!(forbidden(&redirected, &asked(open_at, Network::Tcp)));
    let rescued = freedom(freedom::OutboundOptions {
        redirect_port: open_at.port(),
        ..Default::default()
    });
    assert!(rescued.connect(&asked(closed_at, Network::Tcp)).is_ok());
    assert_untouched(&closed);

    // Nothing is checked for who is not bound to anything.
    let free = Request::new(Destination::new(
        Network::Tcp,
        closed_at.ip().into(),
        closed_at.port(),
    ));
    assert!(plain.connect(&free).is_ok());
    threads.finish();
}

#[test]
fn a_name_that_another_would_resolve_goes_nowhere() {
    let threads = ThreadCheck::begin();
    let options = blackhole::OutboundOptions {
        response: blackhole::Response::None,
    };
    let far_away = router(Arc::new(blackhole::Outbound::new("out".into(), options)));
    let allowed = only("192.0.2.1:80".parse().unwrap());
    let outcome = |host, port| {
        let (_near, far) = pair(SESSION_PIPE);
        far_away.dispatch(&request(Network::Tcp, host, port, &allowed), far)
    };
    assert!(matches!(
        outcome("localhost", 80),
        Err(DispatchError::Unchecked)
    ));
    assert!(matches!(
        outcome("192.0.2.1", 81),
        Err(DispatchError::Forbidden(_))
    ));
    let allowed = outcome("192.0.2.1", 80);
    let judged = matches!(
        allowed,
        Err(DispatchError::Unchecked | DispatchError::Forbidden(_))
    );
    assert!(!judged, "{allowed:?}");
    threads.finish();
}

fn start(text: &str) -> App {
    App::start(config::parse("test", text).unwrap()).unwrap()
}

fn visit(app: &App, tag: &str, payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(app.local_addrs(tag)[0])?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(payload)?;
    let mut answer = vec![0; payload.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A whole tunnel: the visitors' doors name a target that the bridge allows,
/// one that it does not, and one by a name.
#[test]
fn a_bridge_lets_through_what_its_list_names_and_says_what_it_does_not() {
    let threads = ThreadCheck::begin();
    logs::start();
    let target = TcpTarget::echo();
    let secret = guarded();
    let (open, closed) = (target.address().port(), secret.local_addr().unwrap().port());
    let door = |tag: &str, host: &str, port: u16| {
        format!(
            r#"{{ "tag": "{tag}", "protocol": "dokodemo-door", "listen": "127.0.0.1", "port": 0,
                 "settings": {{ "address": "{host}", "port": {port} }} }}"#
        )
    };
    let doors = [
        door("open", "127.0.0.1", open),
        door("named", "localhost", open),
        door("closed", "127.0.0.1", closed),
        door("closed-name", "localhost", closed),
    ]
    .join(",");
    let id = "b831381d-6324-4d53-ad4f-8cda48b30811";
    let portal = start(&format!(
        r#"{{ "reverse": {{ "portals": [{{ "tag": "portal", "domain": "tunnel.example.com" }}] }},
             "inbounds": [{doors}, {{ "tag": "bridges", "protocol": "vless", "listen": "127.0.0.1",
               "port": 0, "settings": {{ "decryption": "none", "clients": [{{ "id": "{id}" }}] }} }}] }}"#
    ));
    let entrance = portal.local_addrs("bridges")[0].port();
    let bridge = start(&format!(
        r#"{{ "reverse": {{ "bridges": [{{ "tag": "bridge", "domain": "tunnel.example.com",
               "allowTargets": ["127.0.0.1:{open}"] }}] }},
             "outbounds": [{{ "tag": "service", "protocol": "freedom" }},
               {{ "tag": "to-portal", "protocol": "vless", "settings": {{ "vnext": [{{
                 "address": "127.0.0.1", "port": {entrance},
                 "users": [{{ "id": "{id}", "encryption": "none" }}] }}] }} }}],
             "routing": {{ "rules": [{{ "type": "field", "inboundTag": "bridge",
               "domain": "full:tunnel.example.com", "outboundTag": "to-portal" }}] }} }}"#
    ));
    wait_until("the bridge comes", || portal.carriers() > 0);
    for tag in ["open", "named"] {
        assert_eq!(visit(&portal, tag, b"hello").unwrap(), b"hello", "{tag}");
    }
    for tag in ["closed", "closed-name"] {
        let refused = visit(&portal, tag, b"hello").expect_err(tag);
        assert_ne!(refused.kind(), ErrorKind::WouldBlock, "{tag}");
    }
    assert_untouched(&secret);
    let told = |line: &String| {
        line.contains("refusing") && line.contains(&format!("127.0.0.1:{closed} is not among"))
    };
    wait_until("both are in the log", || {
        logs::lines().iter().filter(|line| told(line)).count() >= 2
    });
    bridge.close();
    portal.close();
    drop((bridge, portal, target));
    threads.finish();
}

/// An answer to a name may change between two looks; there is only one.
#[test]
fn what_was_checked_is_what_is_dialled() {
    let threads = ThreadCheck::begin();
    let nobody = closed_port();
    let allowed = only(nobody);
    let router = freedom(freedom::OutboundOptions {
        domain_strategy: freedom::DomainStrategy::UseIp,
        ..Default::default()
    });
    // Of several addresses only those that are allowed are candidates: ::1,
    // where the system has it, never is.
    for _ in 0..16 {
        let asked = request(Network::Tcp, "localhost", nobody.port(), &allowed);
        match router.connect(&asked) {
            Err(DispatchError::Unreachable(e)) => {
                assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
            }
            other => panic!("{:?}", other.map(|_| "a link")),
        }
    }
    threads.finish();
}
