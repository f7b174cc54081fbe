//! What stands in front of a connection that somebody else has taken.

use muxcool::limits::{MAX_PROXY_HEADER, MAX_PROXY_LINE};
use muxcool::transport::proxy_protocol::wire::decode;
use muxcool::transport::proxy_protocol::{Ends, Header, HeaderError, Version};

pub fn check(data: &[u8]) {
    let decoded = decode(data);
    match &decoded {
        Ok(None) => assert!(data.len() < MAX_PROXY_HEADER, "it never ends"),
        Ok(Some((header, len))) => {
            assert!(*len <= data.len() && *len <= MAX_PROXY_HEADER);
            assert!(data[0] != b'P' || *len <= MAX_PROXY_LINE);
            assert_eq!(decode(&data[..*len]), decoded, "what follows has a say");
            comes_back(header);
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
    grows(data, &decoded);
}

/// Byte by byte it comes to the same, and not twice to something.
fn grows(data: &[u8], decoded: &Result<Option<(Header, usize)>, HeaderError>) {
    let ends = (0..=data.len()).filter(|len| len % 7 == 0 || *len < 64);
    let mut parts = ends.map(|len| decode(&data[..len]));
    match parts.find(|part| *part != Ok(None)) {
        None => {}
        Some(Ok(first)) => assert_eq!(&Ok(first), decoded),
        Some(Err(_)) => assert!(decoded.is_err()),
    }
}

fn comes_back(header: &Header) {
    for version in [Version::V1, Version::V2] {
        let bytes = header.encode(version);
        let len = bytes.len();
        assert_eq!(decode(&bytes), Ok(Some((*header, len))));
    }
    if let Header::Proxied(Ends {
        source,
        destination,
    }) = header
    {
        assert_eq!(source.is_ipv4(), destination.is_ipv4());
    }
}
