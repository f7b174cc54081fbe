//! Heads of HTTP messages, and what a request is for.

use muxcool::buf::Buf;
use muxcool::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD};
use muxcool::proxy::http::target::{Target, parse_authority, parse_target};
use muxcool::proxy::http::wire::{
    Body, Fields, HeadBuffer, HeadError, parse_request, parse_response,
};

use super::hosts;
use super::pieces::Pieces;

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let collected = collect(pieces);
    assert_eq!(collected, collect([pieces.stream]));
    if let Ok((head, whole, rest)) = collected {
        assert!(head.len() <= MAX_HTTP_HEAD);
        assert!(pieces.stream.ends_with(&rest));
        assert!(whole || rest.is_empty());
        check_request(&head);
        check_response(&head);
    }
    if let Ok(text) = std::str::from_utf8(pieces.stream) {
        check_target(text);
    }
}

type Collected = Result<(Vec<u8>, bool, Vec<u8>), HeadError>;

/// The head, whether it is whole, and what follows it.
fn collect<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Collected {
    let mut head = HeadBuffer::new();
    let (mut whole, mut rest) = (false, Vec::new());
    for piece in pieces {
        let mut input = Buf::copy_of(piece);
        if !whole {
            whole = head.fill(&mut input)?;
        }
        rest.extend_from_slice(input.as_slice());
    }
    Ok((head.as_slice().to_vec(), whole, rest))
}

fn check_request(bytes: &[u8]) {
    let Ok(head) = parse_request(bytes) else {
        return;
    };
    check_fields(&head.fields, bytes);
    assert!(head.minor <= 1);
    assert!(head.fields.all("host").count() <= 1);
    let lengths = head.fields.all("content-length").count();
    let codings = head.fields.all("transfer-encoding").count();
    match head.body {
        Body::Length(len) => assert!(codings == 0 && (len == 0 || lengths > 0)),
        Body::Chunked => assert!(lengths == 0 && codings == 1 && head.minor == 1),
        Body::UntilClose => panic!("a request that ends with the connection"),
    }
    check_target(&head.target);
}

fn check_response(bytes: &[u8]) {
    for method in ["GET", "HEAD", "CONNECT"] {
        let Ok(head) = parse_response(bytes, method) else {
            continue;
        };
        check_fields(&head.fields, bytes);
        assert!((100..1000).contains(&head.status));
        let bare = method == "HEAD" || head.status < 200 || [204, 304].contains(&head.status);
        assert!(!bare || head.body == Body::Length(0));
        assert!(head.body != Body::Chunked || head.length.is_none());
    }
}

fn check_fields(fields: &Fields, bytes: &[u8]) {
    assert!(fields.iter().count() <= MAX_HTTP_FIELDS);
    let mut len = 0;
    for (name, value) in fields.iter() {
        let is_token = |b: u8| b.is_ascii_graphic() && b != b':';
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
        let splits = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
        assert!(!value.iter().any(splits), "{value:?}");
        len += name.len() + value.len() + ":\n".len();
    }
    assert!(len <= bytes.len());
}

fn check_target(text: &str) {
    if let Ok(Target::Absolute(authority, path)) = parse_target(text) {
        assert!(path.starts_with('/') && !path.contains('#'), "{path}");
        assert_eq!(parse_authority(&authority.to_string()), Ok(authority));
    }
    if let Ok(authority) = parse_authority(text) {
        hosts::check(&authority.host);
        assert_eq!(parse_authority(&authority.to_string()), Ok(authority));
    }
}
