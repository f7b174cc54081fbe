//! A whole VLESS outbound, to a server that says the input.

use muxcool::link::{self, Request};
use muxcool::net::Network;
use muxcool::proxy::vless::wire::{read_response, write_request};
use muxcool::proxy::vless::{Outbound, OutboundOptions, Server};
use muxcool::wire::Cursor;
use uuid::Uuid;

use super::memory::End;
use super::pieces::Pieces;
use super::sockets::{bounded, destination, drain, idle, serve};
use super::vless_response::read;

/// The target is asked for datagrams.
const DATAGRAMS: u8 = 1;

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let words = bounded(pieces.stream);
    let network = match pieces.choice & DATAGRAMS {
        0 => Network::Tcp,
        _ => Network::Udp,
    };
    let ((got, end), heard) = serve(words, |addr| {
        let server = Server {
            address: addr.ip().into(),
            port: addr.port(),
            users: vec![Uuid::nil()],
        };
        let options = OutboundOptions {
            servers: vec![server],
            send_through: None,
        };
        let outbound = Outbound::new("out".into(), options, idle());
        let request = Request::new(destination(network));
        let mut link = link::Outbound::connect(&outbound, &request).expect("a connection");
        link.writer.flush().expect("a connection");
        let got = drain(link.reader.as_mut());
        let _ = link.writer.close();
        got
    });
    let mut request = Vec::new();
    write_request(&mut request, &Uuid::nil(), &destination(network));
    assert!(request.starts_with(&heard), "more than a request");
    let (expected, whole) = expected(words, network);
    match network {
        Network::Tcp => assert_eq!(got.concat(), expected.concat()),
        Network::Udp => assert_eq!(got, expected),
    }
    assert_eq!(end == End::Orderly, whole);
}

/// What the server's words carry, and whether they end where they may.
fn expected(words: &[u8], network: Network) -> (Vec<Vec<u8>>, bool) {
    let mut cursor = Cursor::new(words);
    match (read_response(&mut cursor), network) {
        (Err(_), _) => (Vec::new(), words.is_empty()),
        (Ok(_), Network::Tcp) => (vec![cursor.rest().to_vec()], true),
        (Ok(_), Network::Udp) => read(cursor.rest()),
    }
}
