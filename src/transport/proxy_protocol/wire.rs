//! PROXY headers as bytes: pure functions on slices.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{HeaderError, Version};
use crate::limits::{MAX_PROXY_HEADER, MAX_PROXY_LINE};
use crate::net::Origin;
use crate::wire::{Cursor, Put, Truncated};

/// With which a line of version 1 begins.
const PREFIX: &[u8] = b"PROXY ";
const LINE_END: &[u8] = b"\r\n";
const TCP4: &str = "TCP4";
const TCP6: &str = "TCP6";
const UNKNOWN: &str = "UNKNOWN";

/// With which a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, the command, the family, and the length of what follows.
const FIXED: usize = SIGNATURE.len() + 4;
/// Version 2 in the upper half.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families, in the upper half of their byte.
const UNSPECIFIED: u8 = 0x0;
const INET: u8 = 0x1;
const INET6: u8 = 0x2;
const UNIX: u8 = 0x3;
/// Transports, in the lower half.
const STREAM: u8 = 0x1;
const DATAGRAM: u8 = 0x2;
/// Bytes of two Unix addresses.
const UNIX_ADDRESSES: usize = 2 * 108;

/// The two ends of a connection, as who accepted it saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Who connected.
    pub source: SocketAddr,
    /// To which address.
    pub destination: SocketAddr,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Nothing of use: whoever sends it speaks for himself (`LOCAL`), or does
    /// not know for whom else, or for whom has no Internet address.
    Unknown,
    /// Whose connection it is.
    Proxied(Ends),
}

/// Reads the header, of either version, that `bytes` begin with, and its
/// length; `None` while it is not whole. Further fields of version 2 are
/// skipped, and so is what version 1 says after `UNKNOWN`.
///
/// # Errors
/// [`HeaderError`], as soon as `bytes` cannot become a header.
pub fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if begins(bytes, PREFIX) {
        return decode_line(bytes);
    }
    if begins(bytes, SIGNATURE) {
        return decode_binary(bytes);
    }
    Err(HeaderError::Missing)
}

/// Whether `bytes` begin with `start`, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes.get(..len) == start.get(..len)
}

fn decode_line(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let most = bytes.get(..MAX_PROXY_LINE).unwrap_or(bytes);
    let end = most.windows(LINE_END.len()).position(|w| w == LINE_END);
    let Some(end) = end else {
        return match bytes.len() < MAX_PROXY_LINE {
            true => Ok(None),
            false => Err(HeaderError::TooLong),
        };
    };
    let fields = most.get(PREFIX.len()..end).unwrap_or_default();
    let header = read_fields(fields)?;
    Ok(Some((header, end + LINE_END.len())))
}

fn read_fields(fields: &[u8]) -> Result<Header, HeaderError> {
    let kind = fields.split(|byte| *byte == b' ').next();
    if kind == Some(UNKNOWN.as_bytes()) {
        return Ok(Header::Unknown);
    }
    let text = std::str::from_utf8(fields).map_err(|_| HeaderError::Malformed("line"))?;
    let mut words = text.split(' ');
    let mut next = |what| words.next().ok_or(HeaderError::Malformed(what));
    let kind = next("protocol")?;
    let hosts = (next("source")?, next("destination")?);
    let ports = (next("source port")?, next("destination port")?);
    if words.next().is_some() {
        return Err(HeaderError::Malformed("end of line"));
    }
    let (from, to) = match kind {
        TCP4 => ends_of::<Ipv4Addr>(hosts)?,
        TCP6 => ends_of::<Ipv6Addr>(hosts)?,
        _ => return Err(HeaderError::Malformed("protocol")),
    };
    Ok(Header::Proxied(Ends {
        source: SocketAddr::new(from, read_port(ports.0, "source port")?),
        destination: SocketAddr::new(to, read_port(ports.1, "destination port")?),
    }))
}

fn ends_of<A: FromStr + Into<IpAddr>>(
    (from, to): (&str, &str),
) -> Result<(IpAddr, IpAddr), HeaderError> {
    let read = |text: &str, what| match text.parse::<A>() {
        Ok(address) => Ok(address.into()),
        Err(_) => Err(HeaderError::Malformed(what)),
    };
    Ok((read(from, "source")?, read(to, "destination")?))
}

/// Digits alone, and none in front that says nothing.
fn read_port(text: &str, what: &'static str) -> Result<u16, HeaderError> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let port = text.parse().ok().filter(|_| is_plain);
    port.ok_or(HeaderError::Malformed(what))
}

fn decode_binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let mut cursor = Cursor::new(bytes.get(SIGNATURE.len()..).unwrap_or_default());
    let Ok(command) = cursor.u8("command") else {
        return Ok(None);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(HeaderError::Malformed("version or command"));
    }
    let (Ok(kind), Ok(len)) = (cursor.u8("family"), cursor.u16("length")) else {
        return Ok(None);
    };
    let len = usize::from(len);
    if FIXED + len > MAX_PROXY_HEADER {
        return Err(HeaderError::TooLong);
    }
    let Ok(body) = cursor.take(len, "addresses") else {
        return Ok(None);
    };
    let header = match command {
        LOCAL => Header::Unknown,
        _ => read_addresses(kind, body)?,
    };
    Ok(Some((header, FIXED + len)))
}

fn read_addresses(kind: u8, body: &[u8]) -> Result<Header, HeaderError> {
    let (family, transport) = (kind >> 4, kind & 0x0f);
    if transport > DATAGRAM {
        return Err(HeaderError::Malformed("transport"));
    }
    let mut cursor = Cursor::new(body);
    let ends = match family {
        UNSPECIFIED => return Ok(Header::Unknown),
        UNIX if body.len() >= UNIX_ADDRESSES => return Ok(Header::Unknown),
        INET => read_ends::<4>(&mut cursor),
        INET6 => read_ends::<16>(&mut cursor),
        UNIX => return Err(HeaderError::Malformed("length")),
        _ => return Err(HeaderError::Malformed("family")),
    };
    let ends = ends.map_err(|_| HeaderError::Malformed("length"))?;
    Ok(match transport {
        UNSPECIFIED => Header::Unknown,
        _ => Header::Proxied(ends),
    })
}

fn read_ends<const N: usize>(cursor: &mut Cursor) -> Result<Ends, Truncated>
where
    IpAddr: From<[u8; N]>,
{
    let (from, to) = (
        cursor.array::<N>("source")?,
        cursor.array::<N>("destination")?,
    );
    let ports = (cursor.u16("source port")?, cursor.u16("destination port")?);
    Ok(Ends {
        source: SocketAddr::new(from.into(), ports.0),
        destination: SocketAddr::new(to.into(), ports.1),
    })
}

impl Header {
    /// The header's bytes. Two ends of different families are both written as
    /// IPv6 addresses.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        match (version, self) {
            (Version::V1, Header::Unknown) => b"PROXY UNKNOWN\r\n".to_vec(),
            (Version::V1, Header::Proxied(ends)) => encode_line(ends),
            (Version::V2, Header::Unknown) => encode_binary(LOCAL, UNSPECIFIED, &[]),
            (Version::V2, Header::Proxied(ends)) => encode_ends(ends),
        }
    }
}

/// Where the address that was connected to is not known, it is unspecified.
impl From<Origin> for Header {
    fn from(origin: Origin) -> Self {
        let source = origin.source();
        let nowhere = match source {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let destination = origin.local().unwrap_or(SocketAddr::new(nowhere, 0));
        Header::Proxied(Ends {
            source,
            destination,
        })
    }
}

impl Ends {
    /// Both addresses, if they are of IPv4.
    fn v4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Some((from, to)),
            _ => None,
        }
    }

    fn v6(&self) -> (Ipv6Addr, Ipv6Addr) {
        let v6 = |ip| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        (v6(self.source.ip()), v6(self.destination.ip()))
    }
}

fn encode_line(ends: &Ends) -> Vec<u8> {
    let hosts = match (ends.v4(), ends.v6()) {
        (Some((from, to)), _) => format!("{TCP4} {from} {to}"),
        (None, (from, to)) => format!("{TCP6} {from} {to}"),
    };
    let ports = (ends.source.port(), ends.destination.port());
    format!("PROXY {hosts} {} {}\r\n", ports.0, ports.1).into_bytes()
}

fn encode_ends(ends: &Ends) -> Vec<u8> {
    let mut body = Vec::new();
    let family = match (ends.v4(), ends.v6()) {
        (Some((from, to)), _) => {
            body.extend([from.octets(), to.octets()].concat());
            INET
        }
        (None, (from, to)) => {
            body.extend([from.octets(), to.octets()].concat());
            INET6
        }
    };
    body.put_u16(ends.source.port());
    body.put_u16(ends.destination.port());
    encode_binary(PROXY, (family << 4) | STREAM, &body)
}

fn encode_binary(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend([command, kind]);
    out.put_u16(body.len() as u16); // at most two IPv6 addresses and ports
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest lines that the specification shows (section 2.1), others of
    /// its text, and what it says that a receiver takes for unknown.
    const LINES: [(&str, Option<(&str, &str)>); 8] = [
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some(("255.255.255.255:65535", "255.255.255.255:65535")),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Some((
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            )),
        ),
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            Some(("192.168.0.1:56324", "192.168.0.11:443")),
        ),
        (
            "PROXY TCP6 ::1 2001:db8::2 0 1\r\n",
            Some(("[::1]:0", "[2001:db8::2]:1")),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN \r\n", None),
        ("PROXY UNKNOWN a word, and some more of them\r\n", None),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
    ];

    const BAD_LINES: [&str; 19] = [
        "PROXY \r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 5 6\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 5 6\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 5 6\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 5\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 5 6 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 5 6 7\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 5 6\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +5 6\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 05 6\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 5 65536\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.4 5 6\r\n",
        "PROXY TCP4 ::1 ::1 5 6\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 5 6\r\n",
        "PROXY TCP6 [::1] ::1 5 6\r\n",
        "PROXY TCP4 example.com 1.2.3.4 5 6\r\n",
    ];

    fn ends(pair: (&str, &str)) -> Ends {
        Ends {
            source: pair.0.parse().unwrap(),
            destination: pair.1.parse().unwrap(),
        }
    }

    fn binary(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
        encode_binary(command, kind, body)
    }

    #[test]
    fn lines_are_read_as_the_specification_says() {
        for (line, pair) in LINES {
            let header = pair.map_or(Header::Unknown, |pair| Header::Proxied(ends(pair)));
            let bytes = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(decode(&bytes), Ok(Some((header, line.len()))), "{line}");
            assert!(line.len() <= MAX_PROXY_LINE);
            for end in 0..line.len() {
                assert_eq!(decode(&bytes[..end]), Ok(None), "{:?}", &line[..end]);
            }
        }
    }

    #[test]
    fn wrong_lines_are_malformed() {
        for line in BAD_LINES {
            let decoded = decode(line.as_bytes());
            assert!(
                matches!(decoded, Err(HeaderError::Malformed(_))),
                "{line}: {decoded:?}"
            );
        }
        let not_text = b"PROXY TCP4 \xff 1.2.3.4 5 6\r\n";
        assert_eq!(decode(not_text), Err(HeaderError::Malformed("line")));
    }

    #[test]
    fn a_line_is_bound() {
        let mut long = b"PROXY UNKNOWN ".to_vec();
        long.resize(MAX_PROXY_LINE - 1, b'x');
        assert_eq!(decode(&long), Ok(None));
        long.push(b'\r');
        assert_eq!(decode(&long), Err(HeaderError::TooLong));
        long.push(b'\n');
        assert_eq!(decode(&long), Err(HeaderError::TooLong));
        long.drain(20..21);
        assert_eq!(decode(&long), Ok(Some((Header::Unknown, MAX_PROXY_LINE))));
    }

    #[test]
    fn binary_headers_are_read_as_the_specification_says() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x13, 0x88, 0x01, 0xbb];
        let tlvs = [&v4[..], &[0x03, 0, 4, 1, 2, 3, 4], &[0x04, 0, 0]].concat();
        let named = Header::Proxied(ends(("192.0.2.1:5000", "198.51.100.2:443")));
        let v6 = [[0x11; 16], [0x22; 16]].concat();
        let v6 = [&v6[..], &[0, 1, 0, 2]].concat();
        let named_6 = Header::Proxied(ends((
            "[1111:1111:1111:1111:1111:1111:1111:1111]:1",
            "[2222:2222:2222:2222:2222:2222:2222:2222]:2",
        )));
        let cases = [
            (binary(PROXY, 0x11, &v4), named),
            (binary(PROXY, 0x12, &v4), named),
            (binary(PROXY, 0x11, &tlvs), named),
            (binary(PROXY, 0x21, &v6), named_6),
            (binary(LOCAL, 0x11, &v4), Header::Unknown),
            (binary(LOCAL, 0x00, &[]), Header::Unknown),
            (binary(LOCAL, 0xff, b"anything"), Header::Unknown),
            (binary(PROXY, 0x00, b"anything"), Header::Unknown),
            (binary(PROXY, 0x10, &v4), Header::Unknown),
            (
                binary(PROXY, 0x31, &[b'/'; UNIX_ADDRESSES]),
                Header::Unknown,
            ),
        ];
        for (mut bytes, header) in cases {
            let len = bytes.len();
            bytes.extend(b"and more");
            assert_eq!(decode(&bytes), Ok(Some((header, len))), "{bytes:?}");
            for end in 0..len {
                assert_eq!(decode(&bytes[..end]), Ok(None), "{:?}", &bytes[..end]);
            }
        }
    }

    #[test]
    fn wrong_binary_headers_are_refused() {
        let malformed = [
            binary(0x22, 0x11, &[0; 12]),
            binary(0x11, 0x11, &[0; 12]),
            binary(PROXY, 0x11, &[0; 11]),
            binary(PROXY, 0x21, &[0; 35]),
            binary(PROXY, 0x31, &[0; UNIX_ADDRESSES - 1]),
            binary(PROXY, 0x41, &[0; 64]),
            binary(PROXY, 0x13, &[0; 64]),
        ];
        for bytes in malformed {
            let decoded = decode(&bytes);
            assert!(
                matches!(decoded, Err(HeaderError::Malformed(_))),
                "{bytes:?}: {decoded:?}"
            );
        }
        let longest = binary(PROXY, 0, &[0; MAX_PROXY_HEADER - FIXED]);
        assert!(decode(&longest).unwrap().is_some());
        let longer = binary(PROXY, 0, &[0; MAX_PROXY_HEADER - FIXED + 1]);
        assert_eq!(decode(&longer[..FIXED]), Err(HeaderError::TooLong));
    }

    #[test]
    fn what_is_no_header_is_missing() {
        for bytes in [
            "GET / HTTP/1.1\r\n",
            "PROXYTCP4",
            "\r\n\r\n\u{1}",
            "PROXY\tTCP4 ",
            "p",
        ] {
            assert_eq!(
                decode(bytes.as_bytes()),
                Err(HeaderError::Missing),
                "{bytes:?}"
            );
        }
        assert_eq!(decode(b""), Ok(None));
    }

    #[test]
    fn ends_of_two_families_are_both_of_ipv6() {
        let mixed = Header::Proxied(ends(("192.0.2.1:5", "[2001:db8::1]:6")));
        let line = b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 5 6\r\n";
        assert_eq!(mixed.encode(Version::V1), line);
        let mapped = Header::Proxied(ends(("[::ffff:192.0.2.1]:5", "[2001:db8::1]:6")));
        let bytes = mixed.encode(Version::V2);
        assert_eq!(decode(&bytes), Ok(Some((mapped, bytes.len()))));
    }

    /// The examples of what is sent where nothing is known.
    #[test]
    fn the_wire_form_of_unknown_is_fixed() {
        assert_eq!(Header::Unknown.encode(Version::V1), b"PROXY UNKNOWN\r\n");
        let local = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x20\x00\x00\x00";
        assert_eq!(Header::Unknown.encode(Version::V2), local);
    }

    fn any_ends() -> impl Strategy<Value = Ends> {
        let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
        let v6 =
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
        (prop_oneof![v4, v6], any::<(u16, u16)>()).prop_map(|((from, to), ports)| Ends {
            source: SocketAddr::new(from, ports.0),
            destination: SocketAddr::new(to, ports.1),
        })
    }

    fn any_header() -> impl Strategy<Value = Header> {
        prop_oneof![Just(Header::Unknown), any_ends().prop_map(Header::Proxied)]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(header in any_header(), rest: Vec<u8>) {
            for version in [Version::V1, Version::V2] {
                let bytes = header.encode(version);
                let more = [&bytes[..], &rest].concat();
                prop_assert_eq!(decode(&more), Ok(Some((header, bytes.len()))));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, len in 0usize..60) {
            let _ = decode(&bytes);
            for start in [PREFIX, SIGNATURE] {
                let _ = decode(&[start, &bytes].concat());
            }
            let kinds = bytes.iter().copied().next().unwrap_or(0x11);
            let _ = decode(&binary(PROXY, kinds, &bytes[..len.min(bytes.len())]));
        }
    }
}
