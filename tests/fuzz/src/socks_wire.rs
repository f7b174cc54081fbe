//! Every message of SOCKS 4 and 5, from either side.

use muxcool::limits::{MAX_DOMAIN, MAX_SOCKS_CREDENTIAL, MAX_SOCKS4_TEXT};
use muxcool::net::Address;
use muxcool::proxy::socks::wire::{self, Decoded, WireError};
use muxcool::wire::Cursor;

use super::hosts;
use super::prefixes::{self, Verdict};

/// Longest address with its type and port.
const TARGET: usize = 2 + MAX_DOMAIN + 2;

/// Longest target of SOCKS4a: port, address, two texts with their ends.
const TARGET_4: usize = 2 + 4 + 2 * (MAX_SOCKS4_TEXT + 1);

pub fn check(data: &[u8]) {
    steady(data, 1 + 255, wire::read_methods);
    steady(data, 2, wire::read_method);
    steady(data, 2, wire::read_password_status);
    steady(data, 3, wire::read_command);
    steady(data, 3, wire::read_reply_code);
    if let Verdict::Message((user, password), len) = steady(data, CREDENTIALS, credentials) {
        let mut bytes = Vec::new();
        wire::write_credentials(&mut bytes, &user, &password).expect("they were read");
        assert_eq!(bytes[1..], data[1..len]);
    }
    if let Verdict::Message((address, port), _) = steady(data, TARGET, wire::read_target) {
        is_read_back(&address, port);
    }
    if let Verdict::Message((address, port), _) = steady(data, TARGET_4, wire::read_target_4) {
        is_read_back(&address, port);
    }
}

/// Longest message with credentials: version, and both with their lengths.
const CREDENTIALS: usize = 1 + 2 * (1 + MAX_SOCKS_CREDENTIAL);

/// In a form that can be printed when they differ.
fn credentials(cursor: &mut Cursor<'_>) -> Decoded<(Vec<u8>, Vec<u8>)> {
    let read = wire::read_credentials(cursor)?;
    Ok((read.user, read.password))
}

fn steady<T: PartialEq + std::fmt::Debug>(
    data: &[u8],
    limit: usize,
    decode: fn(&mut Cursor<'_>) -> Decoded<T>,
) -> Verdict<T> {
    prefixes::check(data, limit, decode, |e| matches!(e, WireError::Short(_)))
}

/// An address that was read is the same in every message that is written.
fn is_read_back(address: &Address, port: u16) {
    hosts::check(address);
    let mut request = Vec::new();
    wire::write_request(&mut request, wire::CONNECT, address, port);
    assert_eq!(request[..3], [5, wire::CONNECT, 0]);
    let target = wire::read_target(&mut Cursor::new(&request[3..]));
    assert_eq!(target, Ok((address.clone(), port)));
}
