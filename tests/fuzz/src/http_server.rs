//! A whole HTTP inbound. The input is what every target answers, behind its
//! length of two bytes, and then what the visitor says.

use std::sync::Arc;

use muxcool::limits::MAX_HTTP_FIELDS;
use muxcool::link::{DispatchError, Dispatcher, Link, Request};
use muxcool::proxy::http::wire::{Body, HeadError, parse_request};
use muxcool::proxy::http::{Inbound, InboundOptions};
use muxcool::proxy::socks::Account;
use parking_lot::Mutex;

use super::http_chunked;
use super::memory::{End, Feed, Kept, Sink};
use super::pieces::Pieces;
use super::sockets::{Targets, bounded, context, visit};

/// It wants passwords.
const PASSWORDS: u8 = 1;
/// Requests in origin form go to their Host.
const TRANSPARENT: u8 = 2;
/// The targets' answers end with an error.
const BREAKS: u8 = 4;

/// The only account, as a visitor shows it.
const ACCOUNT: &[u8] = b"Basic dXNlcjpwYXNz";

/// What a proxy may add to an answer, or say instead of it.
const HEAD: usize = 300;

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let (answer, words) = split(bounded(pieces.stream));
    let targets = Arc::new(Servers {
        answer: answer.to_vec(),
        end: match pieces.choice & BREAKS {
            0 => End::Orderly,
            _ => End::Broken,
        },
        tunnels: Targets::default(),
        met: Mutex::default(),
    });
    let inbound = Inbound::new(context(targets.clone()), options(pieces.choice));
    let visit = visit(&inbound, words);
    let tunnels = targets.tunnels.met.lock();
    let met = targets.met.lock();
    assert!(tunnels.len() <= 1, "a tunnel does not end");
    for tunnel in tunnels.iter() {
        assert!(words.ends_with(&tunnel.got.concat()));
    }
    for (request, kept) in met.iter() {
        assert!(kept.is_let_go(), "a thread is left");
        is_one_request(request, kept, words);
    }
    let served = tunnels.len() + met.len();
    let passwords = pieces.choice & PASSWORDS != 0;
    let shown = || {
        words
            .windows(ACCOUNT.len())
            .any(|part| part.eq_ignore_ascii_case(ACCOUNT))
    };
    assert!(
        served == 0 || !passwords || shown(),
        "in without a password"
    );
    // An answer in chunks may grow: a byte is a chunk of six.
    assert!(visit.heard.len() <= (served + 1) * (HEAD + 6 * answer.len()));
}

/// The target's answer and the visitor's words.
fn split(stream: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = stream.split_first_chunk::<2>() else {
        return (&[], stream);
    };
    let len = usize::from(u16::from_be_bytes(*length));
    rest.split_at(len.min(rest.len()))
}

fn options(choice: u8) -> InboundOptions {
    let account = Account {
        user: "user".into(),
        password: "pass".into(),
    };
    InboundOptions {
        accounts: (choice & PASSWORDS != 0)
            .then_some(account)
            .into_iter()
            .collect(),
        allow_transparent: choice & TRANSPARENT != 0,
    }
}

/// Tunnels go to targets, plain requests to servers that all say the same.
struct Servers {
    answer: Vec<u8>,
    end: End,
    tunnels: Targets,
    met: Mutex<Vec<(Request, Kept)>>,
}

impl Dispatcher for Servers {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        self.tunnels.dispatch(request, link)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        if request.target.port == 1 {
            return Err(DispatchError::Refused("nobody is there"));
        }
        let (sink, kept) = Sink::new(false);
        self.met.lock().push((request.clone(), kept));
        Ok(Link::new(Feed::new([&self.answer[..]], self.end), sink))
    }
}

/// What a server got is one request to it in origin form, or the beginning of
/// one; nothing that the visitor put behind it.
fn is_one_request(request: &Request, kept: &Kept, words: &[u8]) {
    let bytes = kept.bytes();
    if bytes.is_empty() {
        return assert_ne!(kept.end(), Some(End::Orderly));
    }
    let ends = bytes.windows(4).position(|part| part == b"\r\n\r\n");
    let (head, body) = bytes.split_at(ends.expect("a whole head") + 4);
    let head = match parse_request(head) {
        // With Host and Connection it may be more than a visitor may send.
        Err(HeadError::TooLarge) => return assert!(lines(head) <= MAX_HTTP_FIELDS + 2 + 2),
        parsed => parsed.expect("a request that servers read"),
    };
    assert_eq!(head.minor, 1);
    let host = head.fields.all("Host").next().expect("a Host");
    let host = std::str::from_utf8(host).expect("a host");
    let address = request.target.address.to_string();
    assert!(host.starts_with(&address), "{host} is not {address}");
    let hops = ["Proxy-Authorization", "Proxy-Connection", "Upgrade", "TE"];
    assert!(
        hops.iter()
            .all(|name| head.fields.all(name).next().is_none())
    );
    assert_eq!(
        head.fields.all("Connection").collect::<Vec<_>>(),
        [b"close"]
    );
    let whole = match head.body {
        Body::Length(len) => {
            assert!(body.len() as u64 <= len && (body.is_empty() || contains(words, body)));
            body.len() as u64 == len
        }
        Body::Chunked => {
            let decoded = http_chunked::decode([body]);
            assert_eq!(decoded.error, None);
            assert!(decoded.rest.as_ref().is_none_or(Vec::is_empty));
            decoded.rest.is_some()
        }
        Body::UntilClose => panic!("a request that ends with the connection"),
    };
    assert!(whole || kept.end() != Some(End::Orderly), "a short end");
}

/// With the first one, and the empty one at the end.
fn lines(head: &[u8]) -> usize {
    head.iter().filter(|byte| **byte == b'\n').count()
}

fn contains(words: &[u8], part: &[u8]) -> bool {
    words.windows(part.len()).any(|window| window == part)
}
