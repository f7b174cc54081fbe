//! What a worker says of itself.

use muxcool::limits::PARKED_DATAGRAMS;
use muxcool::mux::{ClientOptions, ClientWorker, MuxServer};

use crate::mux_support::frames::Frame;
use crate::mux_support::rig::Server;
use crate::mux_support::scene::scene;
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{tcp, udp};

#[test]
fn all_bytes_of_the_carrier_are_counted() {
    let _scene = scene();
    let wire = wire(Spec::default());
    let server = MuxServer::new(wire.far).unwrap();
    let worker = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let (sent, received) = (worker.stats().sent, server.worker().stats().received);
    assert_eq!((sent, received), (0, 0));

    let mut stream = worker.open(tcp()).unwrap();
    let (_, mut accepted) = server.accept().unwrap();
    std::io::Write::write_all(&mut stream, &[7; 100_000]).unwrap();
    std::io::Read::read_exact(&mut accepted, &mut [0; 100_000]).unwrap();
    worker.ping(PATIENCE).unwrap();
    server.worker().ping(PATIENCE).unwrap();

    let same = |count: u64, passed: usize| count == passed as u64;
    wait_until("both have counted all that passed", || {
        let (near, far) = (worker.stats(), server.worker().stats());
        same(near.sent, wire.to_far.passed())
            && same(far.received, wire.to_far.passed())
            && same(far.sent, wire.to_near.passed())
            && same(near.received, wire.to_near.passed())
    });
    let (near, far) = (worker.stats(), server.worker().stats());
    assert!(near.sent > 100_000);
    for stats in [near, far] {
        assert_eq!((stats.total, stats.active, stats.closing), (1, 1, false));
        assert!(stats.round_trip.is_some());
        assert_eq!((stats.hold_ups, stats.stalled, stats.dropped), (0, 0, 0));
    }
    worker.close();
    server.worker().close();
    assert!(worker.stats().closing && server.worker().stats().closing);
}

#[test]
fn dropped_datagrams_are_counted() {
    let _scene = scene();
    let mut server = Server::new();
    let mut target = server.open(1, &udp(), None);
    for _ in 0..PARKED_DATAGRAMS + 3 {
        server.script.send(Frame::keep(1, b"nobody reads it"));
    }
    server.script.sync();
    let stats = server.worker.stats();
    assert_eq!((stats.dropped, stats.hold_ups), (3, 0));
    assert!(stats.parked > 0);

    target.write(&[0; 3000]); // more than plain peers take
    target.write(b"fits");
    server.script.expect(Frame::keep(1, b"fits"));
    assert_eq!(server.worker.stats().dropped, 4);
    drop(target); // its dispatch is over
    server.worker.close();
}
