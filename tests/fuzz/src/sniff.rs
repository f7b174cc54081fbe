//! The first bytes of a stream: HTTP requests, ClientHellos, and what looks
//! like neither for long.

use muxcool::net::Address;
use muxcool::sniff::wire::{Verdict, examine};

use super::hosts;

pub fn check(data: &[u8]) {
    let whole = examine(data);
    let verdict = |len: usize| examine(&data[..len]);
    let decided = (0..=data.len()).find(|len| verdict(*len) != Verdict::WantsMore);
    let Some(decided) = decided else {
        assert_eq!(whole, Verdict::WantsMore);
        return;
    };
    for len in [decided, decided + 1, (decided + data.len()) / 2] {
        assert_eq!(verdict(len.min(data.len())), whole, "{len} bytes");
    }
    if let Verdict::Known(sniffed) = whole
        && let Some(host) = sniffed.host
    {
        assert_eq!(host.as_str(), host.as_str().to_ascii_lowercase());
        let said = data.to_ascii_lowercase();
        assert!(is_among(&said, host.as_str().as_bytes()));
        hosts::check(&Address::Domain(host));
    }
}

/// Whether the bytes are there in this order. A name that records cut has
/// their heads in between.
fn is_among(data: &[u8], name: &[u8]) -> bool {
    let mut data = data.iter();
    name.iter().all(|letter| data.any(|byte| byte == letter))
}
