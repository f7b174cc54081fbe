//! The portal as an outbound: bridges and visitors come, and others may not.

use std::sync::Arc;

use muxcool::limits::SESSION_PIPE;
use muxcool::link::{DispatchError, Dispatcher, Request, pair};
use muxcool::mux::MuxError;
use muxcool::net::{Destination, Network};
use muxcool::reverse::{Portal, PortalOptions, ReverseError};
use muxcool::router::{Condition, DomainPattern, OutboundManager, Router, RouterOptions, Rule};

use crate::mux_support::frames::{Frame, Script};
use crate::mux_support::party::Party;
use crate::mux_support::tasks::wait_until;
use crate::mux_support::{keyed, tcp, udp};
use crate::reverse_support::portal::{Gate, TAG};
use crate::reverse_support::time::Time;
use crate::reverse_support::{
    DOMAIN, NETWORKS, assert_failed, assert_opens_control, assert_reset, carrier, control_spellings,
};
use crate::support::threads::ThreadCheck;

#[test]
fn names_that_cannot_be_are_refused() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let outbounds = Arc::new(OutboundManager::new());
    let open = |tag: &str, domain: &str| {
        let options = PortalOptions::new(tag, domain);
        Portal::new(options, outbounds.clone(), &time.timer)
    };
    assert!(matches!(open("", DOMAIN), Err(ReverseError::EmptyTag)));
    assert!(matches!(open(TAG, ""), Err(ReverseError::EmptyDomain)));
    for no_name in ["192.0.2.1", "::1", "[::1]", "a b", "ex\u{e4}mple", "a\n"] {
        let refused = open(TAG, no_name);
        assert!(
            matches!(refused, Err(ReverseError::BadDomain(_))),
            "{no_name:?}"
        );
    }
    assert!(outbounds.default_handler().is_none(), "one was registered");
    threads.finish();
}

#[test]
fn a_tag_that_is_taken_is_refused_and_its_owner_stays() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let owner = gate.outbound();
    let options = PortalOptions::new(TAG, "other.example.com");
    let second = Portal::new(options, gate.outbounds.clone(), &gate.time.timer);
    assert!(matches!(second, Err(ReverseError::DuplicateTag(e)) if e.tag == TAG));
    assert!(Arc::ptr_eq(&owner, &gate.outbound()));
    drop((gate, owner));
    threads.finish();
}

#[test]
fn it_is_an_outbound_until_it_is_closed_or_dropped() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    assert_eq!(gate.outbound().tag(), TAG);
    gate.portal.close();
    assert!(gate.outbounds.get(TAG).is_none());
    gate.portal.close();

    let options = PortalOptions::new(TAG, DOMAIN);
    let again = Portal::new(options, gate.outbounds.clone(), &gate.time.timer).unwrap();
    assert!(gate.outbounds.get(TAG).is_some());
    drop(again);
    assert!(gate.outbounds.get(TAG).is_none());
    drop(gate);
    threads.finish();
}

/// A portal that was closed, and forgotten, must not take the outbound of its
/// successor with it.
#[test]
fn an_old_portal_does_not_remove_its_successor() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    gate.portal.close();
    let options = PortalOptions::new(TAG, DOMAIN);
    let successor = Portal::new(options, gate.outbounds.clone(), &gate.time.timer).unwrap();
    gate.portal.close();
    assert!(gate.outbounds.get(TAG).is_some());
    drop((successor, gate));
    threads.finish();
}

#[test]
fn a_link_to_its_domain_becomes_a_carrier_for_as_long_as_it_lives() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    assert_eq!(gate.portal.carriers(), 0);
    let bridge = gate.bridge();
    assert_eq!(gate.portal.carriers(), 1);
    bridge.script.finish();
    bridge.served.join().unwrap().unwrap();
    assert_eq!(gate.portal.carriers(), 0);
    drop(gate);
    threads.finish();
}

#[test]
fn the_port_that_a_bridge_asks_for_does_not_matter() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let (link, mut script) = Script::new();
    let served = gate.dispatch(Destination::tcp(DOMAIN, 443).unwrap(), link);
    assert_opens_control(&script.frame(), "reverse.internal.v2ray.com");
    script.finish();
    served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn visitors_become_sessions_with_their_own_targets() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut bridge = gate.bridge();
    // Compared exactly, as in the reference.
    let other_case = Destination::tcp(&DOMAIN.to_uppercase(), 80).unwrap();
    for (key, target) in (1..).zip([tcp(), udp(), other_case]) {
        let (up, down) = (keyed(key, 0, 600), keyed(100 + key, 0, 700));
        let mut visitor = gate.visitor(target.clone(), &up);
        let new = bridge.script.frame();
        assert_eq!(new, Frame::open(new.id, &target, Some(&up)));
        bridge.script.send(Frame::keep(new.id, &down));
        assert_eq!(visitor.party.read(down.len()), down);

        bridge.script.send(Frame::end(new.id, false));
        assert_eq!(visitor.party.read_to_end(), b"");
        visitor.party.close();
        bridge.script.expect(Frame::end(new.id, false));
        visitor.served().unwrap();
    }
    assert_eq!(gate.portal.carriers(), 1);
    bridge.script.finish();
    bridge.served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn a_link_can_be_asked_for_instead_of_given() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let connect = |target| gate.outbound().connect(&Request::new(target));
    assert!(connect(tcp()).is_err(), "no bridge is there");
    let mut bridge = gate.bridge();
    let mut party = Party::from(connect(tcp()).unwrap());
    let new = bridge.script.frame();
    assert_eq!(new, Frame::open(new.id, &tcp(), None));
    bridge.script.send(Frame::keep(new.id, b"hello"));
    assert_eq!(party.read(5), b"hello");

    // A bridge cannot be had that way, nor a control session.
    assert!(connect(carrier()).is_err());
    assert!(connect(Destination::udp("reverse", 0).unwrap()).is_err());
    drop(party);
    bridge.script.finish();
    bridge.served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn a_visitor_is_reset_when_there_is_no_bridge() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let visitor = gate.visitor(tcp(), b"hello");
    assert_reset(visitor.party);
    let Err(DispatchError::Other(why)) = visitor.served.join().unwrap() else {
        panic!("there was no bridge");
    };
    assert!(matches!(why.downcast_ref(), Some(MuxError::NoWorker)));
    drop(gate);
    threads.finish();
}

/// A13: a session that did not end in band must not look as if it had.
#[test]
fn a13_a_visitor_is_reset_when_its_bridge_goes() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut bridge = gate.bridge();
    for orderly in [true, false] {
        let (mut visitor, id) = bridge.take_visitor(&gate);
        bridge.script.send(Frame::keep(id, b"half of the ans"));
        assert_eq!(visitor.party.read(15), b"half of the ans");
        match orderly {
            true => bridge.script.carrier.close(),
            false => bridge.script.carrier.abort(),
        }
        assert_reset(visitor.party);
        assert_failed(visitor.served.join().unwrap());
        bridge.served.join().unwrap().unwrap();
        bridge = gate.bridge();
    }
    drop(gate);
    drop(bridge.script);
    bridge.served.join().unwrap().unwrap();
    threads.finish();
}

#[test]
fn a37_a_stranger_is_a_bridge_only_by_a_rule_that_names_the_domain() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let stranger = Request {
        anonymous: true,
        ..Request::new(carrier())
    };
    let through = |patterns: Vec<DomainPattern>| {
        let rule = Rule {
            outbound: TAG.into(),
            conditions: vec![Condition::Domain(patterns)],
        };
        let options = RouterOptions {
            rules: vec![rule],
            ..RouterOptions::default()
        };
        Router::new(options, gate.outbounds.clone())
    };
    for lets_pass in [
        DomainPattern::Keyword(".".into()),
        DomainPattern::Domain("com".into()),
    ] {
        let router = through(vec![lets_pass]);
        let (near, far) = pair(SESSION_PIPE);
        let refused = router.dispatch(&stranger, far);
        assert!(
            matches!(refused, Err(DispatchError::Refused(_))),
            "{refused:?}"
        );
        assert_reset(near.into());
    }
    assert_eq!(gate.portal.carriers(), 0);

    let router = through(vec![DomainPattern::Full(DOMAIN.into())]);
    let (near, far) = pair(SESSION_PIPE);
    let served = std::thread::spawn(move || router.dispatch(&stranger, far));
    gate.wait_for_carriers(1);
    drop(near);
    served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn a46_datagrams_for_its_domain_are_refused() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let (near, far) = pair(SESSION_PIPE);
    let target = Destination::udp(DOMAIN, 0).unwrap();
    let served = gate.dispatch(target, far);
    assert!(matches!(
        served.join().unwrap(),
        Err(DispatchError::Refused(_))
    ));
    assert_reset(near.into());
    assert_eq!(gate.portal.carriers(), 0);
    drop(gate);
    threads.finish();
}

/// Messages in such a session would reach the bridge as the portal's.
#[test]
fn a38_visitors_are_not_let_into_control_sessions() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut bridge = gate.bridge();
    for name in control_spellings() {
        for (network, port) in NETWORKS.into_iter().zip([0, 80]) {
            let target = Destination::new(network, name.parse().unwrap(), port);
            let visitor = gate.visitor(target.clone(), b"\x08\x01");
            assert_reset(visitor.party);
            let refused = visitor.served.join().unwrap();
            assert!(
                matches!(refused, Err(DispatchError::Refused(_))),
                "{target}"
            );
        }
    }
    bridge.script.sync();
    assert!(bridge.script.seen.is_empty(), "{:?}", bridge.script.seen);

    // Names that only look alike are nobody's business.
    let harmless = Destination::new(Network::Tcp, "reverse.internal".parse().unwrap(), 80);
    let visitor = gate.visitor(harmless.clone(), b"");
    let new = bridge.script.frame();
    assert_eq!(new, Frame::open(new.id, &harmless, None));
    drop(visitor.party);
    bridge.script.finish();
    assert_failed(visitor.served.join().unwrap());
    bridge.served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn a45_closing_ends_the_carriers_and_joins_their_threads() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut bridges = [gate.bridge(), gate.bridge()];
    let visitors = bridges.each_mut().map(|b| b.take_visitor(&gate).0);
    gate.portal.close();
    for visitor in visitors {
        assert_reset(visitor.party);
        assert_failed(visitor.served.join().unwrap());
    }
    for bridge in bridges {
        bridge.served.join().unwrap().unwrap();
    }
    assert_eq!(gate.portal.carriers(), 0);
    threads.finish();
}

/// Whoever found the outbound before it was removed.
#[test]
fn a45_a_closed_portal_takes_nobody() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let outbound = gate.outbound();
    gate.portal.close();
    for target in [carrier(), tcp()] {
        let (near, far) = pair(SESSION_PIPE);
        assert_failed(outbound.dispatch(&Request::new(target), far));
        assert_reset(near.into());
    }
    assert_eq!(gate.portal.carriers(), 0);
    drop(gate);
    threads.finish();
}

/// A34: the reference gave every visitor to the dead carrier, for it has the
/// fewest sessions, for up to 30 s. No time passes here.
#[test]
fn a34_the_next_visitor_works_when_one_of_two_carriers_has_gone() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut healthy = gate.bridge();
    for round in 0..100 {
        let mut doomed = gate.bridge();
        match round % 2 {
            0 => doomed.script.carrier.abort(),
            _ => doomed.script.carrier.close(),
        }
        doomed.served.join().unwrap().unwrap();
        let (visitor, id) = healthy.take_visitor(&gate);
        healthy.script.send(Frame::end(id, true));
        assert_reset(visitor.party);
        assert_failed(visitor.served.join().unwrap());
    }
    gate.wait_for_carriers(1);
    healthy.script.finish();
    healthy.served.join().unwrap().unwrap();
    drop(gate);
    threads.finish();
}

#[test]
fn sessions_are_spread_over_the_carriers() {
    let threads = ThreadCheck::begin();
    let gate = Gate::new();
    let mut bridges = [gate.bridge(), gate.bridge(), gate.bridge()];
    let mut visitors = Vec::new();
    for round in 0..4 {
        for bridge in &mut bridges {
            let (visitor, id) = bridge.take_visitor(&gate);
            assert_eq!(usize::from(id), 2 + round, "on each carrier its own count");
            visitors.push(visitor);
        }
    }
    gate.portal.close();
    for visitor in visitors {
        assert_failed(visitor.served.join().unwrap());
    }
    for bridge in bridges {
        bridge.served.join().unwrap().unwrap();
    }
    wait_until("carriers gone", || gate.portal.carriers() == 0);
    threads.finish();
}
