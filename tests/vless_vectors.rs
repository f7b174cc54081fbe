//! The VLESS codec against what V2Ray 4.34 wrote and read.

#[path = "support/reference.rs"]
mod reference;

use muxcool::buf::Buf;
use muxcool::net::{AddressError, Destination, Domain};
use muxcool::proxy::vless::wire::{
    Addons, HeaderError, MAX_SENT_PACKET, RESPONSE, parse_id, read_id, read_request, read_response,
    write_request,
};
use muxcool::proxy::vless::{PacketDecoder, frame_packet};
use muxcool::wire::Cursor;
use reference::{text, unhex};
use serde_json::Value;
use uuid::Uuid;

/// Where we differ on purpose: the vector and the section that says so. Each
/// of these must differ.
const DIFFERENCES: [(&str, &str); 2] = [
    (
        "decode-2049-becomes-two-buffers-2048+1 (freedom sends two datagrams)",
        "1.3: one frame is one datagram",
    ),
    (
        "decode-5000-becomes-2048+2048+904",
        "1.3: one frame is one datagram",
    ),
];

fn vectors(group: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors/vless.json")).unwrap();
    all[group].as_array().unwrap().clone()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + 3) as u8).collect()
}

fn addons(decoded: &Value) -> Addons {
    Addons {
        flow: text(decoded, "addons_flow").to_owned(),
        seed: unhex(text(decoded, "addons_seed_hex")),
    }
}

fn destination(decoded: &Value) -> Destination {
    let port = decoded["port"].as_u64().unwrap() as u16;
    let host = text(decoded, "address");
    match text(decoded, "command_name") {
        "udp" => Destination::udp(host, port).unwrap(),
        _ => Destination::tcp(host, port).unwrap(),
    }
}

fn decodes(vector: &Value, decoded: &Value) {
    let name = text(vector, "name");
    let bytes = unhex(text(vector, "hex"));
    let trailing = unhex(text(decoded, "trailing_hex"));
    let mut cursor = Cursor::new(&bytes);
    let header = read_request(&mut cursor).unwrap();
    assert_eq!(header.id.to_string(), text(decoded, "user_uuid"), "{name}");
    assert_eq!(header.addons, addons(decoded), "{name}");
    assert_eq!(header.target, destination(decoded), "{name}");
    assert_eq!(header.target.to_string(), text(decoded, "destination"));
    assert_eq!(cursor.rest(), trailing, "{name}");
    if vector.get("source").is_some() {
        let mut written = Vec::new();
        write_request(&mut written, &header.id, &header.target);
        assert_eq!(written, bytes, "{name}: as 4.34 writes it");
    }
}

/// What the reference calls an early end is to us a header that wants more.
fn is_refused_as(kind: &str, bytes: &[u8]) -> bool {
    let known = [
        uuid::uuid!("b831381d-6324-4d53-ad4f-8cda48b30811"),
        Uuid::nil(),
    ];
    let unknown = read_id(&mut Cursor::new(bytes)).is_ok_and(|id| !known.contains(&id));
    match (kind, read_request(&mut Cursor::new(bytes))) {
        ("unknown_user", _) => unknown,
        ("eof", Err(HeaderError::Truncated(inner))) => inner.at_start,
        ("unexpected_eof", Err(HeaderError::Truncated(inner))) => !inner.at_start,
        ("unexpected_eof" | "bad_utf8", Err(HeaderError::Addons(_))) => true,
        ("bad_version", Err(HeaderError::Version(1))) => true,
        ("bad_address_or_command", Err(e)) => matches!(
            e,
            HeaderError::Command(_) | HeaderError::Address(_) | HeaderError::Truncated(_)
        ),
        _ => false,
    }
}

#[test]
fn requests() {
    let (mut good, mut bad) = (0, 0);
    for vector in vectors("requests") {
        let name = text(&vector, "name");
        if let Some(decoded) = vector.get("decoded") {
            decodes(&vector, decoded);
            good += 1;
            continue;
        }
        bad += 1;
        let kind = text(&vector, "error_kind");
        if kind == "domain_too_long" {
            let refused = Domain::new(&"a".repeat(257));
            assert_eq!(refused, Err(AddressError::InvalidDomain), "{name}");
            continue;
        }
        let bytes = unhex(text(&vector, "hex"));
        assert!(is_refused_as(kind, &bytes), "{name}");
    }
    assert_eq!((good, bad), (14, 15));
}

#[test]
fn responses() {
    let (mut good, mut bad) = (0, 0);
    for vector in vectors("responses") {
        let name = text(&vector, "name");
        let bytes = unhex(text(&vector, "hex"));
        let mut cursor = Cursor::new(&bytes);
        let read = read_response(&mut cursor);
        if let Some(decoded) = vector.get("decoded") {
            assert_eq!(read.unwrap(), addons(decoded), "{name}");
            assert_eq!(cursor.rest(), unhex(text(decoded, "trailing_hex")));
            assert!(bytes.starts_with(&RESPONSE), "{name}");
            good += 1;
            continue;
        }
        bad += 1;
        let as_expected = match (text(&vector, "error_kind"), read) {
            ("bad_response_version", Err(HeaderError::Version(1))) => true,
            ("eof", Err(HeaderError::Truncated(inner))) => inner.at_start,
            ("unexpected_eof", Err(HeaderError::Addons(_))) => true,
            _ => false,
        };
        assert!(as_expected, "{name}");
    }
    assert_eq!((good, bad), (2, 4));
}

fn lengths(list: &Value) -> Vec<usize> {
    let items = list.as_array().unwrap();
    items.iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

/// Packets that are too long are left out. Their content is not told, so it is
/// taken from the frames.
fn check_sent(vector: &Value) {
    let name = text(vector, "name");
    let stream = unhex(text(vector, "hex"));
    let (mut contents, _) = received(&stream);
    contents.reverse();
    let mut written: Vec<u8> = Vec::new();
    for len in lengths(&vector["packets_in_lengths"]) {
        let too_long = len > MAX_SENT_PACKET;
        let content = match too_long {
            true => pattern(len),
            false => contents.pop().unwrap(),
        };
        assert_eq!(content.len(), len, "{name}");
        let frame = frame_packet(Buf::copy_of(&content));
        assert_eq!(frame.is_none(), too_long, "{name}: {len} bytes");
        written.extend(frame.iter().flat_map(|frame| frame.as_slice()));
    }
    assert_eq!(written, stream, "{name}");
}

fn received(stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = PacketDecoder::new();
    let mut input = Buf::copy_of(stream);
    let mut packets = Vec::new();
    while let Some(packet) = decoder.next(&mut input) {
        packets.push(packet.as_slice().to_vec());
    }
    (packets, decoder.is_between_frames())
}

fn expected_packet(text: &str) -> Vec<u8> {
    match text.strip_prefix('<').and_then(|t| t.split_once(' ')) {
        Some((len, _)) => pattern(len.parse().unwrap()),
        None => unhex(text),
    }
}

fn check_received(vector: &Value) {
    let name = text(vector, "name");
    let (packets, clean) = received(&unhex(text(vector, "hex")));
    let expected = vector["packets"].as_array().unwrap();
    let expected = expected
        .iter()
        .map(|p| expected_packet(p.as_str().unwrap()));
    assert_eq!(packets, expected.collect::<Vec<_>>(), "{name}");
    let cut = text(vector, "ends_with").contains("payload");
    assert_eq!(clean, !cut, "{name}");
    let pieces = vector["buffers_per_packet"].as_array().unwrap();
    let whole = pieces.iter().all(|pieces| lengths(pieces).len() == 1);
    let differs = DIFFERENCES.iter().any(|(vector, _)| *vector == name);
    assert_eq!(whole, !differs, "{name}: the reference cuts it or not");
}

#[test]
fn udp_packets() {
    let (mut sent, mut received) = (0, 0);
    for vector in vectors("udp_packets") {
        match text(&vector, "direction") {
            "encode" => {
                check_sent(&vector);
                sent += 1;
            }
            _ => {
                check_received(&vector);
                received += 1;
            }
        }
    }
    assert_eq!((sent, received), (4, 5));
}

/// As 4.34 reads them; what follows an id is for the caller to judge.
#[test]
fn uuids() {
    let (mut good, mut bad) = (0, 0);
    for vector in vectors("uuids") {
        let read = parse_id(text(&vector, "text"));
        match vector.get("v434_hex") {
            Some(hex) => {
                let id = Uuid::from_slice(&unhex(hex.as_str().unwrap())).unwrap();
                assert_eq!(read.unwrap().0, id);
                good += 1;
            }
            None => {
                assert!(vector.get("v434_error").is_some());
                assert_eq!(read, None, "{}", text(&vector, "name"));
                bad += 1;
            }
        }
    }
    assert_eq!((good, bad), (6, 8));
}
