//! What a request is for (RFC 9112 section 3.2), without any I/O.

use std::fmt;

use super::wire::HeadError;
use crate::net::Address;

/// A host and, if it is given, a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Address,
    /// The port.
    pub port: Option<u16>,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

/// The target of a request other than CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A whole URL: whom it is for, and the rest in origin form.
    Absolute(Authority, String),
    /// A path, or `*`: whom it is for, the Host field says.
    Origin(String),
}

/// Reads the target of a request other than CONNECT.
///
/// # Errors
/// [`HeadError::BadRequest`] for a scheme other than `http`, else
/// [`HeadError::Malformed`].
pub fn parse_target(text: &str) -> Result<Target, HeadError> {
    if text.starts_with('/') || text == "*" {
        return Ok(Target::Origin(text.to_owned()));
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or(HeadError::Malformed("bad request target"))?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(HeadError::BadRequest("not an http URL"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Who logs in at the target does so by a field; this part is no host.
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    Ok(Target::Absolute(parse_authority(host)?, origin_form(path)))
}

/// Reads `host` or `host:port`; the port may be left empty. IPv6 addresses
/// need brackets.
///
/// # Errors
/// [`HeadError::Malformed`].
pub fn parse_authority(text: &str) -> Result<Authority, HeadError> {
    let (host, port) = split_port(text).ok_or(HeadError::Malformed("bad host"))?;
    Ok(Authority {
        host: host.parse().map_err(|_| HeadError::Malformed("bad host"))?,
        port: parse_port(port)?,
    })
}

/// The rest of a URL as the target's own server wants it, without fragment.
fn origin_form(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    }
}

fn split_port(text: &str) -> Option<(&str, &str)> {
    let end_of_host = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end_of_host);
    match port {
        "" => Some((host, "")),
        _ => Some((host, port.strip_prefix(':')?)),
    }
}

fn parse_port(text: &str) -> Result<Option<u16>, HeadError> {
    if text.is_empty() {
        return Ok(None);
    }
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|_| all_digits);
    port.map(Some).ok_or(HeadError::Malformed("bad port"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn absolute(text: &str) -> Option<(String, String)> {
        match parse_target(text) {
            Ok(Target::Absolute(authority, path)) => Some((authority.to_string(), path)),
            _ => None,
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("http://example.com", "example.com", "/"),
            ("HTTP://Example.com/a?b=c#d", "Example.com", "/a?b=c"),
            ("http://example.com:8080?q", "example.com:8080", "/?q"),
            ("http://example.com:#f", "example.com", "/"),
            ("http://user:pass@example.com/", "example.com", "/"),
            ("http://a@b@[::1]:80/x://y@z", "[::1]:80", "/x://y@z"),
        ];
        for (text, host, path) in cases {
            let expected = (host.to_owned(), path.to_owned());
            assert_eq!(absolute(text), Some(expected), "{text}");
        }
        assert_eq!(parse_target("/x"), Ok(Target::Origin("/x".into())));
        assert_eq!(parse_target("*"), Ok(Target::Origin("*".into())));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "example.com",
            "http:/x",
            "http://",
            "http:///x",
            "http://a b/",
            "x",
        ] {
            assert!(
                matches!(parse_target(text), Err(HeadError::Malformed(_))),
                "{text}"
            );
        }
        for text in ["https://example.com/", "ftp://example.com/"] {
            assert!(
                matches!(parse_target(text), Err(HeadError::BadRequest(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn authorities_are_read_strictly() {
        for (text, port) in [
            ("a:1", Some(1)),
            ("a", None),
            ("a:", None),
            ("[::1]:65535", Some(65_535)),
        ] {
            assert_eq!(parse_authority(text).unwrap().port, port, "{text}");
        }
        for text in [
            "", ":443", "a:b", "a:65536", "a:+1", "a:1:2", "::1", "[::1", "[::1]1", "a$b.com",
            "a:0x50",
        ] {
            assert!(parse_authority(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = parse_target(&text);
            let _ = parse_authority(&text);
            let _ = parse_target(&format!("http://{text}"));
        }

        #[test]
        fn an_authority_is_read_back(host in "[a-z][a-z0-9.-]{0,20}", port: Option<u16>) {
            let authority = Authority { host: host.parse().unwrap(), port };
            prop_assert_eq!(parse_authority(&authority.to_string()), Ok(authority));
        }
    }
}
