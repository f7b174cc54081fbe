//! How large a datagram may be: what the peer has said that it takes.

use muxcool::limits::{MAX_FRAME_PAYLOAD, MAX_PLAIN_DATAGRAM};
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, MuxServer, MuxStream};

use crate::mux_support::frames::{Frame, NEW, Script};
use crate::mux_support::rig::Client;
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Speaker, message, raw_frame};
use crate::mux_support::tasks::PATIENCE;
use crate::mux_support::wire::{Spec, wire};
use crate::mux_support::{keyed, udp};

/// What a peer says of itself that takes datagrams of this size.
fn hello(datagram: usize) -> Vec<u8> {
    let mut body = b"MUXCOOL\x01".to_vec();
    body.extend((1_u32 << 20).to_be_bytes());
    body.extend(u16::try_from(datagram).unwrap().to_be_bytes());
    body.extend([0; 4]);
    message(1, &body)
}

fn send(stream: &MuxStream, key: u64, size: usize) {
    stream.send(&keyed(key, 0, size)).expect("never a failure");
}

#[test]
fn our_own_hello_says_all_that_a_frame_holds() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let _stream = worker.open(udp()).unwrap();
    let said = raw_frame(&mut script);
    assert_eq!(said.payload().len(), 3 + 18);
    assert_eq!(&said.payload()[15..17], [0xff, 0xff]);
    worker.close();
}

#[test]
fn between_our_ends_the_largest_datagram_passes() {
    let _scene = scene();
    let wire = wire(Spec::default());
    let server = MuxServer::new(wire.far).unwrap();
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let near = client.open(udp()).unwrap();
    send(&near, 0, 1);
    let (_, far) = server.accept().unwrap();
    assert_eq!(far.recv().unwrap().unwrap().len(), 1);
    client.ping(PATIENCE).unwrap(); // HELLO has come back by now
    for (from, to) in [(&near, &far), (&far, &near)] {
        for (key, size) in (0..).zip([MAX_PLAIN_DATAGRAM + 1, 8192, MAX_FRAME_PAYLOAD]) {
            send(from, key, size);
            let came = to.recv().unwrap().expect("a datagram");
            assert_eq!(came.as_slice(), keyed(key, 0, size), "{size} bytes");
        }
    }
    assert_eq!(client.stats().dropped, 0);
    assert_eq!(server.worker().stats().dropped, 0);
    client.close();
    server.worker().close();
}

#[test]
fn a_peer_gets_none_that_is_larger_than_it_says() {
    let _scene = scene();
    for largest in [1000, MAX_PLAIN_DATAGRAM, 5000, MAX_FRAME_PAYLOAD - 1] {
        let (link, mut speaker) = Speaker::new();
        let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
        let stream = worker.open(udp()).unwrap();
        assert_eq!(speaker.frame().status, NEW);
        speaker.say_bytes(&hello(largest));
        speaker.say_bytes(&hello(MAX_FRAME_PAYLOAD)); // a second changes nothing
        speaker.sync();
        send(&stream, 1, largest + 1);
        send(&stream, 2, largest);
        speaker.expect(Frame::keep(stream.id(), &keyed(2, 0, largest)));
        assert_eq!(worker.stats().dropped, 1);
        worker.close();
    }
}

/// Also the first one, that would go with New.
#[test]
fn a_plain_peer_gets_none_that_v2ray_would_not_survive() {
    let _scene = scene();
    for extensions in [true, false] {
        let mut client = Client::with(ClientOptions {
            carrier: CarrierOptions {
                extensions,
                ..CarrierOptions::default()
            },
            ..ClientOptions::default()
        });
        let largest = keyed(2, 0, MAX_PLAIN_DATAGRAM);
        let mut app = client.app(udp(), &keyed(1, 0, MAX_PLAIN_DATAGRAM + 1));
        let new = client.script.frame();
        assert_eq!((new.status, new.data.as_deref()), (NEW, None));
        app.party.write(&keyed(1, 0, 8192));
        app.party.write(&largest);
        client.script.expect(Frame::keep(new.id, &largest));
        assert_eq!(client.worker.stats().dropped, 2);
        client.worker.close();
        assert!(app.outcome().is_err());
    }
}
