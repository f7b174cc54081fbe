//! Bodies of VMess: whatever is written is read, in any pieces, and damage is
//! never taken for an end.

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::limits::{BUFFER_CLASSES, MAX_VMESS_CHUNK};
use muxcool::net::{Destination, Network};
use muxcool::proxy::vmess::wire::{
    BodyKeys, Direction, Options, RequestHeader, check_response, read_header, write_header,
};
use muxcool::proxy::vmess::{BodyError, Opener, Sealer, Security};
use proptest::prelude::*;

const SECURITIES: [Security; 3] = [
    Security::Aes128Gcm,
    Security::Chacha20Poly1305,
    Security::None,
];

fn header(security: Security, options: u8, network: Network) -> RequestHeader {
    let target = match network {
        Network::Tcp => Destination::tcp("example.com", 80),
        Network::Udp => Destination::udp("example.com", 53),
    };
    RequestHeader {
        keys: BodyKeys {
            key: std::array::from_fn(|i| i as u8),
            iv: std::array::from_fn(|i| (i * 3) as u8),
        },
        answer: 7,
        options: Options(options),
        security,
        target: target.unwrap(),
    }
}

/// Every header with chunks that a server accepts.
fn any_header() -> impl Strategy<Value = RequestHeader> {
    let security = prop::sample::select(SECURITIES.to_vec());
    let options = prop::sample::select(vec![0x01, 0x05, 0x0d, 0x1d, 0x11]);
    let network = prop_oneof![Just(Network::Tcp), Just(Network::Udp)];
    (security, options, network).prop_map(|(security, options, network)| {
        let options = match security {
            Security::None => options & !Options::SEALED_SIZES,
            _ => options,
        };
        header(security, options, network)
    })
}

fn sealed(header: &RequestHeader, direction: Direction, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut sealer = Sealer::new(header, direction);
    let mut out = VecDeque::new();
    for payload in payloads {
        sealer.seal(Buf::copy_of(payload), &mut out);
    }
    sealer.end(&mut out);
    out.iter().flat_map(Buf::as_slice).copied().collect()
}

type Opened = (Vec<Vec<u8>>, Result<(), BodyError>);

fn opened(header: &RequestHeader, direction: Direction, pieces: &[Vec<u8>]) -> Opened {
    let mut opener = Opener::new(header, direction);
    let mut out = VecDeque::new();
    let pushed = pieces
        .iter()
        .try_for_each(|piece| opener.push(Buf::copy_of(piece), &mut out));
    let got = out.iter().map(|buf| buf.as_slice().to_vec()).collect();
    (got, pushed.and_then(|()| opener.finish()))
}

/// `bytes` in pieces that end at `cuts`.
fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts
        .zip(ends)
        .map(|(a, b)| bytes[a..b].to_vec())
        .collect()
}

fn any_payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = prop_oneof![0..40_usize, 0..3_000_usize, 60_000..140_000_usize];
    let payload = (len, any::<u8>()).prop_map(|(len, first)| {
        (0..len)
            .map(|i| first.wrapping_add((i / 3) as u8))
            .collect()
    });
    prop::collection::vec(payload, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_in_any_pieces(
        header in any_header(),
        payloads in any_payloads(),
        cuts: Vec<prop::sample::Index>,
        down: bool,
    ) {
        let direction = if down { Direction::Response } else { Direction::Request };
        let payloads: Vec<Vec<u8>> = match header.target.network {
            Network::Tcp => payloads,
            Network::Udp => payloads.into_iter().map(|mut p| { p.truncate(60_000); p }).collect(),
        };
        let wire = sealed(&header, direction, &payloads);
        let (got, end) = opened(&header, direction, &pieces(&wire, &cuts));
        match header.target.network {
            Network::Tcp => prop_assert!(got.concat() == payloads.concat()),
            Network::Udp => {
                let filled: Vec<Vec<u8>> = payloads.into_iter().filter(|p| !p.is_empty()).collect();
                prop_assert!(got == filled);
            }
        }
        prop_assert_eq!(end, Ok(()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        header in any_header(),
        bytes in prop::collection::vec(any::<u8>(), 0..3_000),
        cuts: Vec<prop::sample::Index>,
    ) {
        let (got, _) = opened(&header, Direction::Request, &pieces(&bytes, &cuts));
        if header.security != Security::None {
            prop_assert!(got.is_empty(), "bytes out of nothing");
        }
    }

    #[test]
    fn arbitrary_headers_never_panic(bytes: Vec<u8>, answer: u8) {
        let _ = read_header(&bytes);
        let _ = check_response(&bytes, answer);
    }

    #[test]
    fn a_header_is_read_back(
        header in any_header(),
        padding in prop::collection::vec(any::<u8>(), 0..20),
        behind: Vec<u8>,
    ) {
        let mut plain = Vec::new();
        write_header(&mut plain, &header, &padding);
        for len in 0..plain.len() {
            prop_assert!(read_header(&plain[..len]).is_err());
        }
        plain.extend(behind);
        prop_assert_eq!(read_header(&plain), Ok(header));
    }
}

/// Every bit of a body is flipped, and every byte left out: what is read
/// before that is what was written, and nothing but the padding can change
/// without an error.
#[test]
fn damage_is_never_taken_for_an_end() {
    let payloads = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    let plain = payloads.concat();
    for security in [Security::Aes128Gcm, Security::Chacha20Poly1305] {
        for options in [0x01, 0x05, 0x0d, 0x1d] {
            let header = header(security, options, Network::Tcp);
            let wire = sealed(&header, Direction::Request, &payloads);
            let mut unharmed = 0;
            for (at, bit) in (0..wire.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut damaged = wire.clone();
                damaged[at] ^= 1 << bit;
                let (got, end) = opened(&header, Direction::Request, &[damaged]);
                let got = got.concat();
                assert!(plain.starts_with(&got), "{at}: {got:?}");
                if end.is_ok() {
                    assert_eq!(got, plain, "an end at {at}");
                    unharmed += 1;
                }
            }
            let padding = wire.len() - plain.len() - 4 * (16 + field_len(options));
            assert_eq!(unharmed, 8 * padding, "{options:#x}");
            for at in 0..wire.len() {
                let (got, end) = opened(&header, Direction::Request, &[wire[..at].to_vec()]);
                assert!(plain.starts_with(&got.concat()));
                assert_eq!(end, Err(BodyError::Truncated), "cut at {at}");
            }
        }
    }
}

fn field_len(options: u8) -> usize {
    match options & Options::SEALED_SIZES {
        0 => 2,
        _ => 18,
    }
}

#[test]
fn chunks_in_another_order_are_damage() {
    let header = header(Security::Aes128Gcm, 0x01, Network::Tcp);
    let wire = sealed(&header, Direction::Request, &[b"one".into(), b"two".into()]);
    let chunk = 2 + 3 + 16;
    let swapped = [&wire[chunk..2 * chunk], &wire[..chunk], &wire[2 * chunk..]].concat();
    let (got, end) = opened(&header, Direction::Request, &[swapped]);
    assert!(got.is_empty());
    assert_eq!(end, Err(BodyError::Forged));
    let (_, end) = opened(&header, Direction::Response, &[wire]);
    assert_eq!(end, Err(BodyError::Forged));
}

#[test]
fn what_follows_the_end_is_dropped() {
    let header = header(Security::Aes128Gcm, 0x0d, Network::Tcp);
    let mut wire = sealed(&header, Direction::Request, &[b"one".into()]);
    wire.extend([0x55; 100]);
    let (got, end) = opened(&header, Direction::Request, &[wire]);
    assert_eq!(got.concat(), b"one");
    assert_eq!(end, Ok(()));
}

/// A buffer of the largest class, as one read fills it, needs no second chunk
/// but for what its size field cannot say.
#[test]
fn chunks_are_as_large_as_their_size_can_say() {
    let largest = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];
    for security in SECURITIES {
        let header = header(security, Options::usual(security).0, Network::Tcp);
        let payload = vec![1; largest];
        let wire = sealed(&header, Direction::Request, std::slice::from_ref(&payload));
        let overhead = wire.len() - payload.len();
        assert!(overhead < 3 * (2 + 16 + 64), "{overhead}");
        let (got, end) = opened(&header, Direction::Request, &[wire]);
        assert_eq!(got.concat(), payload);
        assert_eq!(end, Ok(()));
        assert!(payload.len() > MAX_VMESS_CHUNK);
    }
}

/// Nonces and sizes of a long stream, past the wrap of the counter.
#[test]
fn a_stream_of_more_chunks_than_there_are_nonces() {
    let header = header(Security::Aes128Gcm, 0x0d, Network::Tcp);
    let mut sealer = Sealer::new(&header, Direction::Request);
    let mut opener = Opener::new(&header, Direction::Request);
    for number in 0..70_000_u32 {
        let (mut wire, mut got) = (VecDeque::new(), VecDeque::new());
        sealer.seal(Buf::copy_of(&number.to_be_bytes()), &mut wire);
        for piece in wire {
            opener.push(piece, &mut got).unwrap();
        }
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].as_slice(), number.to_be_bytes());
    }
}
