//! A VLESS response header, and the datagrams that follow it.

use muxcool::buf::Buf;
use muxcool::limits::MAX_VLESS_ADDONS;
use muxcool::proxy::vless::wire::{HeaderError, MAX_SENT_PACKET, read_response};
use muxcool::proxy::vless::{PacketDecoder, frame_packet};

use super::pieces::Pieces;
use super::prefixes::{self, Verdict};

/// Longest header: version, length, addons.
const LONGEST: usize = 2 + MAX_VLESS_ADDONS;

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let stream = pieces.stream;
    let header = prefixes::check(stream, LONGEST, read_response, HeaderError::is_incomplete);
    if let Verdict::Message(addons, len) = header {
        assert!(addons.flow.len() + addons.seed.len() <= len);
    }
    let (packets, whole) = read(stream);
    assert_eq!(decode(pieces), (packets.clone(), whole));
    for packet in &packets {
        is_framed(packet);
    }
}

fn decode(pieces: Pieces) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = PacketDecoder::new();
    let mut packets = Vec::new();
    for piece in pieces {
        let mut input = Buf::copy_of(piece);
        while let Some(packet) = decoder.next(&mut input) {
            packets.push(packet.as_slice().to_vec());
        }
        assert!(input.is_empty(), "bytes were left behind");
    }
    (packets, decoder.is_between_frames())
}

/// The datagrams in bytes that are all there, and whether the last is whole.
pub fn read(mut bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let len = u16::from_be_bytes(*length).into();
        let Some((packet, rest)) = rest.split_at_checked(len) else {
            break;
        };
        packets.push(packet.to_vec());
        bytes = rest;
    }
    (packets, bytes.is_empty())
}

fn is_framed(packet: &[u8]) {
    match frame_packet(Buf::copy_of(packet)) {
        Some(frame) => assert_eq!(read(frame.as_slice()), (vec![packet.to_vec()], true)),
        None => assert!(packet.len() > MAX_SENT_PACKET),
    }
}
