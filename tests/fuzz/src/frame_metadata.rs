//! Metadata of one frame, without its length.

use muxcool::limits::{MAX_DOMAIN, MAX_METADATA, MIN_METADATA};
use muxcool::mux::{FrameError, FrameMetadata, SessionStatus, TargetError};

use super::hosts;

/// Longest that we write: length, fixed fields, network, port, a domain, and
/// where it comes from.
const LONGEST: usize = 2 + MIN_METADATA + 1 + 2 + 2 + MAX_DOMAIN + 2 * ORIGIN;

/// Network, port, type, an IPv6 address.
const ORIGIN: usize = 1 + 2 + 1 + 16;

pub fn check(data: &[u8]) {
    let decoded = FrameMetadata::decode(data);
    match &decoded {
        Ok(metadata) => is_read_back(metadata),
        Err(e) => is_right(e, data),
    }
    if data.len() < MAX_METADATA && data.len() >= MIN_METADATA && decoded.is_ok() {
        let longer = [data, &[0xA5]].concat();
        assert_eq!(FrameMetadata::decode(&longer), decoded, "a later field");
    }
    check_origin(data, decoded);
}

/// Where a session comes from says nothing of where it goes.
fn check_origin(data: &[u8], without: Result<FrameMetadata, FrameError>) {
    match FrameMetadata::decode_with_origin(data) {
        Ok(metadata) => {
            is_read_back(&metadata);
            let origin = None;
            assert_eq!(Ok(FrameMetadata { origin, ..metadata }), without);
        }
        Err(e) => {
            is_right(&e, data);
            let FrameError::BadTarget { reason, .. } = &e else {
                return assert_eq!(Err(e), without);
            };
            match (reason, &without) {
                (TargetError::Origin(_), Ok(_)) => {}
                _ => assert_eq!(Err(e), without),
            }
        }
    }
}

fn is_read_back(metadata: &FrameMetadata) {
    let is_new = metadata.status == SessionStatus::New;
    assert_eq!(metadata.target.is_some(), is_new);
    let mut bytes = Vec::new();
    metadata.encode(&mut bytes);
    assert!(bytes.len() <= LONGEST);
    let (length, rest) = bytes.split_at(2);
    assert_eq!(
        usize::from(u16::from_be_bytes([length[0], length[1]])),
        rest.len()
    );
    let read = FrameMetadata::decode_with_origin(rest);
    assert_eq!(read.as_ref(), Ok(metadata));
    assert!(is_new || metadata.origin.is_none());
    if let Some(target) = &metadata.target {
        hosts::check(&target.address);
    }
}

/// Only a New whose length is right can have a bad target.
fn is_right(error: &FrameError, data: &[u8]) {
    let in_range = (MIN_METADATA..=MAX_METADATA).contains(&data.len());
    match error {
        FrameError::TooLong(len) | FrameError::TooShort(len) => {
            assert_eq!(*len, data.len());
            assert!(!in_range);
        }
        FrameError::UnknownStatus(status) => {
            assert!(in_range && *status == data[2] && !(1..=4).contains(status));
        }
        FrameError::BadTarget {
            session_id, option, ..
        } => {
            assert!(in_range && data[2] == SessionStatus::New as u8);
            assert_eq!(*session_id, u16::from_be_bytes([data[0], data[1]]));
            assert_eq!(option.has_data, data[3] & 1 != 0);
        }
        other => panic!("an error that nobody has thought of: {other:?}"),
    }
    assert!(!error.to_string().is_empty());
}
