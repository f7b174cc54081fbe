//! The token: what the other machine must know, in one string to be pasted.
//!
//! ```text
//! 1   version
//! 1   purpose
//! 16  id (VLESS)
//! 32  pin: SHA-256 of the certificate
//! 2   port
//! 1   hosts, then of each: 1 length, name or address
//! 1   services, then of each: 1 length, name
//! 4   CRC-32 of all before it
//! ```
//!
//! Integers are in network order; the whole is base64url without padding. Behind
//! it `@HOST` or `@HOST:PORT` may stand, which then is dialled.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use uuid::Uuid;

use crate::net::Address;
use crate::reverse::Announcement;
use crate::transport::tls::Pin;

/// Of the layout above. Its tokens begin with "AQ", so none looks like an option.
const VERSION: u8 = 1;

/// Of this version and of all that may follow, up to the fourth.
const BEGINNING: char = 'A';

/// Stands for the host in what is printed for the other machine.
pub(super) const PLACEHOLDER: &str = "HOST";

/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// Takes what was cut within a character's bits; it is complained of later.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Who is to use a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `muxcool bridge`.
    Bridge,
    /// `muxcool forward dial`.
    Forward,
}

/// What is in a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) purpose: Purpose,
    pub(super) id: Uuid,
    pub(super) pin: Pin,
    /// Where to dial: names or addresses of one machine; none if its owner has
    /// to put one in.
    pub(super) hosts: Vec<Address>,
    pub(super) port: u16,
    /// Services that a portal had when it made the token.
    pub(super) services: Vec<String>,
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenError {
    Empty,
    /// It does not begin as tokens do.
    Beginning,
    /// A character that no token has, and its place from 1.
    Character(char, usize),
    Cut,
    TooLong,
    Damaged,
    Version(u8),
    /// What behind the `@` is no host.
    Host,
    /// Behind the `@` there still is the word for which a host is to be put in.
    Placeholder,
}

impl Token {
    /// Where it leads, for tags and log lines.
    pub(super) fn place(&self) -> String {
        let host = self.hosts.first().map(ToString::to_string);
        format!("{}:{}", host.unwrap_or_default(), self.port)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.purpose.code()];
        out.extend(self.id.as_bytes());
        out.extend(self.pin.to_bytes());
        out.extend(self.port.to_be_bytes());
        put_texts(&mut out, self.hosts.iter().map(bare));
        put_texts(&mut out, self.services.iter().cloned());
        let sum = crc32fast::hash(&out);
        out.extend(sum.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        let mut rest = Rest(bytes);
        match rest.byte()? {
            VERSION => {}
            other => return Err(TokenError::Version(other)),
        }
        let purpose = rest.byte()?;
        let id = Uuid::from_bytes(rest.array()?);
        let pin = Pin::from_bytes(rest.array()?);
        let port = u16::from_be_bytes(rest.array()?);
        let (hosts, services) = (rest.texts()?, rest.texts()?);
        let summed = bytes.len() - rest.0.len();
        rest.finish(&bytes[..summed])?;
        let host = |text: &&str| text.parse().map_err(|_| TokenError::Damaged);
        let services = services.into_iter().map(str::to_owned).collect::<Vec<_>>();
        match services.iter().all(|name| Announcement::is_service(name)) {
            true => Ok(Self {
                purpose: Purpose::of(purpose)?,
                id,
                pin,
                hosts: hosts.iter().map(host).collect::<Result<_, _>>()?,
                port,
                services,
            }),
            false => Err(TokenError::Damaged),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.bytes()))
    }
}

/// It is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Blanks and line breaks, which come with what is pasted, do not count.
impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text: String = text.split_ascii_whitespace().collect();
        let (token, place) = match text.split_once('@') {
            Some((token, place)) => (token, Some(place)),
            None => (text.as_str(), None),
        };
        let mut token = decode(token)?;
        if let Some(place) = place {
            (token.hosts, token.port) = read_place(place, token.port)?;
        }
        Ok(token)
    }
}

impl Purpose {
    fn code(self) -> u8 {
        match self {
            Purpose::Bridge => 0,
            Purpose::Forward => 1,
        }
    }

    fn of(code: u8) -> Result<Self, TokenError> {
        match code {
            0 => Ok(Purpose::Bridge),
            1 => Ok(Purpose::Forward),
            _ => Err(TokenError::Version(VERSION)),
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Empty => f.write_str("the token is empty"),
            TokenError::Beginning => f.write_str(
                "this is no token, or its beginning is missing: tokens begin with \"AQ\"",
            ),
            TokenError::Character(c, at) => write!(
                f,
                "the token has {c:?} as its character {at}, which no token has: copy it again"
            ),
            TokenError::Cut => f.write_str("the token is cut off: copy all of it"),
            TokenError::TooLong => {
                f.write_str("something stands behind the token's end: copy it alone")
            }
            TokenError::Damaged => {
                f.write_str("the token is damaged (its checksum is wrong): copy it again")
            }
            TokenError::Version(_) => {
                f.write_str("the token is damaged, or by a newer muxcool than this one")
            }
            TokenError::Host => {
                f.write_str("what stands behind the token's \"@\" is no HOST or HOST:PORT")
            }
            TokenError::Placeholder => write!(
                f,
                "put in the name or address of the machine that printed the token for {PLACEHOLDER}"
            ),
        }
    }
}

impl std::error::Error for TokenError {}

fn decode(text: &str) -> Result<Token, TokenError> {
    if text.is_empty() {
        return Err(TokenError::Empty);
    }
    let known = |c: char| URL_SAFE.as_str().contains(c);
    if let Some((at, c)) = text.chars().enumerate().find(|(_, c)| !known(*c)) {
        return Err(TokenError::Character(c, at + 1));
    }
    if !text.starts_with(BEGINNING) {
        return Err(TokenError::Beginning);
    }
    // A lone character at the end has not even a byte.
    let whole = match text.len() % 4 {
        1 => &text[..text.len() - 1],
        _ => text,
    };
    let bytes = BASE64.decode(whole).map_err(|_| TokenError::Damaged)?;
    let token = Token::from_bytes(&bytes)?;
    match token.to_string() == text {
        true => Ok(token),
        false => Err(TokenError::TooLong),
    }
}

/// `HOST` or `HOST:PORT`, IPv6 in brackets if a port follows.
fn read_place(text: &str, port: u16) -> Result<(Vec<Address>, u16), TokenError> {
    let has_port = |text: &str| text.starts_with('[') || text.matches(':').count() == 1;
    let (host, port) = match text.rsplit_once(':').filter(|_| has_port(text)) {
        Some((host, given)) if !text.ends_with(']') => {
            (host, given.parse().map_err(|_| TokenError::Host)?)
        }
        _ => (text, port),
    };
    if host == PLACEHOLDER {
        return Err(TokenError::Placeholder);
    }
    let host = host.parse().map_err(|_| TokenError::Host)?;
    match port {
        0 => Err(TokenError::Host),
        _ => Ok((vec![host], port)),
    }
}

/// As it stands in the token: IPv6 has no brackets there.
fn bare(host: &Address) -> String {
    match host {
        Address::Ip(ip) => ip.to_string(),
        Address::Domain(name) => name.to_string(),
    }
}

/// Texts of up to 255 bytes, up to 255 of them, which is what arguments give.
fn put_texts(out: &mut Vec<u8>, texts: impl ExactSizeIterator<Item = String>) {
    let most = usize::from(u8::MAX);
    out.push(texts.len().min(most) as u8);
    for text in texts.take(most) {
        let bytes = text.as_bytes();
        let kept = &bytes[..bytes.len().min(most)];
        out.push(kept.len() as u8);
        out.extend(kept);
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TokenError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TokenError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        self.take(N)?.try_into().map_err(|_| TokenError::Cut)
    }

    fn byte(&mut self) -> Result<u8, TokenError> {
        self.array().map(|[byte]| byte)
    }

    fn texts(&mut self) -> Result<Vec<&'a str>, TokenError> {
        let count = self.byte()?;
        (0..count).map(|_| self.text()).collect()
    }

    fn text(&mut self) -> Result<&'a str, TokenError> {
        let len = self.byte()?;
        let bytes = self.take(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| TokenError::Damaged)
    }

    /// Only the checksum of `summed` may be left.
    fn finish(mut self, summed: &[u8]) -> Result<(), TokenError> {
        let sum = self.array::<CHECKSUM>()?;
        match (sum == crc32fast::hash(summed).to_be_bytes(), self.0) {
            (true, []) => Ok(()),
            (true, _) => Err(TokenError::TooLong),
            (false, _) => Err(TokenError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn any_host() -> impl Strategy<Value = Address> {
        prop_oneof![
            any::<IpAddr>().prop_map(Address::from),
            "[a-z][a-z0-9-]{0,20}(\\.[a-z]{1,10}){0,3}".prop_map(|name| name.parse().unwrap()),
        ]
    }

    fn any_token() -> impl Strategy<Value = Token> {
        (
            any::<bool>(),
            any::<[u8; 16]>(),
            any::<[u8; 32]>(),
            prop::collection::vec(any_host(), 0..4),
            1..=u16::MAX,
            prop::collection::vec("[a-z0-9][a-z0-9-]{0,20}", 0..5),
        )
            .prop_map(|(bridge, id, pin, hosts, port, services)| Token {
                purpose: match bridge {
                    true => Purpose::Bridge,
                    false => Purpose::Forward,
                },
                id: Uuid::from_bytes(id),
                pin: Pin::from_bytes(pin),
                hosts,
                port,
                services,
            })
    }

    fn token() -> Token {
        Token {
            purpose: Purpose::Bridge,
            id: Uuid::from_bytes([7; 16]),
            pin: Pin::from_bytes([9; 32]),
            hosts: vec!["portal.example.com".parse().unwrap()],
            port: 8443,
            services: vec!["web".into()],
        }
    }

    /// Tokens are in units and scripts: what was made once is read for ever.
    #[test]
    fn the_layout_stays() {
        let text = concat!(
            "AQAHBwcHBwcHBwcHBwcHBwcHCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkg-w",
            "EScG9ydGFsLmV4YW1wbGUuY29tAQN3ZWKufu45",
        );
        assert_eq!(token().to_string(), text);
        assert_eq!(text.parse(), Ok(token()));
    }

    #[test]
    fn a_host_behind_it_is_dialled_instead() {
        let table = [
            ("other.example.com", "other.example.com", 8443),
            ("192.0.2.1:99", "192.0.2.1", 99),
            ("::1", "::1", 8443),
            ("[::1]", "::1", 8443),
            ("[::1]:99", "::1", 99),
        ];
        for (place, host, port) in table {
            let read: Token = format!("{}@{place}", token()).parse().unwrap();
            let hosts: Vec<Address> = vec![host.parse().unwrap()];
            assert_eq!((read.hosts, read.port), (hosts, port), "{place}");
        }
        for place in ["HOST", "HOST:99"] {
            let read = format!("{}@{place}", token()).parse::<Token>();
            assert_eq!(read, Err(TokenError::Placeholder), "{place}");
        }
        for place in ["", ":1", "a:b", "a:0", "a:65536", "a b/c", "[::1]x:1"] {
            let read = format!("{}@{place}", token()).parse::<Token>();
            assert!(read.is_err(), "{place}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = token().to_string();
        assert_eq!(" \n".parse::<Token>(), Err(TokenError::Empty));
        let marked = text.replacen('A', "!", 1);
        assert_eq!(marked.parse::<Token>(), Err(TokenError::Character('!', 1)));
        for other in ["TOKEN", &text[5..]] {
            assert_eq!(other.parse::<Token>(), Err(TokenError::Beginning));
        }
        let longer = format!("{text}AAAA");
        assert_eq!(longer.parse::<Token>(), Err(TokenError::TooLong));
        let newer = text.replacen("AQ", "Ag", 1);
        assert_eq!(newer.parse::<Token>(), Err(TokenError::Version(2)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(token in any_token()) {
            let text = token.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            prop_assert!(!text.starts_with('-'));
            prop_assert_eq!(text.parse(), Ok(token.clone()));
            let wrapped = format!("  {}\n{}\r\n", &text[..20], &text[20..]);
            prop_assert_eq!(wrapped.parse(), Ok(token));
        }

        #[test]
        fn each_cut_is_told(token in any_token(), part in 0.0..1.0f64) {
            let text = token.to_string();
            let kept = (1.0 + part * (text.len() - 1) as f64) as usize;
            prop_assert_eq!(text[..kept].parse::<Token>(), Err(TokenError::Cut));
        }

        #[test]
        fn no_changed_character_goes_unseen(token in any_token(), at: prop::sample::Index, by in 1..64usize) {
            let mut text = token.to_string().into_bytes();
            let at = at.index(text.len());
            let alphabet = URL_SAFE.as_str().as_bytes();
            let old = alphabet.iter().position(|b| *b == text[at]).unwrap();
            text[at] = alphabet[(old + by) % alphabet.len()];
            prop_assert!(String::from_utf8(text).unwrap().parse::<Token>().is_err());
        }

        #[test]
        fn no_text_is_a_panic(text: String, bytes: Vec<u8>) {
            let _ = text.parse::<Token>();
            let _ = Token::from_bytes(&bytes);
        }
    }
}
