//! What the first bytes of a stream tell.

use super::{http, tls};
use crate::net::{Address, Domain};

/// What follows the length byte of a BitTorrent handshake.
const BITTORRENT: &[u8] = b"\x13BitTorrent protocol";

/// A protocol that can be told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A request of HTTP/1 with a Host field.
    Http,
    /// TLS with a server name.
    Tls,
    /// A handshake between BitTorrent peers.
    BitTorrent,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 3] = [Protocol::Http, Protocol::Tls, Protocol::BitTorrent];

    /// Its name in routing rules, as the reference has it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http => "http1",
            Protocol::Tls => "tls",
            Protocol::BitTorrent => "bittorrent",
        }
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sniffed {
    /// The protocol.
    pub protocol: Protocol,
    /// The host that it is for, in lower case; `None` for what is no host name,
    /// such as an IP address.
    pub host: Option<Domain>,
}

/// What can be said of the bytes so far. [`Known`](Verdict::Known) and
/// [`Unknown`](Verdict::Unknown) are final: more bytes change neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is this.
    Known(Sniffed),
    /// More bytes may tell.
    WantsMore,
    /// It is nothing that can be told.
    Unknown,
}

impl Verdict {
    /// `host` is whatever the protocol names.
    pub(super) fn known(protocol: Protocol, host: &[u8]) -> Self {
        let host = host_name(host);
        Verdict::Known(Sniffed { protocol, host })
    }

    fn or_else(self, other: impl FnOnce() -> Verdict) -> Verdict {
        match self {
            Verdict::Unknown => other(),
            told => told,
        }
    }
}

/// Looks at the first bytes of a stream. No two protocols begin alike, so that
/// the first one that may be it is asked alone.
pub fn examine(bytes: &[u8]) -> Verdict {
    http::examine(bytes)
        .or_else(|| tls::examine(bytes))
        .or_else(|| bittorrent(bytes))
}

fn bittorrent(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(BITTORRENT) {
        return Verdict::Known(Sniffed {
            protocol: Protocol::BitTorrent,
            host: None,
        });
    }
    match BITTORRENT.starts_with(bytes) {
        true => Verdict::WantsMore,
        false => Verdict::Unknown,
    }
}

/// A name, not an address and without a dot at its end, in lower case.
fn host_name(text: &[u8]) -> Option<Domain> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    match text.parse() {
        Ok(Address::Domain(name)) if !text.ends_with('.') => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(protocol: Protocol, host: Option<&str>) -> Verdict {
        let host = host.map(|name| Domain::new(name).unwrap());
        Verdict::Known(Sniffed { protocol, host })
    }

    /// The first verdict but "wants more" is the last, whatever follows.
    fn is_final(bytes: &[u8]) -> Verdict {
        let verdicts: Vec<Verdict> = (0..=bytes.len())
            .map(|len| examine(&bytes[..len]))
            .collect();
        let whole = verdicts.last().unwrap();
        let decided = verdicts.iter().skip_while(|v| **v == Verdict::WantsMore);
        decided.for_each(|verdict| assert_eq!(verdict, whole));
        whole.clone()
    }

    #[test]
    fn nothing_yet_may_become_anything() {
        assert_eq!(examine(b""), Verdict::WantsMore);
    }

    #[test]
    fn others_are_told_apart_at_once() {
        for first in [
            b"SSH-2.0-x".as_slice(),
            b"\0\x0c\0\x01",
            b"\x05\x01\0",
            b"\xff",
        ] {
            assert_eq!(examine(&first[..1]), Verdict::Unknown, "{first:?}");
            assert_eq!(is_final(first), Verdict::Unknown);
        }
    }

    #[test]
    fn bittorrent_is_known_by_its_name() {
        let hello = [BITTORRENT, &[0; 8], &[7; 40]].concat();
        assert_eq!(is_final(&hello), known(Protocol::BitTorrent, None));
        assert_eq!(is_final(b"\x13BitTorrent protocoI"), Verdict::Unknown);
        assert_eq!(examine(&hello[..19]), Verdict::WantsMore);
    }

    #[test]
    fn only_names_are_hosts() {
        let table = [
            ("Example.COM", Some("example.com")),
            ("a_b-c.d", Some("a_b-c.d")),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("2001:db8::1", None),
            ("example.com.", None),
            ("exa$mple.com", None),
            ("ex\u{e4}mple.com", None),
            ("", None),
        ];
        for (text, name) in table {
            let found = host_name(text.as_bytes());
            assert_eq!(found.as_ref().map(Domain::as_str), name, "{text}");
        }
        assert_eq!(host_name(b"\xff"), None);
        assert_eq!(host_name(&[b'a'; 256]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_get_one_verdict(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            is_final(&bytes);
        }

        #[test]
        fn likely_beginnings_get_one_verdict(
            start in prop::sample::select(vec![
                b"GET / HTTP/1.1\r\n".as_slice(),
                b"\x16\x03\x01",
                b"\x16\x03\x01\x00\x20\x01\x00\x00\x40\x03\x03",
                b"\x13BitTorrent",
                b"host: ",
            ]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            is_final(&[start, &rest].concat());
        }
    }
}
