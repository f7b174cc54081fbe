//! How many carriers a bridge keeps, and when it opens another.

use std::time::Duration;

use muxcool::limits::{
    BRIDGE_DRAINING, BRIDGE_SESSIONS, BRIDGE_WORKERS, HEARTBEAT, REDIAL_BACKOFF,
};
use muxcool::reverse::Control;

use crate::mux_support::frames::{Frame, Script};
use crate::mux_support::targets::Target;
use crate::mux_support::tcp;
use crate::reverse_support::site::{Answers, CONTROL, Site, drain, open_control};
use crate::support::threads::ThreadCheck;

const TICK: Duration = Duration::from_millis(10);

/// Opens sessions until this many are open, the control session among them.
fn open_up_to(site: &Site, script: &mut Script, count: usize) -> Vec<Target> {
    let ids = 2..=u16::try_from(count).unwrap();
    ids.map(|id| {
        script.send(Frame::open(id, &tcp(), None));
        site.target()
    })
    .collect()
}

#[test]
fn a_carrier_that_ends_is_replaced_at_once() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    for orderly in [true, false, true, false] {
        site.time.pass(HEARTBEAT); // long enough to have been of use
        match orderly {
            true => script.carrier.close(),
            false => script.carrier.abort(),
        }
        script = site.controlled();
    }
    assert_eq!(site.count_dials(), 0);
    drop((site, script));
    threads.finish();
}

#[test]
fn one_carrier_is_enough_while_its_sessions_are_few() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    let targets = open_up_to(&site, &mut script, BRIDGE_SESSIONS);
    for _ in 0..5 {
        site.time.pass(HEARTBEAT);
    }
    assert_eq!(site.count_dials(), 0);
    drop((targets, site, script));
    threads.finish();
}

#[test]
fn a44_another_opens_when_the_mean_passes_16_but_not_without_end() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut scripts = vec![site.controlled()];
    let mut targets = Vec::new();
    for open in 1..=BRIDGE_WORKERS {
        let newest = scripts.last_mut().unwrap();
        targets.extend(open_up_to(&site, newest, BRIDGE_SESSIONS));
        site.time.pass(HEARTBEAT);
        assert_eq!(site.count_dials(), 0, "the mean of {open} is 16");

        // One more on each, for the mean is rounded down.
        for script in &mut scripts {
            let id = u16::try_from(BRIDGE_SESSIONS + open).unwrap();
            script.send(Frame::open(id, &tcp(), None));
            targets.push(site.target());
        }
        site.time.pass(HEARTBEAT);
        if open < BRIDGE_WORKERS {
            scripts.push(site.controlled());
        }
        // So that the next carrier alone decides.
        for script in &mut scripts[..open] {
            let id = u16::try_from(BRIDGE_SESSIONS + open).unwrap();
            script.send(Frame::end(id, true));
            script.sync();
        }
        targets.retain_mut(|target| target.is_quiet());
    }
    for script in &mut scripts {
        for id in 1000..1010 {
            script.send(Frame::open(id, &tcp(), None));
            targets.push(site.target());
        }
    }
    for _ in 0..5 {
        site.time.pass(HEARTBEAT);
    }
    assert_eq!(site.count_dials(), 0, "more than {BRIDGE_WORKERS}");
    drop((targets, site, scripts));
    threads.finish();
}

#[test]
fn a_draining_carrier_is_replaced_at_once_and_its_sessions_finish() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut old = site.controlled();
    old.send(Frame::open(2, &tcp(), Some(b"long")));
    let mut target = site.target();
    assert_eq!(target.read(4), b"long");
    site.time.pass(HEARTBEAT);
    drain(&mut old);
    old.expect(Frame::end(CONTROL, false));
    let mut new = site.controlled();

    old.send(Frame::keep(2, b"work"));
    assert_eq!(target.read(4), b"work");
    target.write(b"done");
    old.expect(Frame::keep(2, b"done"));
    target.close();
    old.expect(Frame::end(2, false));
    old.send(Frame::end(2, false));
    assert_eq!(target.read_to_end(), b"");

    // It is the portal that ends it then, and that is no loss.
    for _ in 0..10 {
        site.time.pass(HEARTBEAT);
    }
    old.carrier.close();
    assert_eq!(old.carrier.read_to_end(), b"");
    new.sync();
    assert_eq!(site.count_dials(), 0);
    drop((target, site, new));
    threads.finish();
}

/// A41: in the reference a late message may make it active again.
#[test]
fn a41_a_carrier_that_drains_stays_so() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut old = site.controlled();
    site.time.pass(HEARTBEAT);
    let drain = Control::drain(&mut rand::rng()).encode();
    old.send(Frame::keep(CONTROL, &drain));
    let mut new = site.controlled();
    let active = Control::active(&mut rand::rng()).encode();
    old.send(Frame::keep(CONTROL, &active));
    old.sync();
    site.time.pass(HEARTBEAT);
    new.carrier.close();
    let third = site.controlled();
    drop((site, old, third));
    threads.finish();
}

/// A44: V2Ray dials every 2 s, all bridges at the same moments.
#[test]
fn a44_refused_dials_are_repeated_ever_more_slowly() {
    let threads = ThreadCheck::begin();
    let answers = Answers::default();
    answers.refuse(20);
    let site = Site::answering(answers);
    assert!(site.dial().script.is_none());
    let (first, longest) = REDIAL_BACKOFF;
    let mut pause = first;
    for attempt in 1..20 {
        site.time.pass(pause / 2 - TICK);
        assert_eq!(site.dials.len(), 0, "pause {attempt} is less than half");
        site.time.pass(pause / 2 + TICK);
        assert!(site.dial().script.is_none());
        assert_eq!(site.dials.len(), 0, "pause {attempt} comes twice");
        pause = (pause * 2).min(longest);
    }
    // The portal is back.
    site.time.pass(longest);
    let mut script = site.controlled();
    site.time.pass(HEARTBEAT);
    script.carrier.close();
    let again = site.controlled();
    drop((site, again));
    threads.finish();
}

/// A44: a portal that takes the connection and ends it at once, for it knows
/// no such user, or nobody listens for the domain.
#[test]
fn a44_carriers_that_end_at_once_are_dialled_ever_more_slowly() {
    let threads = ThreadCheck::begin();
    let answers = Answers::default();
    answers.hang_up(1000);
    let site = Site::answering(answers);
    let minute = Duration::from_secs(60);
    let mut passed = Duration::ZERO;
    while passed < minute {
        site.time.pass(10 * TICK);
        passed += 10 * TICK;
    }
    let dials = site.count_dials();
    assert!((8..20).contains(&dials), "{dials} dials in a minute");
    drop(site);
    threads.finish();
}

/// A44: the same for a portal that drains every carrier at once, and keeps it.
#[test]
fn a44_carriers_that_drain_at_once_are_replaced_ever_more_slowly() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut kept = Vec::new();
    let minute = Duration::from_secs(60);
    let mut passed = Duration::ZERO;
    while passed < minute {
        while let Ok(dial) = site.dials.try_recv() {
            let mut script = dial.script.expect("a carrier");
            open_control(&mut script);
            drain(&mut script);
            kept.push(script);
        }
        site.time.pass(10 * TICK);
        passed += 10 * TICK;
    }
    let dials = kept.len();
    assert!((8..20).contains(&dials), "{dials} dials in a minute");
    drop((site, kept));
    threads.finish();
}

/// A44: a portal that drains every carrier and ends none. One that ends makes
/// room for another.
#[test]
fn a44_draining_carriers_have_a_bound() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut kept: Vec<Script> = (0..BRIDGE_DRAINING)
        .map(|_| {
            let mut script = site.controlled();
            site.time.pass(HEARTBEAT);
            drain(&mut script);
            script
        })
        .collect();
    for _ in 0..10 {
        site.time.pass(HEARTBEAT);
    }
    assert_eq!(site.count_dials(), 0);
    kept.pop().unwrap().carrier.close();
    let successor = site.controlled();
    drop((site, kept, successor));
    threads.finish();
}
