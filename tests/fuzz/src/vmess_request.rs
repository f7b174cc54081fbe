//! A VMess request header in plain text, whose checksum is added here: no
//! fuzzer finds one.

use muxcool::limits::{MAX_DOMAIN, MUX_DOMAIN};
use muxcool::net::Destination;
use muxcool::proxy::vmess::wire::{RequestHeader, read_header, write_header};

use super::hosts;

/// Longest header: fixed fields, port, address, padding, checksum.
const LONGEST: usize = 38 + 2 + 2 + MAX_DOMAIN + 15 + 4;

pub fn check(data: &[u8]) {
    let _ = read_header(data);
    let summed = [data, &fnv1a(data).to_be_bytes()].concat();
    let first = (0..=summed.len()).find(|len| read_header(&summed[..*len]).is_ok());
    let Some(first) = first else {
        return;
    };
    assert!(first <= LONGEST, "{first} bytes");
    let header = read_header(&summed[..first]).expect("as before");
    for len in first..=summed.len() {
        let again = read_header(&summed[..len]);
        assert_eq!(again.as_ref(), Ok(&header), "{len} bytes");
    }
    is_read_back(&header);
}

fn is_read_back(header: &RequestHeader) {
    hosts::check(&header.target.address);
    let target = match header.target.address.domain() {
        Some(MUX_DOMAIN) => Destination::tcp(MUX_DOMAIN, 0).expect("a domain"),
        _ => header.target.clone(),
    };
    let expected = RequestHeader {
        target,
        ..header.clone()
    };
    for padding in [&[][..], &[0xA5; 15]] {
        let mut plain = Vec::new();
        write_header(&mut plain, header, padding);
        assert!(plain.len() <= LONGEST);
        assert_eq!(read_header(&plain).as_ref(), Ok(&expected));
        let cut = &plain[..plain.len() - 1];
        assert!(read_header(cut).is_err());
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}
