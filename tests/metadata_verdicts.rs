//! Frames with every kind of mistake in their metadata, and some without: what
//! becomes of each stands in a table.

use std::fs;

use muxcool::mux::{Event, FrameDecoder, FrameError, FrameMetadata, SessionStatus, end_frame};

/// Follows each frame, and is read if the carrier lives.
const SENTINEL: u16 = 0x5e17;

struct Row {
    name: String,
    bytes: Vec<u8>,
    verdict: String,
}

fn table() -> Vec<Row> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/metadata_verdicts.txt"
    );
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let [name, hex, verdict] = line.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not a row: {line}");
        };
        Row {
            name: name.to_owned(),
            bytes: unhex(hex),
            verdict: verdict.to_owned(),
        }
    })
    .collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Decodes the frame and the one behind it, in pieces of at most `size` bytes.
fn judge(row: &Row, size: usize) -> String {
    let bytes = [&row.bytes[..], &end_frame(SENTINEL, false)].concat();
    let mut decoder = FrameDecoder::new();
    let mut verdict = String::new();
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(Event::Payload { .. })) => {}
                Ok(Some(Event::Frame { metadata, payload })) if verdict.is_empty() => {
                    verdict = word(metadata);
                    if let Some(len) = payload {
                        verdict += &format!(" data {len}");
                    }
                }
                Ok(Some(Event::Frame { metadata, .. })) => {
                    assert_eq!(metadata.unwrap().session_id, SENTINEL, "{}", row.name);
                    return verdict;
                }
                Err(_) => return "carrier".to_owned(),
            }
        }
    }
    panic!("{}: the frame behind it is gone", row.name)
}

fn word(metadata: Result<FrameMetadata, FrameError>) -> String {
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(FrameError::BadTarget { session_id, .. }) => return format!("refused {session_id}"),
        Err(e) => panic!("a frame with {e:?}"),
    };
    let id = metadata.session_id;
    match (metadata.status, metadata.target) {
        (SessionStatus::New, Some(target)) => format!("new {id} {target}"),
        (SessionStatus::New, None) => panic!("New without a target"),
        (SessionStatus::Keep, _) => format!("keep {id}"),
        (SessionStatus::End, _) if metadata.option.has_error => format!("end error {id}"),
        (SessionStatus::End, _) => format!("end {id}"),
        (SessionStatus::KeepAlive, _) => format!("keepalive {id}"),
    }
}

#[test]
fn every_mistake_costs_what_the_table_says() {
    let table = table();
    assert!(table.len() >= 200, "{} rows", table.len());
    for size in [usize::MAX, 1, 3] {
        for row in &table {
            assert_eq!(judge(row, size), row.verdict, "{}, by {size}", row.name);
        }
    }
}
