//! The host of an HTTP/1 request.

use super::wire::{Protocol, Verdict};

/// The reference's, and two more.
const METHODS: [&str; 9] = [
    "get", "post", "head", "put", "delete", "options", "connect", "patch", "trace",
];

/// What the request line ends with, but for the last digit.
const VERSION: &[u8] = b" HTTP/1.";

/// Looks for a Host field, in lines that are whole: the rest of a name may
/// still be under way. A request without one is not told from others.
pub(super) fn examine(bytes: &[u8]) -> Verdict {
    match begins_with_method(bytes) {
        Some(true) => {}
        Some(false) => return Verdict::WantsMore,
        None => return Verdict::Unknown,
    }
    let mut lines = whole_lines(bytes);
    let Some(request) = lines.next() else {
        return Verdict::WantsMore;
    };
    if !is_request_line(request) {
        return Verdict::Unknown;
    }
    for line in lines {
        if line.is_empty() {
            return Verdict::Unknown;
        }
        if let Some(host) = host(line) {
            return Verdict::known(Protocol::Http, without_port(host));
        }
    }
    Verdict::WantsMore
}

/// Whether it does; `None` if it cannot, whatever follows.
fn begins_with_method(bytes: &[u8]) -> Option<bool> {
    let matches = METHODS.iter().filter_map(|method| {
        let mut pairs = bytes.iter().zip(method.as_bytes());
        let is_same = pairs.all(|(byte, letter)| byte.eq_ignore_ascii_case(letter));
        match bytes.get(method.len()) {
            Some(b' ') => is_same.then_some(true),
            Some(_) => None,
            None => is_same.then_some(false),
        }
    });
    matches.max()
}

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter_map(|line| line.strip_suffix(b"\n"))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn is_request_line(line: &[u8]) -> bool {
    line.split_last()
        .is_some_and(|(minor, rest)| minor.is_ascii_digit() && rest.ends_with(VERSION))
}

/// The value of a Host field.
fn host(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let is_host = name.eq_ignore_ascii_case(b"host");
    is_host.then(|| value.get(1..).unwrap_or_default().trim_ascii())
}

/// `host` of `host:port`; other colons belong to an address.
fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
        return host;
    };
    let (name, port) = host.split_at(colon);
    match port.iter().skip(1).all(u8::is_ascii_digit) {
        true => name,
        false => host,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Sniffed, examine};
    use super::*;

    /// The host that is found, with each byte more.
    #[track_caller]
    fn host_of(request: &str) -> Option<String> {
        let bytes = request.as_bytes();
        let decided = (0..=bytes.len())
            .map(|len| examine(&bytes[..len]))
            .find(|verdict| *verdict != Verdict::WantsMore);
        assert_eq!(decided, Some(examine(bytes)), "{request:?}");
        match decided {
            Some(Verdict::Known(Sniffed { protocol, host })) => {
                assert_eq!(protocol, Protocol::Http);
                Some(host.map(|name| name.to_string()).unwrap_or_default())
            }
            _ => None,
        }
    }

    #[test]
    fn the_host_field_names_the_host() {
        let table = [
            ("GET / HTTP/1.1\r\nHost: Example.com\r\n", "example.com"),
            ("get / HTTP/1.0\nhost:a.com\n", "a.com"),
            (
                "POST /x HTTP/1.1\r\nA: b\r\nHOST:  a.com:8080 \r\n\r\nbody",
                "a.com",
            ),
            (
                "CONNECT a.com:443 HTTP/1.1\r\nHost: a.com:443\r\n\r\n",
                "a.com",
            ),
            (
                "PATCH / HTTP/1.1\r\nHost: a.com\r\nHost: b.com\r\n\r\n",
                "a.com",
            ),
            ("GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: a$b.com\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: a.com:x\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", ""),
        ];
        for (request, host) in table {
            assert_eq!(host_of(request).as_deref(), Some(host), "{request:?}");
        }
    }

    #[test]
    fn what_is_no_such_request_is_unknown() {
        for other in [
            "GETTY / HTTP/1.1\r\nHost: a.com\r\n\r\n",
            "BREW / HTTP/1.1\r\nHost: a.com\r\n\r\n",
            "OPTIONS rtsp://a.com RTSP/1.0\r\nHost: a.com\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a.com\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nHost: a.com\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(host_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_line_that_is_cut_is_waited_for() {
        for part in [
            "G",
            "GET",
            "GET / HT",
            "GET / HTTP/1.1\r\nHost: exam",
            "GET / HTTP/1.1\r\nHost: a.com\r",
        ] {
            assert_eq!(examine(part.as_bytes()), Verdict::WantsMore, "{part:?}");
        }
        let field = "GET / HTTP/1.1\r\nX-Host: a.com\r\nHost : b.com\r\n Host: c.com\r\n";
        assert_eq!(examine(field.as_bytes()), Verdict::WantsMore);
    }
}
