//! The HTTP heads of an upgrade (RFC 6455, section 4): bytes to values and
//! back.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::Header;
use sha1_smol::Sha1;

use super::Options;
use crate::limits::MAX_HTTP_FIELDS;

/// The extension by which two muxcool know each other: an empty message is the
/// end of its sender's direction.
pub const END_MARK: &str = "x-muxcool-end";

/// What every server appends to the key before it hashes it.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const VERSION: &str = "13";

/// A visitor's request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// What proves that it was.
    accept: String,
    /// Whether the visitor is a muxcool.
    pub marks: bool,
}

/// Why a visitor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no HTTP/1 request.
    Malformed,
    /// It names no host, several, or what cannot be one. Which one it names
    /// does not matter.
    Host,
    /// The path is not ours.
    Path,
    /// The method is not GET.
    Method,
    /// It does not ask for WebSocket, version 13.
    NotWebSocket,
}

/// Why a server's answer will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// It is no HTTP/1 response.
    Malformed,
    /// It has this status instead of 101.
    Status(u16),
    /// It is no agreement to WebSocket.
    NotWebSocket,
    /// It answers another request.
    Key,
    /// It uses an extension that was not offered.
    Extension,
}

/// The request of a client, to a server of this name; `key` is 16 random bytes.
pub fn request(options: &Options, server: &str, key: [u8; 16]) -> Vec<u8> {
    let host = options.host().unwrap_or(server);
    let mut head = format!(
        "GET {} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {}\r\n\
         Sec-WebSocket-Version: {VERSION}\r\n\
         Sec-WebSocket-Extensions: {END_MARK}\r\n",
        options.path,
        STANDARD.encode(key),
    );
    for (name, value) in &options.headers {
        if !name.eq_ignore_ascii_case("host") {
            head.extend([name, ": ", value, "\r\n"]);
        }
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads a request; the checks are V2Ray's, and in its order.
///
/// # Errors
/// When it has to be refused.
pub fn read_request(head: &[u8], options: &Options) -> Result<Upgrade, Refusal> {
    let head = in_known_version(head);
    let mut fields = [httparse::EMPTY_HEADER; MAX_HTTP_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    if !matches!(request.parse(&head), Ok(httparse::Status::Complete(_))) {
        return Err(Refusal::Malformed);
    }
    let fields = Fields(request.headers);
    if !fields.names_a_host(request.version) {
        return Err(Refusal::Host);
    }
    let path = request.path.map(path_of);
    if path.is_none_or(|path| decoded(path) != options.bare_path().as_bytes()) {
        return Err(Refusal::Path);
    }
    if !fields.asks_for_websocket() {
        return Err(Refusal::NotWebSocket);
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    let key = fields.first("sec-websocket-key").unwrap_or_default();
    if key.is_empty() || !fields.has_token("sec-websocket-version", VERSION) {
        return Err(Refusal::NotWebSocket);
    }
    Ok(Upgrade {
        accept: accept_of(key),
        marks: fields.has_token("sec-websocket-extensions", END_MARK),
    })
}

impl Upgrade {
    /// The answer.
    pub fn response(&self) -> Vec<u8> {
        let extension = match self.marks {
            true => format!("Sec-WebSocket-Extensions: {END_MARK}\r\n"),
            false => String::new(),
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\
             {extension}\r\n",
            self.accept
        )
        .into_bytes()
    }
}

impl Refusal {
    /// The answer. V2Ray's, but that the connection is closed.
    pub fn response(self) -> Vec<u8> {
        let (status, version) = match self {
            Refusal::Path => ("404 Not Found", false),
            Refusal::Method => ("405 Method Not Allowed", true),
            Refusal::Malformed | Refusal::Host => ("400 Bad Request", false),
            Refusal::NotWebSocket => ("400 Bad Request", true),
        };
        let version = match version {
            true => format!("Sec-WebSocket-Version: {VERSION}\r\n"),
            false => String::new(),
        };
        format!("HTTP/1.1 {status}\r\n{version}Connection: close\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    }
}

/// Reads a server's answer to the request with `key`. Returns whether the server
/// is a muxcool.
///
/// # Errors
/// When it does not agree.
pub fn read_response(head: &[u8], key: [u8; 16]) -> Result<bool, ResponseError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HTTP_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    if !matches!(response.parse(head), Ok(httparse::Status::Complete(_))) {
        return Err(ResponseError::Malformed);
    }
    match response.code {
        Some(101) => {}
        Some(other) => return Err(ResponseError::Status(other)),
        None => return Err(ResponseError::Malformed),
    }
    let fields = Fields(response.headers);
    if !fields.asks_for_websocket() {
        return Err(ResponseError::NotWebSocket);
    }
    let accept = accept_of(STANDARD.encode(key).as_bytes());
    if fields.first("sec-websocket-accept") != Some(accept.as_bytes()) {
        return Err(ResponseError::Key);
    }
    let mut extensions = fields.tokens("sec-websocket-extensions").peekable();
    let marks = extensions.peek().is_some();
    match extensions.all(|token| token == END_MARK.as_bytes()) {
        true => Ok(marks),
        false => Err(ResponseError::Extension),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Malformed => "the visitor does not speak HTTP/1",
            Refusal::Host => "the visitor did not name the host as HTTP/1 wants it",
            Refusal::Path => "the visitor asked for another path",
            Refusal::Method => "the visitor's method is not GET",
            Refusal::NotWebSocket => "the visitor did not ask for WebSocket",
        })
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::Malformed => f.write_str("the server does not speak HTTP/1"),
            ResponseError::Status(404) => {
                f.write_str("the server answered 404: is the path the same at both ends?")
            }
            ResponseError::Status(status) => write!(f, "the server answered {status}"),
            ResponseError::NotWebSocket => f.write_str("the server does not agree to WebSocket"),
            ResponseError::Key => f.write_str("the server answered another request"),
            ResponseError::Extension => {
                f.write_str("the server uses an extension that was not offered")
            }
        }
    }
}

impl std::error::Error for ResponseError {}

/// With a version that `httparse` knows instead of a later one of HTTP/1, which
/// means nothing else to who does not know it (RFC 9110, section 2.5).
fn in_known_version(head: &[u8]) -> Vec<u8> {
    let mut head = head.to_vec();
    let first_line = head.split_mut(|byte| *byte == b'\n').next();
    if let Some([.., b'/', b'1', b'.', minor @ b'2'..=b'9', b'\r']) = first_line {
        *minor = b'1';
    }
    head
}

/// The path of a request's target, which may be a whole URL (RFC 9112,
/// section 3.2.2).
fn path_of(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    };
    path.split('?').next().unwrap_or_default()
}

/// Whether Go, and so V2Ray, takes the byte for one of a host.
fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=@[]_~".contains(&byte)
}

struct Fields<'h, 'b>(&'h [Header<'b>]);

impl<'h, 'b> Fields<'h, 'b> {
    fn all(&self, name: &'h str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let fields = self.0.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    fn first(&self, name: &'h str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// As HTTP/1.1 demands it (RFC 9112, section 3.2); HTTP/1.0 does not.
    fn names_a_host(&self, version: Option<u8>) -> bool {
        let mut hosts = self.all("host");
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.iter().copied().all(may_be_in_host),
            (None, _) => version == Some(0),
            (Some(_), Some(_)) => false,
        }
    }

    fn tokens(&self, name: &'h str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let parts = self.all(name).flat_map(|value| value.split(|b| *b == b','));
        parts
            .map(<[u8]>::trim_ascii)
            .filter(|part| !part.is_empty())
    }

    fn has_token(&self, name: &'h str, token: &str) -> bool {
        self.tokens(name)
            .any(|each| each.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn asks_for_websocket(&self) -> bool {
        self.has_token("connection", "upgrade") && self.has_token("upgrade", "websocket")
    }
}

fn accept_of(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(KEY_SUFFIX);
    STANDARD.encode(hash.digest().bytes())
}

/// With the bytes that are written in hexadecimal behind `%`.
fn decoded(path: &str) -> Vec<u8> {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = code_in_front(part).unwrap_or((b'%', part));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn code_in_front(part: &str) -> Option<(u8, &str)> {
    let (code, rest) = part.split_at_checked(2)?;
    let byte = u8::from_str_radix(code, 16).ok()?;
    (!code.starts_with('+')).then_some((byte, rest))
}
