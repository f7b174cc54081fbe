//! Heads of HTTP messages (RFC 9112), without any I/O.

use std::fmt;

use httparse::{EMPTY_HEADER, Header, Status};

use crate::buf::Buf;
use crate::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD};

/// Why a head is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// It is no HTTP: what was wrong.
    Malformed(&'static str),
    /// It is HTTP, but must not be acted on: what was wrong.
    BadRequest(&'static str),
    /// Longer than [`MAX_HTTP_HEAD`], or more than [`MAX_HTTP_FIELDS`] fields.
    TooLarge,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HeadError {}

impl HeadError {
    /// What was wrong.
    pub fn reason(&self) -> &'static str {
        match self {
            HeadError::Malformed(what) | HeadError::BadRequest(what) => what,
            HeadError::TooLarge => "head is too large",
        }
    }
}

impl From<httparse::Error> for HeadError {
    fn from(e: httparse::Error) -> Self {
        use httparse::Error;
        HeadError::Malformed(match e {
            Error::HeaderName => "bad field name",
            Error::HeaderValue => "bad field value",
            Error::NewLine => "bad line end",
            Error::Status => "bad status line",
            Error::Token => "bad request line",
            Error::Version => "unknown HTTP version",
            Error::TooManyHeaders => return HeadError::TooLarge,
        })
    }
}

/// Collects a head from whatever pieces it arrives in. Empty lines in front of
/// it are skipped (RFC 9112 section 2.2).
#[derive(Default)]
pub struct HeadBuffer {
    bytes: Vec<u8>,
    skipped: usize,
}

impl HeadBuffer {
    /// A buffer without a byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `input`, up to the head's end. Returns
    /// whether the head is complete.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`].
    pub fn fill(&mut self, input: &mut Buf) -> Result<bool, HeadError> {
        let mut taken = 0;
        let mut complete = false;
        for byte in input.as_slice() {
            taken += 1;
            self.push(*byte)?;
            complete = self.bytes.ends_with(b"\n\n") || self.bytes.ends_with(b"\n\r\n");
            if complete {
                break;
            }
        }
        input.advance(taken);
        Ok(complete)
    }

    /// Whether nothing of a head has come yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The head so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, byte: u8) -> Result<(), HeadError> {
        if self.bytes.is_empty() && matches!(byte, b'\r' | b'\n') {
            self.skipped += 1;
        } else {
            self.bytes.push(byte);
        }
        match self.bytes.len() + self.skipped > MAX_HTTP_HEAD {
            true => Err(HeadError::TooLarge),
            false => Ok(()),
        }
    }
}

/// Not the bytes: passwords are among them.
impl fmt::Debug for HeadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadBuffer({} bytes)", self.bytes.len())
    }
}

/// The fields of a head, in order. Names are compared without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The values of the fields with this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The members of the comma-separated lists with this name, as far as
    /// they are text.
    pub fn members(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|member| !member.is_empty())
    }

    fn copied(parsed: &[Header<'_>]) -> Self {
        let copied = |field: &Header<'_>| (field.name.to_owned(), field.value.to_vec());
        Self(parsed.iter().map(copied).collect())
    }
}

/// The names alone: passwords and cookies are among the values.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// How a message's body ends (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// After this many bytes; 0 if there is none.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: String,
    /// The target as it was written.
    pub target: String,
    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    pub minor: u8,
    /// The fields.
    pub fields: Fields,
    /// How the body ends; never with the connection.
    pub body: Body,
}

/// Reads a complete head of a request.
///
/// # Errors
/// [`HeadError::BadRequest`] when two readers could disagree about where it
/// ends or whom it is for; [`HeadError::Malformed`], [`HeadError::TooLarge`].
pub fn parse_request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
    let mut space = [EMPTY_HEADER; MAX_HTTP_FIELDS];
    let mut parsed = httparse::Request::new(&mut space);
    is_whole(parsed.parse(bytes)?, bytes)?;
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadError::Malformed("bad request line"));
    };
    let fields = Fields::copied(parsed.headers);
    if fields.all("Host").count() > 1 {
        return Err(HeadError::BadRequest("several Host fields"));
    }
    Ok(RequestHead {
        method: method.to_owned(),
        target: target.to_owned(),
        minor,
        body: request_body(&fields, minor)?,
        fields,
    })
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, from 100 to 999.
    pub status: u16,
    /// What is said about it.
    pub reason: String,
    /// The fields.
    pub fields: Fields,
    /// What the Content-Length field says, also where there is no body.
    pub length: Option<u64>,
    /// How the body ends.
    pub body: Body,
}

impl ResponseHead {
    /// Whether another response to the same request follows.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// Reads a complete head of a response to a request with this method.
///
/// # Errors
/// [`HeadError::Malformed`], also for framing that cannot be trusted;
/// [`HeadError::TooLarge`].
pub fn parse_response(bytes: &[u8], method: &str) -> Result<ResponseHead, HeadError> {
    let mut space = [EMPTY_HEADER; MAX_HTTP_FIELDS];
    let mut parsed = httparse::Response::new(&mut space);
    is_whole(parsed.parse(bytes)?, bytes)?;
    let (Some(status @ 100..), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(HeadError::Malformed("bad status line"));
    };
    let fields = Fields::copied(parsed.headers);
    let is_chunked = chunked(&fields, minor).map_err(HeadError::Malformed)?;
    let length = match is_chunked {
        true => None, // Transfer-Encoding overrides it (RFC 9112 section 6.3)
        false => length(&fields).map_err(HeadError::Malformed)?,
    };
    let has_body = method != "HEAD" && !matches!(status, 100..200 | 204 | 304);
    let body = match (has_body, is_chunked, length) {
        (false, _, _) => Body::Length(0),
        (true, true, _) => Body::Chunked,
        (true, false, Some(len)) => Body::Length(len),
        (true, false, None) => Body::UntilClose,
    };
    Ok(ResponseHead {
        status,
        reason: parsed.reason.unwrap_or_default().to_owned(),
        fields,
        length,
        body,
    })
}

fn is_whole(status: Status<usize>, bytes: &[u8]) -> Result<(), HeadError> {
    match status {
        Status::Complete(len) if len == bytes.len() => Ok(()),
        _ => Err(HeadError::Malformed("head does not end where it should")),
    }
}

fn request_body(fields: &Fields, minor: u8) -> Result<Body, HeadError> {
    let is_chunked = chunked(fields, minor).map_err(HeadError::BadRequest)?;
    let length = length(fields).map_err(HeadError::BadRequest)?;
    match (is_chunked, length) {
        (true, Some(_)) => Err(HeadError::BadRequest(
            "both Content-Length and Transfer-Encoding",
        )),
        (true, None) => Ok(Body::Chunked),
        (false, length) => Ok(Body::Length(length.unwrap_or(0))),
    }
}

/// The only transfer coding that is taken is `chunked`, once.
fn chunked(fields: &Fields, minor: u8) -> Result<bool, &'static str> {
    let mut codings = fields.all("Transfer-Encoding");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(_), _) if minor == 0 => Err("Transfer-Encoding in HTTP/1.0"),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("unknown Transfer-Encoding"),
    }
}

/// One number of decimal digits, however often it is repeated.
fn length(fields: &Fields) -> Result<Option<u64>, &'static str> {
    let mut lengths = fields.all("Content-Length").map(decimal);
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    match first {
        None => Err("bad Content-Length"),
        Some(_) if lengths.any(|other| other != first) => Err("differing Content-Lengths"),
        same => Ok(same),
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(fields: &str) -> Result<RequestHead, HeadError> {
        parse_request(format!("POST /p HTTP/1.1\r\n{fields}\r\n").as_bytes())
    }

    fn response(method: &str, head: &str) -> Result<Body, HeadError> {
        parse_response(format!("{head}\r\n\r\n").as_bytes(), method).map(|head| head.body)
    }

    #[test]
    fn the_body_of_a_request_ends_in_one_way_or_it_is_refused() {
        let good = [
            ("", Body::Length(0)),
            ("Content-Length: 5\r\n", Body::Length(5)),
            (
                "content-length: 5\r\nContent-Length: 5\r\n",
                Body::Length(5),
            ),
            ("Transfer-Encoding: Chunked\r\n", Body::Chunked),
        ];
        for (fields, body) in good {
            assert_eq!(request(fields).unwrap().body, body, "{fields}");
        }
        let ambiguous = [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nHost: a\r\n",
        ];
        for fields in ambiguous {
            assert!(
                matches!(request(fields), Err(HeadError::BadRequest(_))),
                "{fields}"
            );
        }
        let old = parse_request(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(matches!(old, Err(HeadError::BadRequest(_))));
    }

    #[test]
    fn what_is_no_http_is_malformed() {
        for head in [
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nName : x\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: \0\r\n\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n",
        ] {
            let read = parse_request(head.as_bytes());
            assert!(matches!(read, Err(HeadError::Malformed(_))), "{head:?}");
        }
    }

    #[test]
    fn too_many_fields_are_too_large() {
        let most = "A: b\r\n".repeat(MAX_HTTP_FIELDS);
        assert_eq!(
            request(&most).unwrap().fields.iter().count(),
            MAX_HTTP_FIELDS
        );
        assert_eq!(request(&(most + "A: b\r\n")), Err(HeadError::TooLarge));
    }

    #[test]
    fn the_body_of_a_response_ends_as_its_head_says() {
        let good = [
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 3",
                Body::Length(3),
            ),
            ("GET", "HTTP/1.1 200 OK", Body::UntilClose),
            ("GET", "HTTP/1.1 200", Body::UntilClose),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                Body::Chunked,
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
                Body::Chunked,
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 3",
                Body::Length(0),
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                Body::Length(0),
            ),
            (
                "GET",
                "HTTP/1.1 304 Same\r\nContent-Length: 3",
                Body::Length(0),
            ),
            ("GET", "HTTP/1.1 204 None", Body::Length(0)),
        ];
        for (method, head, body) in good {
            assert_eq!(response(method, head), Ok(body), "{method} {head}");
        }
        let bad = [
            "HTTP/1.1 099 Low",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4",
            "ICY 200 OK",
        ];
        for head in bad {
            assert!(
                matches!(response("GET", head), Err(HeadError::Malformed(_))),
                "{head}"
            );
        }
    }

    #[test]
    fn a_response_with_bare_line_feeds_is_read() {
        let head = parse_response(b"HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n", "GET");
        assert_eq!(head.unwrap().body, Body::Length(0));
    }

    fn collect(stream: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), HeadError> {
        let mut head = HeadBuffer::new();
        let mut rest = Vec::new();
        let mut complete = false;
        for piece in stream.chunks(piece) {
            let mut input = Buf::copy_of(piece);
            if !complete {
                complete = head.fill(&mut input)?;
            }
            rest.extend_from_slice(input.as_slice());
        }
        Ok((head.as_slice().to_vec(), rest))
    }

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_comes() {
        let stream = b"\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n\r\nbody";
        for piece in 1..=stream.len() {
            let (head, rest) = collect(stream, piece).unwrap();
            assert_eq!(head, b"GET / HTTP/1.1\r\nA: b\r\n\r\n");
            assert_eq!(rest, b"\r\nbody");
        }
    }

    #[test]
    fn a_head_without_end_is_too_large() {
        for byte in [b'a', b'\n'] {
            let most = vec![byte; MAX_HTTP_HEAD];
            assert!(collect(&most, 1_000).is_ok());
            let more = vec![byte; MAX_HTTP_HEAD + 1];
            assert_eq!(collect(&more, 1_000), Err(HeadError::TooLarge));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse_request(&bytes);
            let _ = parse_response(&bytes, "GET");
            let _ = collect(&bytes, 3);
        }

        #[test]
        fn almost_http_never_panics(
            line in "[A-Z]{1,4} [!-~]{1,9} HTTP/1\\.[0-2]",
            fields in prop::collection::vec("(Content-Length|Transfer-Encoding|[!-~]{1,5}): ?[ -~]{0,9}", 0..4),
        ) {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            let _ = parse_request(format!("{line}\r\n{fields}\r\n").as_bytes());
            let _ = parse_response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), "GET");
        }
    }
}
