//! Where sessions come from: who is told, who is believed, and what becomes of
//! a New that says it wrongly (section 15).

use std::net::SocketAddr;

use crossbeam_channel::Receiver;
use muxcool::link::Request;
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, ServerWorker};
use muxcool::net::{Destination, Origin};

use crate::mux_support::frames::{Frame, NEW};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Speaker, message, raw_frame};
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::{tcp, udp};

/// `198.51.100.7:4660` and `[2001:db8::1]:8080`, over TCP.
const SOURCE: [u8; 8] = [1, 0x12, 0x34, 1, 198, 51, 100, 7];
const LOCAL: [u8; 20] = [
    1, 0x1f, 0x90, 3, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
];

/// Where HELLO's capabilities stand in a whole frame of that message alone.
const CAPABILITIES: std::ops::Range<usize> = 17..21;

fn source() -> SocketAddr {
    "198.51.100.7:4660".parse().unwrap()
}

fn local() -> SocketAddr {
    "[2001:db8::1]:8080".parse().unwrap()
}

fn origin() -> Origin {
    Origin::new(source(), Some(local()))
}

fn hello(capabilities: u32) -> Vec<u8> {
    let mut body = b"MUXCOOL\x01".to_vec();
    body.extend([0, 0x10, 0, 0, 8, 0]);
    body.extend(capabilities.to_be_bytes());
    message(1, &body)
}

/// A server whose carrier comes from elsewhere.
fn server(options: &CarrierOptions) -> (ServerWorker, Speaker, Receiver<Target>) {
    let (link, speaker) = Speaker::new();
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let origin = Request::new(tcp()).coming_from(Origin::new(elsewhere(), None));
    let worker = ServerWorker::start_with(link, dispatcher, origin, options, || {}).unwrap();
    (worker, speaker, targets)
}

fn elsewhere() -> SocketAddr {
    "192.0.2.200:1".parse().unwrap()
}

fn asking() -> CarrierOptions {
    CarrierOptions {
        origins: true,
        ..CarrierOptions::default()
    }
}

/// New with this behind the target.
fn open(id: u16, target: &Destination, behind: &[u8]) -> Frame {
    let mut frame = Frame::open(id, target, None);
    frame.extra.extend(behind);
    frame
}

fn both() -> Vec<u8> {
    [&SOURCE[..], &LOCAL].concat()
}

#[test]
fn only_a_server_that_asks_says_so_in_its_hello() {
    let _scene = scene();
    for (options, capabilities) in [(asking(), 1), (CarrierOptions::default(), 0)] {
        let (worker, mut speaker, _targets) = server(&options);
        speaker.say_bytes(&hello(0));
        let heard = raw_frame(speaker.script());
        assert_eq!(heard.payload()[..3], [1, 0, 18]);
        assert_eq!(
            heard.payload()[CAPABILITIES],
            u32::to_be_bytes(capabilities)
        );
        worker.close();
    }
    let (link, mut speaker) = Speaker::new();
    let options = ClientOptions {
        carrier: asking(),
        ..ClientOptions::default()
    };
    let worker = ClientWorker::new(link, options).unwrap();
    let _stream = worker.open(tcp()).unwrap();
    let heard = raw_frame(speaker.script());
    assert_eq!(
        heard.payload()[CAPABILITIES],
        [0; 4],
        "nobody opens sessions here"
    );
    worker.close();
}

#[test]
fn a_server_that_asks_believes_muxcool_clients() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&asking());
    speaker.say_bytes(&hello(0));
    speaker.sync();
    for (id, target) in [(1, tcp()), (2, udp())] {
        speaker.send(open(id, &target, &both()));
        let request = next(&targets).request.clone();
        assert_eq!(request.target, target);
        assert_eq!(request.origin(), Some(origin()));
    }
    let cases: [(&[u8], SocketAddr, Option<SocketAddr>); 5] = [
        (&SOURCE, source(), None),
        (&[&SOURCE[..], &[0]].concat(), source(), None),
        (&[&both()[..], &[7, 7, 7]].concat(), source(), Some(local())),
        (&[], elsewhere(), None),
        (&[0], elsewhere(), None),
    ];
    for (id, (behind, source, local)) in (3..).zip(cases) {
        speaker.send(open(id, &tcp(), behind));
        let request = next(&targets).request.clone();
        assert_eq!((request.source, request.local), (Some(source), local));
    }
    worker.close();
}

#[test]
fn who_was_not_told_that_he_may_is_not_listened_to() {
    let _scene = scene();
    let without = CarrierOptions {
        extensions: false,
        ..asking()
    };
    // A plain peer, one who was not asked, one who was not answered.
    let cases = [
        (asking(), false),
        (CarrierOptions::default(), true),
        (without, true),
    ];
    for (options, says_hello) in cases {
        let (worker, mut speaker, targets) = server(&options);
        if says_hello {
            speaker.say_bytes(&hello(1));
            speaker.script().sync();
        }
        // What others put there, such as Xray's global ids, is no origin.
        for (id, behind) in (1..).zip([&both()[..], &[9; 8], &[1, 2, 3]]) {
            speaker.send(open(id, &tcp(), behind));
            let request = next(&targets).request.clone();
            assert_eq!(request.source, Some(elsewhere()));
        }
        worker.close();
    }
}

#[test]
fn a_wrong_origin_costs_the_session_and_not_the_carrier() {
    let _scene = scene();
    let (worker, mut speaker, targets) = server(&asking());
    speaker.say_bytes(&hello(0));
    speaker.sync();
    let named = [1, 0, 80, 2, 1, b'a'];
    let wrong = [
        &SOURCE[..7],
        &[3, 0, 80, 1, 1, 2, 3, 4],
        &[1, 0, 80, 9, 1],
        &named,
        &[&SOURCE[..], &LOCAL[..19]].concat(),
        &[&SOURCE[..], &[8]].concat(),
    ];
    for (id, behind) in (1..).zip(wrong) {
        speaker.send(open(id, &tcp(), behind));
        speaker.expect(Frame::end(id, true));
    }
    speaker.send(open(50, &tcp(), &both()));
    assert_eq!(next(&targets).request.source, Some(source()));
    worker.close();
}

/// The metadata of the New that a client sends to a peer with these
/// capabilities; without, to a plain one.
fn new_of(capabilities: Option<u32>, origin: Option<Origin>) -> Vec<u8> {
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    match capabilities {
        None => speaker.script().sync(),
        Some(capabilities) => {
            speaker.say_bytes(&hello(capabilities));
            speaker.say_bytes(&hello(!capabilities)); // a second changes nothing
            speaker.sync();
        }
    }
    let link = worker.connect_from(tcp(), origin).unwrap();
    let new = speaker.frame();
    assert_eq!(new.status, NEW);
    drop(link);
    worker.close();
    new.extra
}

#[test]
fn a_client_tells_those_alone_who_ask() {
    let _scene = scene();
    let plain = Frame::open(1, &tcp(), None).extra;
    let telling = [plain.clone(), both()].concat();
    assert_eq!(new_of(Some(1), Some(origin())), telling);
    assert_eq!(new_of(Some(u32::MAX), Some(origin())), telling);
    assert_eq!(new_of(Some(1), None), plain);
    assert_eq!(new_of(Some(0), Some(origin())), plain);
    assert_eq!(new_of(Some(2), Some(origin())), plain);
    assert_eq!(new_of(None, Some(origin())), plain);
    let half = Origin::new(source(), None);
    let telling_half = [&plain[..], &SOURCE, &[0]].concat();
    assert_eq!(new_of(Some(1), Some(half)), telling_half);
}

/// A peer that has answered nothing yet may be plain.
#[test]
fn before_a_peer_has_said_hello_it_is_told_nothing() {
    let _scene = scene();
    let (link, mut speaker) = Speaker::new();
    let worker = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let early = worker.connect_from(tcp(), Some(origin())).unwrap();
    assert_eq!(speaker.frame().extra, Frame::open(1, &tcp(), None).extra);
    speaker.say_bytes(&hello(1));
    speaker.sync();
    let late = worker.connect_from(tcp(), Some(origin())).unwrap();
    let told = [Frame::open(2, &tcp(), None).extra, both()].concat();
    assert_eq!(speaker.frame().extra, told);
    drop((early, late));
    worker.close();
}
