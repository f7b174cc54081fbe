//! A whole SOCKS inbound.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use muxcool::proxy::socks::{Account, Inbound, InboundOptions};

use super::memory::End;
use super::pieces::Pieces;
use super::sockets::{ANSWER, Met, Targets, Visit, bounded, context, visit};

/// It wants passwords.
const PASSWORDS: u8 = 1;
/// It relays datagrams.
const DATAGRAMS: u8 = 2;

/// Where it listens, which its replies say.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1080);

/// The message of the only account.
const ACCOUNT: &[u8] = b"\x04user\x04pass";

/// A reply that ends well.
const REPLY: &[u8] = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38";
/// One to a command that is not served.
const NO_COMMAND: &[u8] = b"\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00";
/// Those of SOCKS4.
const GRANTED: &[u8] = b"\x00\x5a\x00\x00\x00\x00\x00\x00";
const REJECTED: &[u8] = b"\x00\x5b\x00\x00\x00\x00\x00\x00";

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let words = bounded(pieces.stream);
    let passwords = pieces.choice & PASSWORDS != 0;
    let targets = Arc::new(Targets::default());
    let visit = visit(&inbound(pieces.choice, targets.clone()), words);
    let met = targets.met.lock().pop();
    assert!(targets.met.lock().is_empty(), "more than was asked for");
    match &met {
        Some(met) => {
            is_served(met, &visit, words, passwords);
            says(&visit.heard, words, passwords, &[ANSWER]);
        }
        None => says(&visit.heard, words, passwords, &[NO_COMMAND, REJECTED, b""]),
    }
}

fn inbound(choice: u8, targets: Arc<Targets>) -> Inbound {
    let account = Account {
        user: "user".into(),
        password: "pass".into(),
    };
    let options = InboundOptions {
        accounts: (choice & PASSWORDS != 0).then(|| vec![account]),
        udp: choice & DATAGRAMS != 0,
        ip: None,
    };
    Inbound::new(context(targets), &options, LOCAL)
}

fn is_served(met: &Met, visit: &Visit, words: &[u8], passwords: bool) {
    assert!(visit.fine && visit.end == End::Orderly && met.end == End::Orderly);
    assert!(words.ends_with(&met.got.concat()), "bytes that nobody sent");
    assert_eq!(met.request.user.is_some(), passwords);
    assert_eq!(met.request.anonymous, !passwords);
    assert!(!passwords || shows_account(words), "in without a password");
}

fn shows_account(words: &[u8]) -> bool {
    words.windows(ACCOUNT.len()).any(|part| part == ACCOUNT)
}

/// The answers are those of the protocol, one for each message, in order.
fn says(heard: &[u8], words: &[u8], passwords: bool, last: &[&[u8]]) {
    let choices: &[&[u8]] = match (words.first(), passwords) {
        (Some(4), false) => &[GRANTED, b""],
        (Some(4), true) => &[b""],
        (Some(5), false) => &[b"\x05\x00", b"\x05\xff", b""],
        (Some(5), true) => &[b"\x05\x02", b"\x05\xff", b""],
        _ => return assert!(heard.is_empty(), "a word to who speaks no SOCKS"),
    };
    let verdicts: &[&[u8]] = match passwords && shows_account(words) {
        true => &[b"\x01\x00", b"\x01\xff", b""],
        false => &[b"\x01\xff", b""],
    };
    let replies: &[&[u8]] = &[REPLY, b""];
    let mut rest = heard;
    for stage in [choices, verdicts, replies, last] {
        let part = stage.iter().find(|part| rest.starts_with(part));
        rest = &rest[part.map_or(0, |part| part.len())..];
    }
    assert!(rest.is_empty(), "said {heard:?}");
}
