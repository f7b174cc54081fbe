//! What happens to a tunnel.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};

use crate::{
    common::failure::Failure,
    support::{
        eventually,
        program::{Kind, v2ray_or_skip},
        relay::{Fault, Relay, Trip, Way},
    },
    tunnel::{GIVEN_UP, Going, Tunnel},
};

/// Quiet time between two faults, in milliseconds.
const QUIET: (u64, u64) = (1_500, 6_000);

/// How long a program stands still without being given up.
const PAUSE: Duration = Duration::from_millis(900);

/// Bytes that may pass before a carrier suffers something, and how long they are
/// waited for.
const SOME_BYTES: u64 = 30_000;
const MOMENT: Duration = Duration::from_millis(300);

/// How many of the programs that come new are V2Ray, one in so many.
const V2RAY: u32 = 3;

/// Faults by their names, and how often each has happened.
pub type Counts = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy)]
enum Event {
    Carrier(&'static str, Fault),
    Restart,
    Drain,
    FreezeLasting,
    FreezePassing,
    PauseLasting,
    PausePassing,
}

const EVENTS: [Event; 13] = [
    Event::Carrier("carrier reset", Fault::Reset),
    Event::Carrier("carrier ended", Fault::Fin),
    Event::Carrier("carrier half-closed", Fault::HalfClose),
    Event::Carrier("carrier not read", Fault::Stop),
    Event::Carrier("carrier silent", Fault::Freeze),
    Event::Restart,
    Event::Restart,
    Event::Drain,
    Event::Drain,
    Event::FreezeLasting,
    Event::FreezePassing,
    Event::PauseLasting,
    Event::PausePassing,
];

/// Lets things happen to the tunnel until the time has come; it is well then.
pub fn run(tunnel: &mut Tunnel, mut chance: StdRng, until: Instant) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    loop {
        let quiet = Duration::from_millis(chance.random_range(QUIET.0..QUIET.1));
        if Instant::now() + quiet >= until {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            break;
        }
        thread::sleep(quiet);
        let event = EVENTS[chance.random_range(0..EVENTS.len())];
        *counts
            .entry(happen(tunnel, event, &mut chance)?)
            .or_default() += 1;
    }
    if tunnel.has_v2ray() {
        *counts.entry(kill(tunnel, Kind::Muxcool)?).or_default() += 1;
    }
    Ok(counts)
}

/// Returns what happened.
fn happen(tunnel: &mut Tunnel, event: Event, chance: &mut StdRng) -> Result<&'static str, Failure> {
    match event {
        Event::Carrier(name, fault) => carrier(tunnel, fault, chance).map(|()| name),
        Event::Restart => {
            let v2ray = chance.random_range(0..V2RAY) == 0 && v2ray_or_skip();
            kill(tunnel, if v2ray { Kind::V2ray } else { Kind::Muxcool })
        }
        // V2Ray knows no other way to go.
        Event::Drain if tunnel.passing_is_v2ray() => kill(tunnel, Kind::Muxcool),
        Event::Drain => drain(tunnel).map(|()| "program drained, muxcool came"),
        Event::FreezeLasting => freeze(tunnel, true).map(|()| "program frozen"),
        Event::FreezePassing => freeze(tunnel, false).map(|()| "program frozen"),
        Event::PauseLasting => Ok(pause(tunnel, true)),
        Event::PausePassing => Ok(pause(tunnel, false)),
    }
}

/// All carriers that there are suffer it, each a few bytes later.
fn carrier(tunnel: &mut Tunnel, fault: Fault, chance: &mut StdRng) -> Result<(), Failure> {
    // V2Ray does not look after a silent peer, nor whether one has ended.
    let fault = match tunnel.has_v2ray() {
        true => Fault::Reset,
        false => fault,
    };
    let trip = Trip {
        way: Way::BOTH[chance.random_range(0..2)],
        after: chance.random_range(0..SOME_BYTES),
        fault,
    };
    troubled(tunnel, |tunnel| {
        trip_over(&tunnel.relay, trip);
        if matches!(fault, Fault::Stop | Fault::Freeze) {
            thread::sleep(GIVEN_UP);
        }
    })
}

/// Lets the carriers that are idle suffer it, too.
fn trip_over(relay: &Relay, trip: Trip) {
    let (before, open) = (relay.tripped(), relay.open());
    relay.trip(trip);
    let _ = eventually(Instant::now() + MOMENT, || {
        match relay.tripped() - before >= open {
            true => Ok(()),
            false => Err(()),
        }
    });
    relay.clear();
    relay.inflict(trip.fault);
}

fn kill(tunnel: &mut Tunnel, kind: Kind) -> Result<&'static str, Failure> {
    troubled(tunnel, |tunnel| tunnel.replace(kind, Going::Killed))?;
    Ok(match kind {
        Kind::Muxcool => "program killed, muxcool came",
        Kind::V2ray => "program killed, V2Ray came",
    })
}

/// Those whose connections last longer than the drain lose them.
fn drain(tunnel: &mut Tunnel) -> Result<(), Failure> {
    troubled(tunnel, |tunnel| {
        tunnel.replace(Kind::Muxcool, Going::Drained)
    })
}

/// Until the other one has given it up.
fn freeze(tunnel: &mut Tunnel, lasting: bool) -> Result<(), Failure> {
    troubled(tunnel, |tunnel| {
        let program = match lasting {
            true => tunnel.lasting(),
            false => tunnel.passing(),
        };
        program.freeze();
        thread::sleep(GIVEN_UP);
        program.thaw();
    })
}

/// For less long than that: it is no reason for anything.
fn pause(tunnel: &Tunnel, lasting: bool) -> &'static str {
    let program = match lasting {
        true => tunnel.lasting(),
        false => tunnel.passing(),
    };
    program.freeze();
    thread::sleep(PAUSE);
    program.thaw();
    "program paused (excuses nothing)"
}

/// What happens may cost connections, until the tunnel serves again.
fn troubled(tunnel: &mut Tunnel, happen: impl FnOnce(&mut Tunnel)) -> Result<(), Failure> {
    tunnel.public.chronicle.trouble_begins();
    happen(tunnel);
    let served = tunnel.wait_until_it_serves();
    tunnel.public.chronicle.trouble_ends();
    served
}
