//! Who becomes a bridge, and who a portal.

use std::time::Instant;

use muxcool::limits::{CONTROL_DOMAINS, HEARTBEAT, LOG_INTERVAL, LOG_LINES, SESSION_PIPE};
use muxcool::link::{DispatchError, Dispatcher, Request, pair};
use muxcool::net::{Destination, Network};
use muxcool::reverse::Control;
use muxcool::router::{Condition, DomainPattern, Router, RouterOptions, Rule};

use crate::mux_support::frames::{Frame, Script};
use crate::mux_support::{logs, udp};
use crate::reverse_support::portal::{Gate, TAG};
use crate::reverse_support::site::Site;
use crate::reverse_support::{DOMAIN, assert_reset, carrier, control_target};
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
