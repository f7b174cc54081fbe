//! The reference's frames: all of `vectors` (made and read by V2Ray 4.34) and
//! `xray_vectors` (by Xray's frame code) in `vectors/frames.json` are decoded,
//! compared, and encoded again. Where we differ on purpose, a table says how
//! and why.

#[path = "support/reference.rs"]
mod reference;

use muxcool::mux::{
    Event, FrameDecoder, FrameError, FrameMetadata, SessionStatus, TargetError, end_frame,
    keep_header, new_header,
};
use muxcool::net::{AddressError, Domain};
use reference::{text, unhex};
use serde_json::Value;

/// Where we differ from the reference.
struct Difference {
    name: &'static str,
    /// What we see, in the words of [`Outcome::summary`].
    ours: &'static str,
    /// Section of the wire description, or number of the upstream defect.
    section: &'static str,
    reason: &'static str,
}

const DIFFERENCES: [Difference; 17] = [
    Difference {
        name: "bad-metalen-4-new-too-short",
        ours: "session 1 refused: unexpected_eof",
        section: "A28",
        reason: "the frame's length is known, so only its session is refused",
    },
    Difference {
        name: "bad-metalen-7-new-too-short",
        ours: "session 1 refused: unexpected_eof",
        section: "A28",
        reason: "as above",
    },
    Difference {
        name: "bad-new-domain-length-missing",
        ours: "session 1 refused: unexpected_eof",
        section: "8.1",
        reason: "the reference takes a missing field for a clean end",
    },
    Difference {
        name: "bad-new-domain-none-of-body",
        ours: "session 1 refused: unexpected_eof",
        section: "8.1",
        reason: "as above",
    },
    Difference {
        name: "bad-metadata-missing",
        ours: "cut",
        section: "A13",
        reason: "a carrier that ends inside a frame has not ended cleanly",
    },
    Difference {
        name: "bad-data-length-missing-stream",
        ours: "cut",
        section: "A13",
        reason: "as above",
    },
    Difference {
        name: "bad-data-missing-packet",
        ours: "cut",
        section: "A13",
        reason: "as above",
    },
    Difference {
        name: "bad-data-cut-stream (4.34 delivers the part, then EOF counts as end)",
        ours: "id 5 Keep data(5) = 6162; cut",
        section: "A13",
        reason: "the part is delivered, and then an error instead of an end",
    },
    Difference {
        name: "bad-packet-65535",
        ours: "id 5 Keep data(65535) = 030a11181f262d343b424950575e656c; cut",
        section: "A27",
        reason: "a datagram that is too large is skipped, its carrier lives",
    },
    Difference {
        name: "decode-status-0-parses",
        ours: "unknown_status 0",
        section: "8.1",
        reason: "the decoder refuses what the reference's worker refuses",
    },
    Difference {
        name: "decode-status-5-parses",
        ours: "unknown_status 5",
        section: "8.1",
        reason: "as above",
    },
    Difference {
        name: "decode-status-255-parses",
        ours: "unknown_status 255",
        section: "8.1",
        reason: "as above",
    },
    Difference {
        name: "xray-keep-udp-ipv6-address",
        ours: "id 1 Keep data(2) = 7032; end",
        section: "8.4",
        reason: "like V2Ray we do not read addresses of single packets",
    },
    Difference {
        name: "xray-keep-udp-domain-address",
        ours: "id 1 Keep data(2) = 7032; end",
        section: "8.4",
        reason: "as above",
    },
    Difference {
        name: "xudp-keep-session-0-address",
        ours: "id 0 Keep data(2) = 7032; end",
        section: "8.4",
        reason: "as above",
    },
    Difference {
        name: "xray-keep-network-2-bad-atyp",
        ours: "id 1 Keep data(1) = 78; end",
        section: "8.4",
        reason: "as above, so a wrong one does no harm",
    },
    Difference {
        name: "xray-reverse-new-bad-source-network",
        ours: "id 1 New tcp:127.0.0.1:80; end",
        section: "8.4",
        reason: "behind the target nothing is read that was not agreed on",
    },
];

// ---------------------------------------------------------------------------
// What we see
// ---------------------------------------------------------------------------

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    metadata: Result<FrameMetadata, FrameError>,
    /// Its length as declared.
    payload: Option<usize>,
    data: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Boundary,
    InsideAFrame,
    Failed(FrameError),
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    frames: Vec<Frame>,
    end: End,
}

/// Decodes what arrives in pieces of `size` bytes.
fn decode(bytes: &[u8], size: usize) -> Outcome {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(event)) => note(&mut frames, event),
                Ok(None) => break,
                Err(e) => {
                    let end = End::Failed(e);
                    return Outcome { frames, end };
                }
            }
        }
    }
    let end = match decoder.at_boundary() {
        true => End::Boundary,
        false => End::InsideAFrame,
    };
    Outcome { frames, end }
}

fn note(frames: &mut Vec<Frame>, event: Event<'_>) {
    match event {
        Event::Frame { metadata, payload } => frames.push(Frame {
            metadata,
            payload,
            data: Vec::new(),
        }),
        Event::Payload { bytes, left } => {
            let frame = frames.last_mut().expect("payload before a frame");
            frame.data.extend_from_slice(bytes);
            assert_eq!(Some(frame.data.len() + left), frame.payload);
        }
    }
}

impl Outcome {
    /// One line: frames, and how the bytes ended. For errors the names that
    /// the vectors give them.
    fn summary(&self) -> String {
        let frames = self.frames.iter().map(Frame::summary);
        let end = match &self.end {
            End::Boundary if self.is_refusal() => None,
            End::Boundary => Some("end".to_owned()),
            End::InsideAFrame => Some("cut".to_owned()),
            End::Failed(e) => Some(kind(e)),
        };
        frames.chain(end).collect::<Vec<_>>().join("; ")
    }

    fn is_refusal(&self) -> bool {
        self.frames.last().is_some_and(|f| f.metadata.is_err())
    }
}

impl Frame {
    fn summary(&self) -> String {
        let metadata = match &self.metadata {
            Ok(metadata) => metadata,
            Err(FrameError::BadTarget { session_id, .. }) => {
                let kind = self.metadata.as_ref().map_err(kind).unwrap_err();
                return format!("session {session_id} refused: {kind}");
            }
            Err(e) => return format!("not an event: {e}"),
        };
        let mut text = format!("id {} {:?}", metadata.session_id, metadata.status);
        if let Some(target) = &metadata.target {
            text += &format!(" {target}");
        }
        if metadata.option.has_error {
            text += " error";
        }
        if let Some(len) = self.payload {
            text += &format!(" data({len})");
        }
        if !self.data.is_empty() {
            text += &format!(" = {}", to_hex(&self.data));
        }
        assert_eq!(metadata.option.has_data, self.payload.is_some());
        text
    }
}

/// The vectors' name for an error.
fn kind(error: &FrameError) -> String {
    let kind = match error {
        FrameError::TooLong(_) => "metadata_too_long",
        FrameError::TooShort(_) => "too_short",
        FrameError::UnknownStatus(status) => return format!("unknown_status {status}"),
        FrameError::BadTarget { reason, .. } => match reason {
            TargetError::Truncated(_) | TargetError::Address(AddressError::Truncated(_)) => {
                "unexpected_eof"
            }
            TargetError::UnknownNetwork(_) => "unknown_network",
            TargetError::Address(AddressError::InvalidDomain) => "bad_domain",
            TargetError::Address(AddressError::UnknownType(_)) => "bad_address_type",
            other => panic!("no name for {other:?}"),
        },
        other => panic!("no name for {other:?}"),
    };
    kind.to_owned()
}

// ---------------------------------------------------------------------------
// What the reference saw
// ---------------------------------------------------------------------------

fn file() -> Value {
    serde_json::from_str(include_str!("vectors/frames.json")).unwrap()
}

fn vectors(list: &str) -> Vec<Value> {
    file()[list].as_array().unwrap().clone()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key:?} in {value}"))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The payload as hex, absent if there is no data part.
fn expected_data(decoded: &Value) -> Option<String> {
    if let Some(hex) = decoded["data_hex"].as_str() {
        return Some(hex.to_owned());
    }
    // The writer was given buffers of 2048 bytes, each with the pattern.
    decoded["data_pattern"].as_str()?;
    let byte = |i: usize| ((i % 2_048) * 7 + 3) as u8;
    let len = number(decoded, "data_len") as usize;
    Some(to_hex(&(0..len).map(byte).collect::<Vec<u8>>()))
}

fn expected_target(decoded: &Value) -> String {
    if let Some(target) = decoded["target"].as_str() {
        return target.to_owned(); // as Xray prints it
    }
    let Some(network) = decoded["network"].as_str() else {
        return String::new();
    };
    let (address, port) = (text(decoded, "address"), number(decoded, "port"));
    match text(decoded, "address_family") {
        "ipv6" => format!("{network}:[{address}]:{port}"),
        _ => format!("{network}:{address}:{port}"),
    }
}

fn expected_frame(decoded: &Value) -> String {
    let option = number(decoded, "option");
    let status = ["unknown", "New", "Keep", "End", "KeepAlive"];
    let status = status[number(decoded, "status") as usize];
    let mut summary = format!("id {} {status}", number(decoded, "session_id"));
    let target = expected_target(decoded);
    if !target.is_empty() {
        summary += &format!(" {target}");
    }
    if option & 2 != 0 {
        summary += " error";
    }
    let data = expected_data(decoded);
    assert_eq!(data.is_some(), option & 1 != 0, "{decoded}");
    if let Some(data) = data {
        summary += &format!(" data({})", data.len() / 2);
        if !data.is_empty() {
            summary += &format!(" = {data}");
        }
    }
    summary
}

fn decoded_frames(vector: &Value) -> Vec<Value> {
    match &vector["decoded"] {
        Value::Array(frames) => frames.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

/// What the reference saw, in the words of [`Outcome::summary`].
fn expected(vector: &Value) -> String {
    let Some(kind) = vector["error_kind"].as_str() else {
        let frames = decoded_frames(vector);
        let frames = frames.iter().map(expected_frame);
        return frames
            .chain(["end".to_owned()])
            .collect::<Vec<_>>()
            .join("; ");
    };
    kind.to_owned()
}

/// The reference stops at the error; we may refuse a single session for it,
/// and tell a cut inside a frame from one between two.
fn is_the_same_error(kind: &str, ours: &Outcome) -> bool {
    match &ours.end {
        End::Failed(e) => self::kind(e) == kind,
        End::InsideAFrame => kind == "unexpected_eof",
        End::Boundary => ours.summary().ends_with(&format!(" refused: {kind}")),
    }
}

// ---------------------------------------------------------------------------
// Side by side
// ---------------------------------------------------------------------------

fn check(vector: &Value) {
    let name = text(vector, "name");
    let bytes = unhex(text(vector, "hex"));
    let ours = decode(&bytes, bytes.len().max(1));
    for size in [1, 3, 7] {
        assert_eq!(decode(&bytes, size), ours, "{name}: in pieces of {size}");
    }
    let expected = expected_or_panic(vector);
    let same = match vector["error_kind"].as_str() {
        Some(kind) => is_the_same_error(kind, &ours),
        None => ours.summary() == expected,
    };
    match DIFFERENCES.iter().find(|d| d.name == name) {
        None => assert!(same, "{name}: {} instead of {expected}", ours.summary()),
        Some(d) => {
            let reason = d.reason;
            assert!(!same, "{name}: is no difference ({reason})");
            assert_eq!(ours.summary(), d.ours, "{name}: {reason}");
        }
    }
}

/// Frames of a status that we do not name have no words for it.
fn expected_or_panic(vector: &Value) -> String {
    match vector["worker_error"].as_str() {
        Some(error) => error.to_owned(),
        None => expected(vector),
    }
}

#[test]
fn v2rays_frames_are_read_as_by_v2ray() {
    let vectors = vectors("vectors");
    assert_eq!(vectors.len(), 84);
    let frames = vectors.iter().filter(|v| v["kind"] != "encode-only");
    assert_eq!(frames.map(check).count(), 83);
}

#[test]
fn xrays_frames_are_read_as_by_xray() {
    let vectors = vectors("xray_vectors");
    assert_eq!(vectors.len(), 21);
    vectors.iter().for_each(check);
}

#[test]
fn a_name_too_long_to_encode_cannot_be_made() {
    let vectors = vectors("vectors");
    let encode_only = vectors.iter().filter(|v| v["kind"] == "encode-only");
    let names: Vec<&str> = encode_only.map(|v| text(v, "name")).collect();
    assert_eq!(names, ["encoder-domain-257-refused"]);
    // 256 is the reference's bug of section 0.1: it writes length 0.
    for len in [256, 257] {
        let refused = Domain::new(&"b".repeat(len));
        assert_eq!(refused.unwrap_err(), AddressError::InvalidDomain);
    }
    assert!(Domain::new(&"b".repeat(255)).is_ok());
}

/// What the reference's writer made, ours makes too.
#[test]
fn written_frames_are_written_alike() {
    let mut compared = 0;
    for vector in vectors("vectors") {
        if text(&vector, "source").starts_with("bytes made by hand")
            || vector["kind"] == "encode-only"
        {
            continue;
        }
        let bytes = unhex(text(&vector, "hex"));
        let outcome = decode(&bytes, bytes.len());
        let written: Vec<u8> = outcome.frames.iter().flat_map(write).collect();
        assert_eq!(
            to_hex(&written),
            to_hex(&bytes),
            "{}",
            text(&vector, "name")
        );
        let heads: Vec<u8> = outcome.frames.iter().flat_map(write_metadata).collect();
        assert_eq!(to_hex(&heads), to_hex(&bytes), "{}", text(&vector, "name"));
        compared += 1;
    }
    assert_eq!(compared, 38);
}

/// By the codec's own encoder.
fn write_metadata(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.metadata.as_ref().unwrap().encode(&mut out);
    if let Some(len) = frame.payload {
        out.extend((len as u16).to_be_bytes());
    }
    out.extend(&frame.data);
    out
}

/// By the functions that make whole frames, where there is one for it.
fn write(frame: &Frame) -> Vec<u8> {
    let metadata = frame.metadata.as_ref().unwrap();
    let (id, option) = (metadata.session_id, metadata.option);
    let mut out = match (metadata.status, frame.payload) {
        (SessionStatus::New, payload) => new_header(id, metadata.target.as_ref().unwrap(), payload),
        (SessionStatus::Keep, Some(len)) if !option.has_error => keep_header(id, len).into(),
        (SessionStatus::End, None) => end_frame(id, option.has_error).into(),
        _ => return write_metadata(frame),
    };
    out.extend(&frame.data);
    out
}

#[test]
fn every_difference_names_a_vector_and_a_section() {
    let names: Vec<String> = ["vectors", "xray_vectors"]
        .into_iter()
        .flat_map(vectors)
        .map(|v| text(&v, "name").to_owned())
        .collect();
    for difference in &DIFFERENCES {
        let Difference { name, section, .. } = difference;
        assert!(names.iter().any(|n| n == name), "{name}");
        assert!(section.starts_with(|c: char| c == 'A' || c.is_ascii_digit()));
    }
}
