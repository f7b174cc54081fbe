//! The heads that the proxy writes: its own answers, and those that it passes
//! on, without what concerns only one hop (RFC 9110 section 7.6.1).

use std::collections::HashSet;

use super::target::Authority;
use super::wire::{Body, Fields, RequestHead, ResponseHead};

/// To a CONNECT, before the target is dialled.
pub(super) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// To who may not use the proxy.
pub(super) const UNAUTHORIZED: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"proxy\"\r\n\r\n";

/// To a request that is not acted on.
pub(super) const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Connection: close\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n";

/// When the target gives no response.
pub(super) const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Connection: close\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n";

/// Fields that go no further, besides those that Connection names.
const HOP_BY_HOP: [&str; 10] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
];

/// How a response goes on to the visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// The body is sent in chunks.
    pub(super) chunked: bool,
    /// The connection stays open after it.
    pub(super) keep: bool,
}

impl Framing {
    /// What `head` allows towards a visitor with this minor version, who
    /// wishes to keep the connection or not.
    pub(super) fn of(head: &ResponseHead, minor: u8, wish: bool) -> Self {
        Self {
            chunked: head.body == Body::Chunked && minor > 0,
            keep: wish && matches!(head.body, Body::Length(_)),
        }
    }
}

/// The request in origin form.
pub(super) fn request(head: &RequestHead, authority: &Authority, path: &str) -> Vec<u8> {
    let mut out = format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n", head.method).into_bytes();
    put_end_to_end(&mut out, &head.fields, &["Host", "Content-Length"]);
    match head.body {
        Body::Chunked => put(&mut out, "Transfer-Encoding", b"chunked"),
        Body::Length(0) if head.fields.all("Content-Length").next().is_none() => {}
        Body::Length(len) => put(&mut out, "Content-Length", len.to_string().as_bytes()),
        Body::UntilClose => {}
    }
    put(&mut out, "Connection", b"close");
    out.extend_from_slice(b"\r\n");
    out
}

/// The response as the visitor gets it.
pub(super) fn response(head: &ResponseHead, framing: Framing) -> Vec<u8> {
    let mut out = status_line(head);
    put_end_to_end(&mut out, &head.fields, &["Content-Length"]);
    if let Some(len) = head.length {
        put(&mut out, "Content-Length", len.to_string().as_bytes());
    }
    if framing.chunked {
        put(&mut out, "Transfer-Encoding", b"chunked");
    }
    if framing.keep {
        put(&mut out, "Connection", b"keep-alive");
        put(&mut out, "Keep-Alive", b"timeout=4");
        put(&mut out, "Proxy-Connection", b"keep-alive");
    } else {
        put(&mut out, "Connection", b"close");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// An interim response as the visitor gets it.
pub(super) fn interim(head: &ResponseHead) -> Vec<u8> {
    let mut out = status_line(head);
    put_end_to_end(&mut out, &head.fields, &["Content-Length"]);
    out.extend_from_slice(b"\r\n");
    out
}

fn status_line(head: &ResponseHead) -> Vec<u8> {
    format!("HTTP/1.1 {} {}\r\n", head.status, head.reason).into_bytes()
}

fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the fields that are meant for the other end, but those in `own`,
/// which the caller writes.
fn put_end_to_end(out: &mut Vec<u8>, fields: &Fields, own: &[&str]) {
    let named: HashSet<String> = fields
        .members("Connection")
        .map(str::to_ascii_lowercase)
        .collect();
    for (name, value) in fields.iter() {
        let same = |other: &&str| name.eq_ignore_ascii_case(other);
        let named = named.contains(&name.to_ascii_lowercase());
        if !named && !HOP_BY_HOP.iter().any(same) && !own.iter().any(same) {
            put(out, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http::target::parse_authority;
    use crate::proxy::http::wire::{parse_request, parse_response};

    fn forwarded(fields: &str) -> String {
        let head = format!("PUT http://x/ HTTP/1.0\r\n{fields}\r\n");
        let head = parse_request(head.as_bytes()).unwrap();
        let authority = parse_authority("example.com:81").unwrap();
        String::from_utf8(request(&head, &authority, "/p?q")).unwrap()
    }

    #[test]
    fn a_request_goes_on_in_origin_form_without_what_is_for_this_hop() {
        let fields = "Host: other\r\nA: 1\r\nConnection: close, x-mine\r\nX-Mine: 2\r\n\
            Keep-Alive: 3\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: 4\r\n\
            Proxy-Authorization: 5\r\nTE: 6\r\nTrailers: 7\r\nTrailer: 8\r\nUpgrade: 9\r\nB: \u{e9}\r\n";
        let expected = "PUT /p?q HTTP/1.1\r\nHost: example.com:81\r\nA: 1\r\nB: \u{e9}\r\n\
            Connection: close\r\n\r\n";
        assert_eq!(forwarded(fields), expected);
    }

    #[test]
    fn connection_cannot_take_the_length_off_a_body() {
        let sent = forwarded("Connection: content-length, host\r\nContent-Length: 7\r\n");
        assert!(sent.contains("\r\nContent-Length: 7\r\n"), "{sent}");
        assert!(sent.contains("\r\nHost: example.com:81\r\n"), "{sent}");
        assert!(forwarded("Content-Length: 0\r\n").contains("\r\nContent-Length: 0\r\n"));
        assert!(!forwarded("").contains("Content-Length"));
    }

    fn answered(head: &str, minor: u8, wish: bool) -> String {
        let head = parse_response(format!("{head}\r\n\r\n").as_bytes(), "GET").unwrap();
        let framing = Framing::of(&head, minor, wish);
        String::from_utf8(response(&head, framing)).unwrap()
    }

    #[test]
    fn a_connection_is_announced_as_kept_only_if_it_is() {
        let known = "HTTP/1.0 200 Fine\r\nKeep-Alive: timeout=9\r\nContent-Length: 3\r\nA: b";
        let kept = "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\
            Keep-Alive: timeout=4\r\nProxy-Connection: keep-alive\r\n\r\n";
        assert_eq!(answered(known, 1, true), kept);
        let ends = "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
        assert_eq!(answered(known, 1, false), ends);
        let unknown = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        assert_eq!(answered("HTTP/1.1 200 OK", 1, true), unknown);
    }

    #[test]
    fn chunks_go_on_only_to_who_understands_them() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3";
        let new = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        assert_eq!(answered(head, 1, true), new);
        assert_eq!(
            answered(head, 0, true),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        );
    }
}
