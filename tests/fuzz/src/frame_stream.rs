//! Frames out of a carrier's bytes, in any pieces: the decoder gives what a
//! reader that has all of them before it sees.

use muxcool::limits::MIN_METADATA;
use muxcool::mux::{Event, FrameDecoder, FrameError, FrameMetadata};

use super::pieces::Pieces;

/// A frame as far as it was there.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub metadata: Result<FrameMetadata, FrameError>,
    /// How many bytes it says it carries.
    pub declared: Option<usize>,
    pub payload: Vec<u8>,
}

/// How a carrier's bytes end.
#[derive(Debug, PartialEq)]
pub enum Ending {
    /// Between two frames.
    Whole,
    /// Within one.
    Cut,
    /// In what is no frame.
    Broken(FrameError),
}

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    assert_eq!(decode(pieces), read(pieces.stream));
}

fn decode(pieces: Pieces) -> (Vec<Frame>, Ending) {
    let mut decoder = FrameDecoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    for mut input in pieces {
        loop {
            let before = input.len();
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(event)) => take(&mut frames, &event),
                Err(e) => return (frames, Ending::Broken(e)),
            }
            assert!(input.len() < before, "an event out of nothing");
        }
        assert!(input.is_empty(), "bytes were left behind");
    }
    match decoder.at_boundary() {
        true => (frames, Ending::Whole),
        false => (frames, Ending::Cut),
    }
}

fn take(frames: &mut Vec<Frame>, event: &Event) {
    match event {
        Event::Frame { metadata, payload } => frames.push(Frame {
            metadata: metadata.clone(),
            declared: *payload,
            payload: Vec::new(),
        }),
        Event::Payload { bytes, left } => {
            assert!(!bytes.is_empty());
            let frame = frames.last_mut().expect("payload has a frame");
            frame.payload.extend_from_slice(bytes);
            assert_eq!(Some(frame.payload.len() + left), frame.declared);
        }
    }
}

/// Reads frames out of bytes that are all there: every one is as long as it
/// says, whatever it is (A26).
pub fn read(mut bytes: &[u8]) -> (Vec<Frame>, Ending) {
    let mut frames = Vec::new();
    loop {
        match read_one(&mut bytes) {
            Ok(frame) => {
                let whole = frame.payload.len() == frame.declared.unwrap_or(0);
                frames.push(frame);
                if !whole {
                    return (frames, Ending::Cut);
                }
            }
            Err(ending) => return (frames, ending),
        }
    }
}

fn read_one(bytes: &mut &[u8]) -> Result<Frame, Ending> {
    if bytes.is_empty() {
        return Err(Ending::Whole);
    }
    let len = take_length(bytes)?;
    check_length(len)?;
    let option = *bytes.get(MIN_METADATA - 1).ok_or(Ending::Cut)?;
    let (metadata, mut rest) = bytes.split_at_checked(len).ok_or(Ending::Cut)?;
    let declared = match option & 1 {
        0 => None,
        _ => Some(take_length(&mut rest)?),
    };
    let metadata = match FrameMetadata::decode(metadata) {
        Err(e) if !matches!(e, FrameError::BadTarget { .. }) => return Err(Ending::Broken(e)),
        other => other,
    };
    let (payload, rest) = rest.split_at(rest.len().min(declared.unwrap_or(0)));
    *bytes = rest;
    Ok(Frame {
        metadata,
        declared,
        payload: payload.to_vec(),
    })
}

fn take_length(bytes: &mut &[u8]) -> Result<usize, Ending> {
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or(Ending::Cut)?;
    *bytes = rest;
    Ok(u16::from_be_bytes(*length).into())
}

/// A length that no metadata has is told before any of it is there.
fn check_length(len: usize) -> Result<(), Ending> {
    match len {
        ..4 => Err(Ending::Broken(FrameError::TooShort(len))),
        4..=512 => Ok(()),
        _ => Err(Ending::Broken(FrameError::TooLong(len))),
    }
}
