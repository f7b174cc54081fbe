//! A whole VLESS inbound. Who shows another id than the one it knows hears
//! nothing.

use std::sync::Arc;

use muxcool::net::Network;
use muxcool::proxy::vless::wire::{RESPONSE, read_request};
use muxcool::proxy::vless::{Client, Inbound, InboundOptions};
use muxcool::wire::Cursor;
use uuid::Uuid;

use super::memory::End;
use super::pieces::Pieces;
use super::sockets::{ANSWER, Targets, Visit, bounded, context, visit};
use super::vless_response::read;

/// The bytes 0 to 15.
const ID: Uuid = Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);

pub fn check(data: &[u8]) {
    let words = bounded(Pieces::new(data).stream);
    let targets = Arc::new(Targets::default());
    let client = Client {
        id: ID,
        email: "".into(),
    };
    let options = InboundOptions {
        clients: vec![client],
    };
    let inbound = Inbound::new(context(targets.clone()), options);
    let visit = visit(&inbound, words);
    let mut cursor = Cursor::new(words);
    match read_request(&mut cursor) {
        Ok(header) if header.id == ID => {
            let met = targets.met.lock().pop().expect("a request");
            assert_eq!(met.request.target, header.target);
            match header.target.network {
                Network::Tcp => is_a_stream(&visit, &met.got.concat(), cursor.rest()),
                Network::Udp => are_datagrams(&visit, &met.got, met.end, cursor.rest()),
            }
        }
        _ => assert!(
            visit.heard.is_empty() && !visit.fine,
            "a word to a stranger"
        ),
    }
    assert!(targets.met.lock().is_empty(), "more than was asked for");
}

fn is_a_stream(visit: &Visit, got: &[u8], rest: &[u8]) {
    assert!(visit.fine && visit.end == End::Orderly);
    assert_eq!(visit.heard, [&RESPONSE, ANSWER].concat());
    assert_eq!(got, rest);
}

fn are_datagrams(visit: &Visit, got: &[Vec<u8>], end: End, rest: &[u8]) {
    let (packets, whole) = read(rest);
    assert_eq!(got, packets);
    assert_eq!(end == End::Orderly, whole);
    let framed = [&RESPONSE, &[0, ANSWER.len() as u8], ANSWER].concat();
    assert_eq!(visit.heard, framed);
}
