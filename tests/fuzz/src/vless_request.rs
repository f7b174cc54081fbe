//! A VLESS request header, and the text of an id.

use muxcool::limits::{MAX_DOMAIN, MAX_VLESS_ADDONS, MUX_DOMAIN};
use muxcool::net::Destination;
use muxcool::proxy::vless::wire::{
    Addons, HeaderError, RequestHeader, parse_id, read_id, read_order, read_request, write_request,
};
use muxcool::wire::Cursor;

use super::hosts;
use super::prefixes::{self, Verdict};

/// Longest header: version, id, addons, command, port, address.
const LONGEST: usize = 17 + 1 + MAX_VLESS_ADDONS + 1 + 2 + 2 + MAX_DOMAIN;

/// Digits and dashes of an id, of which one may stand in front, too.
const ID_TEXT: std::ops::RangeInclusive<usize> = 32..=37;

pub fn check(data: &[u8]) {
    let whole = prefixes::check(data, LONGEST, read_request, HeaderError::is_incomplete);
    assert_eq!(whole, in_parts(data), "read in two parts");
    if let Verdict::Message(header, _) = &whole {
        is_read_back(header);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        check_id(text);
    }
}

/// As an inbound reads it.
fn in_parts(data: &[u8]) -> Verdict<RequestHeader> {
    let mut cursor = Cursor::new(data);
    let read = read_id(&mut cursor).and_then(|id| {
        let (addons, target) = read_order(&mut cursor)?;
        Ok(RequestHeader { id, addons, target })
    });
    match read {
        Ok(header) => Verdict::Message(header, data.len() - cursor.remaining()),
        Err(e) if e.is_incomplete() => Verdict::WantsMore,
        Err(_) => Verdict::Never,
    }
}

fn is_read_back(header: &RequestHeader) {
    hosts::check(&header.target.address);
    assert!(header.addons.flow.len() + header.addons.seed.len() <= MAX_VLESS_ADDONS);
    let mut bytes = Vec::new();
    write_request(&mut bytes, &header.id, &header.target);
    let mut cursor = Cursor::new(&bytes);
    let read = read_request(&mut cursor).expect("what was written");
    let target = match header.target.address.domain() {
        Some(MUX_DOMAIN) => Destination::tcp(MUX_DOMAIN, 0).expect("a domain"),
        _ => header.target.clone(),
    };
    let expected = RequestHeader {
        id: header.id,
        addons: Addons::default(),
        target,
    };
    assert_eq!(read, expected);
    assert_eq!(cursor.remaining(), 0);
}

fn check_id(text: &str) {
    let Some((id, rest)) = parse_id(text) else {
        return;
    };
    assert!(ID_TEXT.contains(&(text.len() - rest.len())), "{text}");
    assert_eq!(parse_id(&id.hyphenated().to_string()), Some((id, "")));
}
