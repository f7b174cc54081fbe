//! A VMess body in any pieces: first the input as it is, then what it says
//! sealed, whole and damaged.

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::net::{Destination, Network};
use muxcool::proxy::vmess::wire::{BodyKeys, Direction, Options, RequestHeader};
use muxcool::proxy::vmess::{BodyError, Opener, Sealer, Security};

use super::pieces::Pieces;

const SECURITIES: [Security; 3] = [
    Security::None,
    Security::Aes128Gcm,
    Security::Chacha20Poly1305,
];

/// What servers accept with chunks.
const OPTIONS: [u8; 5] = [0x01, 0x05, 0x0d, 0x1d, 0x11];

/// The payloads, and how the body ends.
type Opened = (Vec<Vec<u8>>, Result<(), BodyError>);

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let header = header(pieces.choice);
    let whole = open(&header, [pieces.stream]);
    same(&header, &whole, &open(&header, pieces));
    let payloads: Vec<&[u8]> = pieces.into_iter().collect();
    let wire = sealed(&header, &payloads);
    let mut cut = pieces;
    cut.stream = &wire;
    let owned = payloads.iter().map(|payload| payload.to_vec()).collect();
    same(&header, &(owned, Ok(())), &open(&header, cut));
    if header.security != Security::None {
        is_no_end_when_damaged(&header, &wire, &payloads.concat());
    }
}

/// One of each cipher, with each network, with each set of options.
fn header(choice: u8) -> RequestHeader {
    let choice = usize::from(choice);
    let security = SECURITIES[choice % 3];
    let target = match choice / 3 % 2 {
        0 => Destination::tcp("example.com", 80),
        _ => Destination::udp("example.com", 53),
    };
    let options = match (OPTIONS[choice / 6 % 5], security) {
        (options, Security::None) => options & !Options::SEALED_SIZES,
        (options, _) => options,
    };
    RequestHeader {
        keys: BodyKeys {
            key: [1; 16],
            iv: [2; 16],
        },
        answer: 7,
        options: Options(options),
        security,
        target: target.expect("a target"),
    }
}

fn sealed(header: &RequestHeader, payloads: &[&[u8]]) -> Vec<u8> {
    let mut sealer = Sealer::new(header, Direction::Request);
    let mut out = VecDeque::new();
    for payload in payloads {
        sealer.seal(Buf::copy_of(payload), &mut out);
    }
    sealer.end(&mut out);
    out.iter().flat_map(Buf::as_slice).copied().collect()
}

fn open<'a>(header: &RequestHeader, pieces: impl IntoIterator<Item = &'a [u8]>) -> Opened {
    let mut opener = Opener::new(header, Direction::Request);
    let mut out = VecDeque::new();
    let mut pieces = pieces.into_iter();
    let pushed = pieces.try_for_each(|piece| opener.push(Buf::copy_of(piece), &mut out));
    let payloads = out.iter().map(|buf| buf.as_slice().to_vec()).collect();
    (payloads, pushed.and_then(|()| opener.finish()))
}

/// A stream may come in other parts, a datagram may not.
fn same(header: &RequestHeader, a: &Opened, b: &Opened) {
    match header.target.network {
        Network::Tcp => assert_eq!(a.0.concat(), b.0.concat()),
        Network::Udp => assert_eq!(a.0, b.0),
    }
    assert_eq!(a.1, b.1);
}

/// One byte is changed, whose place the payload decides.
fn is_no_end_when_damaged(header: &RequestHeader, wire: &[u8], plain: &[u8]) {
    let mut damaged = wire.to_vec();
    let place: usize = plain.iter().map(|byte| usize::from(*byte)).sum();
    damaged[place % wire.len()] ^= 0x40;
    let (payloads, end) = open(header, [&damaged[..]]);
    let got = payloads.concat();
    assert!(plain.starts_with(&got), "other bytes");
    assert!(end.is_err() || got == plain, "an end too early");
}
