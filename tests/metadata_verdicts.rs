//! Frames with every kind of mistake in their metadata, and some without: what
//! becomes of each stands in a table.

#[path = "support/reference.rs"]
mod reference;

use std::fs;
use std::path::Path;

use muxcool::mux::{Event, FrameDecoder, FrameError, FrameMetadata, SessionStatus, end_frame};
use muxcool::net::Origin;
use reference::unhex;

/// Follows each frame, and is read if the carrier lives.
const SENTINEL: u16 = 0x5e17;

struct Row {
    name: String,
    bytes: Vec<u8>,
    verdict: String,
}

fn table(name: &str) -> Vec<Row> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let text = fs::read_to_string(Path::new(folder).join(name)).unwrap();
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

/// Decodes the frame and the one behind it, in pieces of at most `size` bytes.
fn judge(row: &Row, size: usize, mut decoder: FrameDecoder) -> String {
    let bytes = [&row.bytes[..], &end_frame(SENTINEL, false)].concat();
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
        (SessionStatus::New, Some(target)) => {
            let origin = metadata.origin.map(|origin| come_from(&origin));
            format!("new {id} {target}{}", origin.unwrap_or_default())
        }
        (SessionStatus::New, None) => panic!("New without a target"),
        (SessionStatus::Keep, _) => format!("keep {id}"),
        (SessionStatus::End, _) if metadata.option.has_error => format!("end error {id}"),
        (SessionStatus::End, _) => format!("end {id}"),
        (SessionStatus::KeepAlive, _) => format!("keepalive {id}"),
    }
}

fn come_from(origin: &Origin) -> String {
    let local = origin.local().map(|local| format!(" at {local}"));
    format!(" from {}{}", origin.source(), local.unwrap_or_default())
}

fn holds(table: &[Row], decoder: fn() -> FrameDecoder) {
    for size in [usize::MAX, 1, 3] {
        for row in table {
            let verdict = judge(row, size, decoder());
            assert_eq!(verdict, row.verdict, "{}, by {size}", row.name);
        }
    }
}

#[test]
fn every_mistake_costs_what_the_table_says() {
    let table = table("metadata_verdicts.txt");
    assert!(table.len() >= 200, "{} rows", table.len());
    holds(&table, FrameDecoder::new);
}

#[test]
fn every_mistake_in_an_origin_costs_what_the_table_says() {
    let table = table("origin_verdicts.txt");
    assert!(table.len() >= 70, "{} rows", table.len());
    holds(&table, || {
        let mut decoder = FrameDecoder::new();
        decoder.read_origins();
        decoder
    });
}

/// To others what stands there is a later field, whatever it is.
#[test]
fn who_has_not_asked_for_an_origin_reads_past_it() {
    for row in table("origin_verdicts.txt") {
        let verdict = judge(&row, usize::MAX, FrameDecoder::new());
        assert!(!verdict.contains(" from "), "{}", row.name);
        let is_bad = row.name.starts_with("a bad target");
        assert_eq!(verdict.starts_with("refused"), is_bad, "{}", row.name);
    }
}
