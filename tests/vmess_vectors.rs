//! The VMess codec against what V2Ray 4.34 wrote and read.

#[path = "support/reference.rs"]
mod reference;

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::net::{Destination, Network};
use muxcool::proxy::vmess::wire::{
    BodyKeys, Direction, HeaderError, HeaderSeal, Options, RequestHeader, SEALED_LENGTH, Security,
    TAG, check_response, read_header, seal_request, seal_response, write_header,
};
use muxcool::proxy::vmess::{
    AuthIdReader, BodyError, Opener, Sealer, command_key, kdf, make_auth_id,
};
use reference::{text, unhex};
use serde_json::Value;
use uuid::Uuid;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/vmess.json")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap()
}

fn number(vector: &Value, key: &str) -> i64 {
    vector[key].as_i64().unwrap_or_else(|| panic!("no {key}"))
}

/// Hexadecimal digits, or "pattern:N".
fn bytes(text: &str) -> Vec<u8> {
    if let Some(len) = text.strip_prefix("pattern:") {
        let len: usize = len.parse().unwrap();
        return (0..len).map(|i| (i * 7 + 3) as u8).collect();
    }
    unhex(text)
}

fn bytes_of(vector: &Value, key: &str) -> Vec<u8> {
    bytes(text(vector, key))
}

fn array<const N: usize>(vector: &Value, key: &str) -> [u8; N] {
    bytes_of(vector, key).try_into().unwrap()
}

fn the_command_key() -> [u8; 16] {
    array(&vectors()["ids"], "cmd_key_hex")
}

#[test]
fn command_keys() {
    let ids = &vectors()["ids"];
    let id = Uuid::from_bytes(array(ids, "uuid_hex"));
    assert_eq!(id.to_string(), text(ids, "uuid"));
    assert_eq!(command_key(&id), the_command_key());
}

#[test]
fn key_derivation() {
    let all = vectors();
    for vector in list(&all, "kdf") {
        let path: Vec<Vec<u8>> = list(vector, "path_hex")
            .iter()
            .map(|item| bytes(item.as_str().unwrap()))
            .collect();
        let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let key = kdf(&bytes_of(vector, "key_hex"), &path);
        assert_eq!(
            key.to_vec(),
            bytes_of(vector, "hex"),
            "{}",
            text(vector, "name")
        );
    }
}

#[test]
fn auth_ids() {
    let (all, key) = (vectors(), the_command_key());
    let reader = AuthIdReader::new(&key);
    for vector in list(&all, "auth_ids") {
        let (name, time) = (text(vector, "name"), number(vector, "time"));
        let id = make_auth_id(&key, time, array(vector, "random_hex"));
        assert_eq!(id.to_vec(), bytes_of(vector, "hex"), "{name}");
        assert_eq!(reader.time(&id), Some(time), "{name}");
        for at in 0..16 {
            let mut damaged = id;
            damaged[at] ^= 1;
            assert_eq!(reader.time(&damaged), None, "{name}: byte {at}");
        }
    }
}

/// What 4.34 drew for a session, and what it made of it.
struct Session<'a> {
    vector: &'a Value,
    header: RequestHeader,
    padding: Vec<u8>,
    random: [u8; 4],
    nonce: [u8; 8],
}

impl<'a> Session<'a> {
    fn new(vector: &'a Value) -> Self {
        let drawn: Vec<Vec<u8>> = list(vector, "random_reads_hex")
            .iter()
            .map(|read| bytes(read.as_str().unwrap()))
            .collect();
        let (keys, rest) = drawn.split_first().unwrap();
        let [padding @ .., random, nonce] = rest else {
            panic!("too few reads");
        };
        let decoded = &vector["decoded"];
        let header = RequestHeader {
            keys: BodyKeys {
                key: keys[..16].try_into().unwrap(),
                iv: keys[16..32].try_into().unwrap(),
            },
            answer: keys[32],
            options: Options(number(vector, "option") as u8),
            security: security(number(vector, "security")),
            target: destination(text(&vector["server_decodes"], "destination")),
        };
        let padding = padding.concat();
        assert_eq!(padding.len() as i64, number(decoded, "padding_len"));
        Self {
            vector,
            header,
            padding,
            random: random.as_slice().try_into().unwrap(),
            nonce: nonce.as_slice().try_into().unwrap(),
        }
    }

    fn name(&self) -> &str {
        text(self.vector, "name")
    }

    fn chunks(&self, direction: Direction) -> Vec<(Vec<Vec<u8>>, Vec<u8>)> {
        let key = match direction {
            Direction::Request => "request_body",
            Direction::Response => "response_body",
        };
        let chunk = |chunk: &Value| {
            let plain = list(chunk, "plain_buffers_hex").iter();
            let plain = plain.map(|buffer| bytes(buffer.as_str().unwrap()));
            (plain.collect(), bytes_of(chunk, "wire_hex"))
        };
        list(self.vector, key).iter().map(chunk).collect()
    }

    fn is_stream(&self) -> bool {
        self.header.target.network == Network::Tcp
    }
}

fn security(kind: i64) -> Security {
    match kind {
        3 => Security::Aes128Gcm,
        4 => Security::Chacha20Poly1305,
        5 => Security::None,
        other => panic!("security {other}"),
    }
}

fn destination(text: &str) -> Destination {
    let (network, rest) = text.split_once(':').unwrap();
    let (host, port) = rest.rsplit_once(':').unwrap();
    let port = port.parse().unwrap();
    match network {
        "tcp" => Destination::tcp(host, port).unwrap(),
        _ => Destination::udp(host, port).unwrap(),
    }
}

fn for_each_session(mut check: impl FnMut(&Session)) {
    let all = vectors();
    let sessions = list(&all, "sessions");
    assert_eq!(sessions.len(), 12);
    for vector in sessions {
        check(&Session::new(vector));
    }
}

#[test]
fn requests_are_written_byte_for_byte() {
    let key = the_command_key();
    for_each_session(|session| {
        let (name, decoded) = (session.name(), &session.vector["decoded"]);
        let mut plain = Vec::new();
        write_header(&mut plain, &session.header, &session.padding);
        assert_eq!(plain, bytes_of(decoded, "header_plain_hex"), "{name}");
        let id = make_auth_id(&key, number(decoded, "time"), session.random);
        let sealed = seal_request(&key, id, session.nonce, &plain);
        let expected = bytes_of(session.vector, "hex");
        assert_eq!(sealed, expected[..sealed.len()], "{name}");
        assert_eq!(sealed.len(), 16 + SEALED_LENGTH + 8 + plain.len() + TAG);
    });
}

#[test]
fn requests_are_read() {
    let key = the_command_key();
    for_each_session(|session| {
        let decoded = &session.vector["decoded"];
        let wire = bytes_of(session.vector, "hex");
        let (id, rest) = wire.split_first_chunk::<16>().unwrap();
        let (length, rest) = rest.split_first_chunk::<SEALED_LENGTH>().unwrap();
        let (nonce, rest) = rest.split_first_chunk::<8>().unwrap();
        assert_eq!(
            AuthIdReader::new(&key).time(id),
            Some(number(decoded, "time"))
        );
        let seal = HeaderSeal::of_request(&key, id, nonce);
        let len = seal.open_length(length).unwrap();
        let plain = seal.open(&rest[..len + TAG]).unwrap();
        let header = read_header(&plain).unwrap();
        assert_eq!(header, session.header, "{}", session.name());
        let response = header.keys_of(Direction::Response);
        assert_eq!(response.key, array(decoded, "response_body_key_hex"));
        assert_eq!(response.iv, array(decoded, "response_body_iv_hex"));
    });
}

#[test]
fn responses_are_written_and_read() {
    for_each_session(|session| {
        let expected = &session.vector["response_header"];
        let keys = session.header.keys_of(Direction::Response);
        let sealed = seal_response(&keys, session.header.answer);
        assert_eq!(sealed, bytes_of(expected, "hex"), "{}", session.name());
        let (length, rest) = sealed.split_first_chunk::<SEALED_LENGTH>().unwrap();
        let seal = HeaderSeal::of_response(&keys);
        assert_eq!(seal.open_length(length), Ok(rest.len() - TAG));
        let plain = seal.open(rest).unwrap();
        assert_eq!(plain, bytes_of(expected, "plain_hex"));
        assert_eq!(check_response(&plain, session.header.answer), Ok(()));
        let other = session.header.answer.wrapping_add(1);
        assert_eq!(check_response(&plain, other), Err(HeaderError::Answer));
    });
}

const DIRECTIONS: [Direction; 2] = [Direction::Request, Direction::Response];

#[test]
fn bodies_are_read_in_any_pieces() {
    for_each_session(|session| {
        for direction in DIRECTIONS {
            let chunks = session.chunks(direction);
            let plain: Vec<Vec<u8>> = chunks.iter().flat_map(|(plain, _)| plain.clone()).collect();
            let wire: Vec<u8> = chunks.into_iter().flat_map(|(_, wire)| wire).collect();
            for piece in [1, 7, 64, 8192, wire.len()] {
                let (got, opener) = open(session, direction, &wire, piece);
                match session.is_stream() {
                    true => assert_eq!(got.concat(), plain.concat()),
                    false => assert_eq!(got, plain),
                }
                let announced = session.header.options.has(Options::CHUNKS);
                assert_eq!(opener.has_ended(), announced, "{}", session.name());
                assert_eq!(opener.finish(), Ok(()));
            }
            if session.header.options.has(Options::CHUNKS) {
                let (_, cut) = open(session, direction, &wire[..wire.len() - 1], 64);
                assert_eq!(cut.finish(), Err(BodyError::Truncated));
            }
        }
    });
}

fn open(
    session: &Session,
    direction: Direction,
    wire: &[u8],
    piece: usize,
) -> (Vec<Vec<u8>>, Opener) {
    let mut opener = Opener::new(&session.header, direction);
    let mut out = VecDeque::new();
    for piece in wire.chunks(piece) {
        opener.push(Buf::copy_of(piece), &mut out).unwrap();
    }
    let got = out.iter().map(|buf| buf.as_slice().to_vec());
    (got.collect(), opener)
}

/// All but the padding, which is random.
#[test]
fn bodies_are_written_byte_for_byte() {
    for_each_session(|session| {
        for direction in DIRECTIONS {
            let mut sealer = Sealer::new(&session.header, direction);
            for (plain, wire) in session.chunks(direction) {
                let rest = written(session, &mut sealer, &plain, &wire);
                assert!(rest.is_empty(), "{}: {} left", session.name(), rest.len());
            }
        }
    });
}

/// What 4.34 puts in one chunk of a stream without encryption.
const REFERENCE_CHUNK: usize = 8192;

/// Compares the chunks of one write with `wire`, and returns what is left.
fn written<'a>(
    session: &Session,
    sealer: &mut Sealer,
    plain: &[Vec<u8>],
    mut wire: &'a [u8],
) -> &'a [u8] {
    let tag = match session.header.security {
        Security::None => 0,
        _ => TAG,
    };
    let mut compare = |chunk: VecDeque<Buf>, len: usize| {
        let chunk: Vec<u8> = chunk.iter().flat_map(Buf::as_slice).copied().collect();
        let (expected, rest) = wire.split_at(chunk.len());
        assert_eq!(chunk[..2 + len + tag], expected[..2 + len + tag]);
        wire = rest;
    };
    let pieces: Vec<Vec<u8>> = match session.is_stream() {
        true => plain
            .concat()
            .chunks(REFERENCE_CHUNK)
            .map(<[u8]>::to_vec)
            .collect(),
        false => plain.to_vec(),
    };
    for piece in &pieces {
        let mut out = VecDeque::new();
        sealer.seal(Buf::copy_of(piece), &mut out);
        compare(out, piece.len());
    }
    if pieces.is_empty() {
        let mut out = VecDeque::new();
        sealer.end(&mut out);
        compare(out, 0);
    }
    wire
}
