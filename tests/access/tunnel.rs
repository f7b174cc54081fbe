//! Who becomes a bridge, and who a portal.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::spawn;
use std::time::Instant;

use muxcool::limits::{
    CONTROL_DOMAINS, HEARTBEAT, LOG_INTERVAL, LOG_LINES, MUX_DOMAIN, MUX_PORT, SESSION_PIPE,
};
use muxcool::link::{DispatchError, Dispatcher, Request, pair};
use muxcool::mux::MuxDispatcher;
use muxcool::net::{AllowedTargets, Destination, Network, TargetRange};
use muxcool::proxy::{blackhole, freedom};
use muxcool::reverse::Control;
use muxcool::router::{Condition, DomainPattern, Router, RouterOptions, Rule};

use crate::loopback::idle;
use crate::mux_support::frames::{END, Frame, Script};
use crate::mux_support::party::Party;
use crate::mux_support::{logs, udp};
use crate::reverse_support::portal::{Gate, Outcome, TAG};
use crate::reverse_support::site::Site;
use crate::reverse_support::{DOMAIN, assert_reset, carrier, control_target, plain};
use crate::support::threads::ThreadCheck;

/// Leads to the portal whoever asks for its domain.
fn router(gate: &Gate) -> Router {
    let named = Condition::Domain(vec![DomainPattern::Full(DOMAIN.into())]);
    let rule = Rule {
        outbound: TAG.into(),
        conditions: vec![named],
    };
    let options = RouterOptions {
        rules: vec![rule],
        ..RouterOptions::default()
    };
    Router::new(options, gate.outbounds.clone())
}

/// Lines about somebody whom the portal has not let in.
fn refusals() -> Vec<String> {
    let lines = logs::lines().into_iter();
    lines.filter(|line| line.contains("is refused")).collect()
}

/// Neither a rule that names the domain nor who he is makes up for it.
#[test]
fn a37_a_name_that_was_sniffed_makes_nobody_a_bridge() {
    let threads = ThreadCheck::begin();
    logs::start();
    let gate = Gate::new();
    let router = router(&gate);
    let asked = Destination::tcp("192.0.2.1", 80).unwrap();
    for anonymous in [true, false] {
        let visitor = Request {
            anonymous,
            ..Request::new(asked.clone())
        };
        let (near, far) = pair(SESSION_PIPE);
        let refused = router.dispatch(&visitor.sniffed(carrier()), far);
        assert!(
            matches!(refused, Err(DispatchError::Refused(_))),
            "{refused:?}"
        );
        assert_reset(near.into());
    }
    assert_eq!(gate.portal.carriers(), 0);
    assert_eq!(refusals().len(), 2);

    // What a carrier's session asks for is not what its carrier was taken for.
    let session = Request::new(asked).sniffed(carrier()).derive(carrier());
    assert!(!session.is_sniffed);
    drop(router);
    drop(gate);
    threads.finish();
}

#[test]
fn a37_who_is_no_bridge_is_named_in_the_log_and_does_not_fill_it() {
    const TRIES: usize = 1000;
    let threads = ThreadCheck::begin();
    logs::start();
    let gate = Gate::new();
    let outbound = gate.outbound();
    let stranger = Request {
        anonymous: true,
        source: Some("192.0.2.7:1234".parse().unwrap()),
        inbound: "in\n\x1b[31m".into(),
        ..Request::new(carrier())
    };
    let start = Instant::now();
    for _ in 0..TRIES {
        let (_near, far) = pair(SESSION_PIPE);
        assert!(outbound.dispatch(&stranger, far).is_err());
    }
    let lines = refusals();
    let intervals = start.elapsed().div_duration_f64(LOG_INTERVAL) as usize + 1;
    assert!(lines.len() >= LOG_LINES as usize);
    assert!(lines.len() <= intervals * LOG_LINES as usize, "{lines:?}");
    let first = &lines[0];
    assert!(first.contains("192.0.2.7:1234"), "{first}");
    assert!(first.contains(r"in\x0a\x1b[31m"), "{first}");
    assert!(
        !first.contains(DOMAIN),
        "the domain is half a secret: {first}"
    );
    drop(outbound);
    drop(gate);
    threads.finish();
}

/// What an inbound lets in: connections, and carriers (A51).
struct Door {
    gate: Gate,
    router: Arc<Router>,
    origin: Request,
}

impl Door {
    /// Leads by `rules`, and to the portal for all the rest.
    fn new(mut rules: Vec<Rule>, anonymous: bool) -> Self {
        rules.push(Rule {
            outbound: TAG.into(),
            conditions: vec![Condition::InboundTag(vec!["in".into()])],
        });
        let gate = Gate::new();
        let direct = freedom::Outbound::new("direct".into(), Default::default(), idle());
        let response = blackhole::Response::Http;
        let block =
            blackhole::Outbound::new("block".into(), blackhole::OutboundOptions { response });
        gate.outbounds.add_handler(Arc::new(direct)).unwrap();
        gate.outbounds.add_handler(Arc::new(block)).unwrap();
        let options = RouterOptions {
            rules,
            ..RouterOptions::default()
        };
        let router = Arc::new(Router::new(options, gate.outbounds.clone()));
        let origin = Request {
            anonymous,
            source: Some("192.0.2.7:1234".parse().unwrap()),
            inbound: "in".into(),
            ..Request::new(tcp(MUX_DOMAIN, MUX_PORT))
        };
        Self {
            gate,
            router,
            origin,
        }
    }

    /// Asks for `target` on a connection of its own. What comes back, or `None`
    /// for an error.
    fn connection(&self, target: &Destination) -> Option<Vec<u8>> {
        let (near, far) = pair(SESSION_PIPE);
        let (router, request) = (self.router.clone(), self.origin.derive(target.clone()));
        let served = spawn(move || router.dispatch(&request, far).is_ok());
        let mut near = Party::from(near);
        near.close();
        if !served.join().unwrap() {
            near.read_to_error();
            return None;
        }
        Some(near.read_to_end())
    }

    /// The same on a carrier's session.
    fn session(&self, target: &Destination) -> Option<Vec<u8>> {
        let (mut script, served) = self.carrier();
        script.send(Frame::open(1, target, None));
        script.send(Frame::end(1, false));
        let mut got = Vec::new();
        let end = loop {
            let frame = script.frame();
            assert_eq!(frame.id, 1, "{frame:?}");
            match frame.status {
                END => break frame,
                _ => got.extend_from_slice(frame.payload()),
            }
        };
        script.finish();
        served.join().unwrap().unwrap();
        (end == Frame::end(1, false)).then_some(got)
    }

    fn carrier(&self) -> (Script, Outcome) {
        let (link, script) = Script::new();
        let mux = MuxDispatcher::new(self.router.clone(), plain());
        let origin = self.origin.clone();
        (script, spawn(move || mux.dispatch(&origin, link)))
    }
}

fn tcp(host: &str, port: u16) -> Destination {
    Destination::tcp(host, port).unwrap()
}

fn rule(outbound: &str, name: &str) -> Rule {
    let named = Condition::Domain(vec![DomainPattern::Full(name.into())]);
    Rule {
        outbound: outbound.into(),
        conditions: vec![named, Condition::InboundTag(vec!["in".into()])],
    }
}

/// Whoever asks an anonymous inbound for a carrier gets one, as from V2Ray. But
/// nothing more: its sessions meet what a connection of its own would meet.
#[test]
fn a51_a_session_of_an_anonymous_carrier_is_no_better_than_a_connection() {
    let threads = ThreadCheck::begin();
    logs::start();
    let guarded = TcpListener::bind("127.0.0.1:0").unwrap();
    guarded.set_nonblocking(true).unwrap();
    let port = guarded.local_addr().unwrap().port();
    let blocked = tcp("blocked.example.com", 80);
    let rules = [("direct", "localhost"), ("block", "blocked.example.com")];
    let mut door = Door::new(rules.map(|(tag, name)| rule(tag, name)).into(), true);
    for target in [carrier(), tcp(CONTROL_DOMAINS[0], 1)] {
        assert_eq!(door.connection(&target), None, "{target}");
        assert_eq!(door.session(&target), None, "{target}");
    }
    assert_eq!(door.gate.portal.carriers(), 0, "a bridge was let in");
    let lines = refusals();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("192.0.2.7:1234")));

    let answer = door.connection(&blocked).expect("the rule's outbound");
    assert!(answer.starts_with(b"HTTP/1.1 403"));
    assert_eq!(door.session(&blocked), Some(answer));

    let elsewhere = TargetRange {
        net: Some("192.0.2.0/24".parse().unwrap()),
        ports: 1..=65_535,
    };
    door.origin.allowed = Some(Arc::new(AllowedTargets::new(vec![elsewhere])));
    let forbidden = tcp("localhost", port);
    assert_eq!(door.connection(&forbidden), None);
    assert_eq!(door.session(&forbidden), None);
    assert!(guarded.accept().is_err(), "somebody came");
    drop(door);
    threads.finish();
}

/// The twin: where a connection of its own becomes a bridge's carrier, so does
/// a session.
#[test]
fn a51_a_session_that_may_becomes_a_bridge() {
    let threads = ThreadCheck::begin();
    let by_rule = vec![rule(TAG, DOMAIN)];
    for (rules, anonymous) in [(by_rule, true), (Vec::new(), false)] {
        let door = Door::new(rules, anonymous);
        let (mut script, served) = door.carrier();
        script.send(Frame::open(1, &carrier(), None));
        door.gate.wait_for_carriers(1);
        script.send(Frame::end(1, true));
        door.gate.wait_for_carriers(0);
        script.finish();
        served.join().unwrap().unwrap();
        drop(door);
    }
    threads.finish();
}

/// A38: the portal opens its control session before anybody else's, so that
/// whoever comes later is somebody else, also where no portal has come before.
#[test]
fn a38_control_is_the_first_datagram_session_of_a_carrier_or_none() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.carrier();
    script.send(Frame::open(1, &udp(), None));
    let visitor = site.target();
    open_control(&mut script, 2);
    script.expect(Frame::end(2, true));
    let drain = Control::drain(&mut rand::rng()).encode();
    script.send(Frame::keep(2, &drain));
    script.sync();
    site.time.pass(HEARTBEAT);
    assert_eq!(site.count_dials(), 0, "the visitor was obeyed");
    drop((visitor, script));

    // Streams that come before it are no datagrams.
    let mut script = site.carrier();
    let stream = Destination::new(Network::Tcp, CONTROL_DOMAINS[0].parse().unwrap(), 0);
    script.send(Frame::open(1, &stream, None));
    script.expect(Frame::end(1, true));
    open_control(&mut script, 2);
    script.sync();
    assert!(script.seen.is_empty(), "{:?}", script.seen);
    drop((site, script));
    threads.finish();
}

fn open_control(script: &mut Script, id: u16) {
    let active = Control::active(&mut rand::rng()).encode();
    let target = control_target(CONTROL_DOMAINS[0]);
    script.send(Frame::open(id, &target, Some(&active)));
}
