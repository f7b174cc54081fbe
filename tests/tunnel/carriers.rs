//! Carriers that are lost, shared, and added.

use std::{io::Read, net::TcpStream, thread, time::Instant};

use super::ends::assert_reset;
use super::shapes::{BACK, Shape, Tunnel, eventually_is};
use super::support::{
    PATIENCE,
    client::{self, Entry},
    config::{self as texts, Carrier, Endpoint, Entrances},
    eventually,
    target::TcpTarget,
    threads::ThreadCheck,
};

const VISITORS: usize = 8;

/// A13: in the reference the visitor sees an orderly end, in the middle of
/// what it reads.
pub fn a13_a_lost_carrier_resets_its_visitors_and_their_targets(shape: Shape) {
    let threads = ThreadCheck::begin();
    let (told, ends) = std::sync::mpsc::channel();
    let target = TcpTarget::start(move |mut visitor| {
        let mut bytes = [0; 5];
        visitor.read_exact(&mut bytes)?;
        std::io::Write::write_all(&mut visitor, &bytes)?;
        let _ = told.send(visitor.read(&mut bytes));
        Ok(())
    });
    let tunnel = Tunnel::open(shape, &[target.address()]);
    let visitors = inside(&tunnel.socks(target.address()));
    assert_eq!(tunnel.middle().cut(), 1, "carriers");
    for mut visitor in visitors {
        assert_reset(visitor.read(&mut [0]));
        assert_reset(ends.recv_timeout(PATIENCE).expect("an end"));
    }
    drop((tunnel, target));
    threads.finish();
}

pub fn the_next_visitors_work_after_the_carrier_was_lost(shape: Shape) {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let tunnel = Tunnel::open(shape, &[]);
    let entry = tunnel.socks(echo.address());
    for _ in 0..3 {
        client::visit(&entry, 1, PATIENCE).expect("a visit");
        assert!(tunnel.middle().cut() > 0);
        let again = eventually(Instant::now() + BACK, || client::visit(&entry, 2, BACK));
        again.expect("a visit after the loss");
        for key in 0..20 {
            client::visit(&entry, key, PATIENCE).expect("more visits");
        }
    }
    drop((tunnel, echo));
    threads.finish();
}

pub fn visitors_share_a_carrier(shape: Shape) {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let tunnel = Tunnel::open(shape, &[]);
    let entry = tunnel.socks(echo.address());
    let visitors = inside(&entry);
    assert_eq!(tunnel.middle().made(), 1);
    drop((visitors, tunnel, echo));
    threads.finish();
}

/// Visitors that have had an answer.
fn inside(entry: &Entry) -> Vec<TcpStream> {
    let enter = |_| {
        let mut visitor = entry.connect().expect("connect");
        client::echo(&mut visitor, b"hello").expect("echo");
        visitor
    };
    (0..VISITORS).map(enter).collect()
}

const REVERSE: Shape = Shape::Reverse(Carrier::Vless);

/// A44: a mean above 16 asks for another carrier, until it is not.
#[test]
fn a44_a_bridge_opens_more_carriers_under_load() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let tunnel = Tunnel::open(REVERSE, &[]);
    let entry = tunnel.socks(echo.address());
    let visitors: Vec<TcpStream> = (0..5).flat_map(|_| inside(&entry)).collect();
    // 40 and a control session on each: 41 / 1, 42 / 2, 43 / 3.
    tunnel.wait_for_carriers(3);
    let more = inside(&entry);
    assert_eq!(tunnel.near.carriers(), 3);
    drop((visitors, more, tunnel, echo));
    threads.finish();
}

/// A34: nobody is given to a carrier that has gone.
#[test]
fn a34_one_of_two_bridges_goes_and_every_visitor_works() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let endpoint = Endpoint::new(Carrier::Vless, 0);
    let entrances = Entrances {
        socks: 0,
        doors: Vec::new(),
    };
    let portal = super::shapes::start("portal", texts::portal(&entrances, &endpoint));
    let endpoint = endpoint.via(super::shapes::address(&portal, "carrier").port());
    let bridge = || super::shapes::start("bridge", texts::bridge(&endpoint));
    let entry = Entry::socks(super::shapes::address(&portal, "visitors"), echo.address());
    let stays = bridge();
    for _ in 0..5 {
        let goes = bridge();
        eventually_is(2, || portal.carriers());
        goes.close();
        eventually_is(1, || portal.carriers());
        for key in 0..50 {
            client::visit(&entry, key, PATIENCE).expect("a visit");
        }
    }
    drop((stays, portal, echo));
    threads.finish();
}

/// Past 256 sessions carriers are replaced one after the other, and the old
/// ones end.
#[test]
fn a40_visits_across_drains_all_work() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let tunnel = Tunnel::open(REVERSE, &[]);
    let entry = tunnel.socks(echo.address());
    let staying = inside(&entry);
    let visited = Instant::now() + 2 * PATIENCE;
    thread::scope(|threads| {
        for visitor in 0..4_u64 {
            let (entry, tunnel) = (&entry, &tunnel);
            threads.spawn(move || {
                let mut key = visitor << 32;
                while tunnel.middle().made() < 3 {
                    assert!(Instant::now() < visited, "no carrier drains");
                    client::visit(entry, key, PATIENCE).expect("a visit");
                    key += 1;
                }
            });
        }
    });
    for mut visitor in staying {
        client::echo(&mut visitor, b"still here").expect("echo on a drained carrier");
    }
    drop((tunnel, echo));
    threads.finish();
}
