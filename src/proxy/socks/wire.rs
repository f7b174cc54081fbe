//! The messages of SOCKS 4, 4a (no RFC) and 5 (RFC 1928), its passwords
//! (RFC 1929) and the header of its datagrams. No I/O.
//!
//! A decoder that runs out of input says [`WireError::Short`]: more input may
//! make it whole. Every message has a bound, so feeding a decoder byte by byte
//! ends.

use std::fmt;
use std::net::Ipv4Addr;

use crate::limits::{MAX_SOCKS_CREDENTIAL, MAX_SOCKS4_TEXT};
use crate::net::{Address, AddressError, AddressFormat, read_address, write_address};
use crate::wire::{Cursor, Put, Truncated};

/// First byte of a SOCKS4 request.
pub const VERSION_4: u8 = 4;
/// First byte of most SOCKS5 messages.
pub const VERSION_5: u8 = 5;
/// First byte of the messages of RFC 1929.
pub const PASSWORD_VERSION: u8 = 1;

/// Method: no authentication.
pub const METHOD_NONE: u8 = 0;
/// Method: user name and password.
pub const METHOD_PASSWORD: u8 = 2;
/// None of the offered methods will do.
pub const METHOD_UNACCEPTABLE: u8 = 0xFF;

/// Command: a stream to the target.
pub const CONNECT: u8 = 1;
/// Command: wait for a connection from the target.
pub const BIND: u8 = 2;
/// Command: relay datagrams.
pub const UDP_ASSOCIATE: u8 = 3;
/// Commands by which Tor resolves names; the reference connects.
pub const TOR_RESOLVE: [u8; 2] = [0xF0, 0xF1];

/// Status of a password that is right.
pub const PASSWORD_GOOD: u8 = 0;
/// Status of a password that is wrong, as the reference says it.
pub const PASSWORD_BAD: u8 = 0xFF;

/// Reply: done.
pub const SUCCEEDED: u8 = 0;
/// Reply: such a command is not served.
pub const COMMAND_NOT_SUPPORTED: u8 = 7;

/// SOCKS4 reply: done.
pub const GRANTED_4: u8 = 0x5A;
/// SOCKS4 reply: refused, or failed.
pub const REJECTED_4: u8 = 0x5B;

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// The input ended too early.
    Short(Truncated),
    /// An address that cannot be.
    Address(AddressError),
    /// A field that has a value it must not have: which one.
    Malformed(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Short(_) => f.write_str("message is cut short"),
            WireError::Address(_) => f.write_str("bad address"),
            WireError::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WireError::Short(inner) => Some(inner),
            WireError::Address(inner) => Some(inner),
            WireError::Malformed(_) => None,
        }
    }
}

impl From<Truncated> for WireError {
    fn from(inner: Truncated) -> Self {
        WireError::Short(inner)
    }
}

impl From<AddressError> for WireError {
    fn from(inner: AddressError) -> Self {
        match inner {
            AddressError::Truncated(inner) => WireError::Short(inner),
            other => WireError::Address(other),
        }
    }
}

/// What a decoder returns.
pub type Decoded<T> = Result<T, WireError>;

/// Reads a client's list of methods, behind the version byte.
pub fn read_methods(cursor: &mut Cursor<'_>) -> Decoded<Vec<u8>> {
    let count = cursor.u8("method count")?;
    Ok(cursor.take(count.into(), "methods")?.to_vec())
}

/// Appends a client's first message: the only method that it offers.
pub fn write_greeting(out: &mut Vec<u8>, method: u8) {
    out.extend_from_slice(&[VERSION_5, 1, method]);
}

/// Reads the method that a server has chosen.
pub fn read_method(cursor: &mut Cursor<'_>) -> Decoded<u8> {
    read_version(cursor)?;
    Ok(cursor.u8("method")?)
}

/// A server's choice of a method.
pub fn method_choice(method: u8) -> [u8; 2] {
    [VERSION_5, method]
}

fn read_version(cursor: &mut Cursor<'_>) -> Decoded<()> {
    match cursor.u8("version")? {
        VERSION_5 => Ok(()),
        _ => Err(WireError::Malformed("version is not 5")),
    }
}

/// A user name and a password as they travel.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, 255 bytes at the most.
    pub user: Vec<u8>,
    /// The password, 255 bytes at the most.
    pub password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Reads credentials; as in the reference their version is not looked at.
pub fn read_credentials(cursor: &mut Cursor<'_>) -> Decoded<Credentials> {
    cursor.u8("password version")?;
    let mut field = |name| -> Decoded<Vec<u8>> {
        let len = cursor.u8(name)?;
        Ok(cursor.take(len.into(), name)?.to_vec())
    };
    Ok(Credentials {
        user: field("user")?,
        password: field("password")?,
    })
}

/// Appends credentials.
///
/// # Errors
/// When one of them is longer than [`MAX_SOCKS_CREDENTIAL`] bytes.
pub fn write_credentials(out: &mut Vec<u8>, user: &[u8], password: &[u8]) -> Decoded<()> {
    if user.len() > MAX_SOCKS_CREDENTIAL || password.len() > MAX_SOCKS_CREDENTIAL {
        return Err(WireError::Malformed("user or password is too long"));
    }
    out.push(PASSWORD_VERSION);
    for field in [user, password] {
        out.push(field.len() as u8); // checked above
        out.extend_from_slice(field);
    }
    Ok(())
}

/// Reads a server's verdict on credentials; its version is not looked at.
pub fn read_password_status(cursor: &mut Cursor<'_>) -> Decoded<u8> {
    let [_, status] = cursor.array("password status")?;
    Ok(status)
}

/// A server's verdict on credentials.
pub fn password_status(status: u8) -> [u8; 2] {
    [PASSWORD_VERSION, status]
}

/// Reads the part of a SOCKS5 request before its address: the command. As in
/// the reference, version and reserved byte are not looked at.
pub fn read_command(cursor: &mut Cursor<'_>) -> Decoded<u8> {
    let [_, command, _] = cursor.array("command")?;
    Ok(command)
}

/// Reads `type address port`, which stands in requests, replies and datagrams.
pub fn read_target(cursor: &mut Cursor<'_>) -> Decoded<(Address, u16)> {
    let address = read_address(cursor, AddressFormat::SOCKS)?;
    let port = cursor.u16("port")?;
    Ok((address, port))
}

/// Appends `type address port`.
pub fn write_target(out: &mut Vec<u8>, address: &Address, port: u16) {
    write_address(out, address, AddressFormat::SOCKS);
    out.put_u16(port);
}

/// Appends a SOCKS5 request.
pub fn write_request(out: &mut Vec<u8>, command: u8, address: &Address, port: u16) {
    write_message(out, command, address, port);
}

/// Appends a SOCKS5 reply.
pub fn write_reply(out: &mut Vec<u8>, code: u8, address: &Address, port: u16) {
    write_message(out, code, address, port);
}

fn write_message(out: &mut Vec<u8>, kind: u8, address: &Address, port: u16) {
    out.extend_from_slice(&[VERSION_5, kind, 0]);
    write_target(out, address, port);
}

/// Reads the part of a SOCKS5 reply before its address: the code.
pub fn read_reply_code(cursor: &mut Cursor<'_>) -> Decoded<u8> {
    read_version(cursor)?;
    let [code, _] = cursor.array("reply code")?;
    Ok(code)
}

/// What a reply's code says, for messages.
pub fn describe_reply(code: u8) -> &'static str {
    match code {
        SUCCEEDED => "proxy: succeeded",
        1 => "proxy: general failure",
        2 => "proxy: not allowed by its rules",
        3 => "proxy: network unreachable",
        4 => "proxy: host unreachable",
        5 => "proxy: connection refused",
        6 => "proxy: time to live expired",
        COMMAND_NOT_SUPPORTED => "proxy: command not supported",
        8 => "proxy: address type not supported",
        _ => "proxy: failure of an unknown kind",
    }
}

/// Reads the target of a SOCKS4 or 4a request, behind version and command; the
/// user id is passed over.
///
/// As in the reference, an address whose first byte is 0 (4a says: 0.0.0.x)
/// stands for a name at the end.
pub fn read_target_4(cursor: &mut Cursor<'_>) -> Decoded<(Address, u16)> {
    let port = cursor.u16("port")?;
    let ip = cursor.array::<4>("IPv4 address")?;
    read_text(cursor, "user id")?;
    if ip[0] != 0 {
        return Ok((Ipv4Addr::from(ip).into(), port));
    }
    let name = std::str::from_utf8(read_text(cursor, "domain")?)
        .map_err(|_| WireError::Address(AddressError::InvalidDomain))?;
    Ok((name.parse()?, port))
}

/// Reads up to a NUL, and takes that too.
fn read_text<'a>(cursor: &mut Cursor<'a>, field: &'static str) -> Decoded<&'a [u8]> {
    let rest = cursor.rest();
    let within = rest.get(..=MAX_SOCKS4_TEXT).unwrap_or(rest);
    match within.iter().position(|byte| *byte == 0) {
        Some(end) => {
            let text = cursor.take(end, field)?;
            cursor.u8(field)?;
            Ok(text)
        }
        None if rest.len() > MAX_SOCKS4_TEXT => Err(WireError::Malformed("text is too long")),
        None => Err(WireError::Short(Truncated {
            field,
            at_start: rest.is_empty(),
        })),
    }
}

/// A SOCKS4 reply; as in the reference it names no address.
pub fn reply_4(code: u8) -> [u8; 8] {
    [0, code, 0, 0, 0, 0, 0, 0]
}

/// A datagram between a client and its relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Where it goes or comes from: the host.
    pub address: Address,
    /// And the port.
    pub port: u16,
    /// What it carries, which may be nothing.
    pub payload: &'a [u8],
}

/// Reads a datagram. Fragments are refused, as by the whole family.
pub fn read_datagram(bytes: &[u8]) -> Decoded<Datagram<'_>> {
    let mut cursor = Cursor::new(bytes);
    let [_, _, fragment] = cursor.array("datagram header")?;
    if fragment != 0 {
        return Err(WireError::Malformed("datagram is a fragment"));
    }
    let (address, port) = read_target(&mut cursor)?;
    Ok(Datagram {
        address,
        port,
        payload: cursor.rest(),
    })
}

/// What stands in front of a datagram's payload.
pub fn datagram_header(address: &Address, port: u16) -> Vec<u8> {
    let mut out = vec![0, 0, 0];
    write_target(&mut out, address, port);
    out
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = Address> {
        prop_oneof![
            any::<IpAddr>().prop_map(Address::from),
            "[a-zA-Z_-][a-zA-Z0-9._-]{0,254}".prop_map(|s| s.parse().unwrap()),
        ]
    }

    fn any_credential() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..=MAX_SOCKS_CREDENTIAL)
    }

    /// Decodes all of `bytes`, and sees that every part of them is too short.
    fn whole<T: fmt::Debug>(bytes: &[u8], decode: fn(&mut Cursor<'_>) -> Decoded<T>) -> T {
        for len in 0..bytes.len() {
            let part = decode(&mut Cursor::new(&bytes[..len]));
            assert!(
                matches!(part, Err(WireError::Short(_))),
                "{part:?} of {len}"
            );
        }
        let mut cursor = Cursor::new(bytes);
        let message = decode(&mut cursor).unwrap();
        assert_eq!(cursor.remaining(), 0);
        message
    }

    proptest! {
        #[test]
        fn methods_are_read_back(methods in proptest::collection::vec(any::<u8>(), 0..=255)) {
            let mut bytes = vec![methods.len() as u8];
            bytes.extend(&methods);
            prop_assert_eq!(whole(&bytes, read_methods), methods);
        }

        #[test]
        fn credentials_are_read_back(user in any_credential(), password in any_credential()) {
            let mut bytes = Vec::new();
            write_credentials(&mut bytes, &user, &password).unwrap();
            prop_assert_eq!(whole(&bytes, read_credentials), Credentials { user, password });
        }

        #[test]
        fn requests_and_replies_are_read_back(kind: u8, address in any_address(), port: u16) {
            let mut request = Vec::new();
            write_request(&mut request, kind, &address, port);
            prop_assert_eq!(whole(&request[..3], read_command), kind);
            prop_assert_eq!(whole(&request[3..], read_target), (address.clone(), port));

            let mut reply = Vec::new();
            write_reply(&mut reply, kind, &address, port);
            prop_assert_eq!(whole(&reply[..3], read_reply_code), kind);
            prop_assert_eq!(whole(&reply[3..], read_target), (address, port));
        }

        #[test]
        fn choices_and_verdicts_are_read_back(value: u8) {
            prop_assert_eq!(whole(&method_choice(value), read_method), value);
            prop_assert_eq!(whole(&password_status(value), read_password_status), value);
        }

        #[test]
        fn socks4_targets_are_read_back(
            ip in any::<[u8; 4]>(),
            port: u16,
            user in proptest::collection::vec(1..=u8::MAX, 0..=MAX_SOCKS4_TEXT),
            name in "[a-zA-Z_-][a-zA-Z0-9._-]{0,254}",
        ) {
            let mut bytes = port.to_be_bytes().to_vec();
            bytes.extend(ip);
            bytes.extend(&user);
            bytes.push(0);
            let expected = if ip[0] == 0 {
                bytes.extend(name.as_bytes());
                bytes.push(0);
                name.parse().unwrap()
            } else {
                Address::from(Ipv4Addr::from(ip))
            };
            prop_assert_eq!(whole(&bytes, read_target_4), (expected, port));
        }

        #[test]
        fn datagrams_are_read_back(address in any_address(), port: u16, payload: Vec<u8>) {
            let mut bytes = datagram_header(&address, port);
            bytes.extend(&payload);
            let expected = Datagram { address, port, payload: &payload };
            prop_assert_eq!(read_datagram(&bytes), Ok(expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let cursor = || Cursor::new(&bytes);
            let _ = read_methods(&mut cursor());
            let _ = read_method(&mut cursor());
            let _ = read_credentials(&mut cursor());
            let _ = read_password_status(&mut cursor());
            let _ = read_command(&mut cursor());
            let _ = read_reply_code(&mut cursor());
            let _ = read_target(&mut cursor());
            let _ = read_target_4(&mut cursor());
            let _ = read_datagram(&bytes);
        }

        #[test]
        fn texts_without_an_end_are_given_up(byte in 1..=u8::MAX, len in 0usize..1000) {
            let mut bytes = vec![0, 80, 192, 0, 2, 1];
            bytes.extend(vec![byte; len]);
            let outcome = read_target_4(&mut Cursor::new(&bytes));
            let given_up = outcome == Err(WireError::Malformed("text is too long"));
            prop_assert_eq!(given_up, len > MAX_SOCKS4_TEXT);
        }
    }

    #[test]
    fn messages_have_the_bytes_of_the_rfcs() {
        let mut bytes = Vec::new();
        write_greeting(&mut bytes, METHOD_PASSWORD);
        write_credentials(&mut bytes, b"me", b"pw").unwrap();
        write_request(&mut bytes, CONNECT, &"a.b".parse().unwrap(), 0x1234);
        let expected = b"\x05\x01\x02\x01\x02me\x02pw\x05\x01\x00\x03\x03a.b\x12\x34";
        assert_eq!(bytes, expected);
        let header = datagram_header(&"192.0.2.1".parse().unwrap(), 53);
        assert_eq!(header, [0, 0, 0, 1, 192, 0, 2, 1, 0, 53]);
        assert_eq!(reply_4(GRANTED_4), [0, 0x5A, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_must_not_be_is_refused() {
        let address = |bytes: &[u8]| read_target(&mut Cursor::new(bytes));
        let bad_domain = Err(WireError::Address(AddressError::InvalidDomain));
        assert_eq!(address(&[3, 0, 0, 80]), bad_domain);
        assert_eq!(address(b"\x03\x03a b\x00\x50"), bad_domain);
        let unknown = Err(WireError::Address(AddressError::UnknownType(2)));
        assert_eq!(address(&[2, 0]), unknown);
        let fragment = read_datagram(&[0, 0, 1, 1, 192, 0, 2, 1, 0, 53]);
        assert_eq!(
            fragment,
            Err(WireError::Malformed("datagram is a fragment"))
        );
        assert!(write_credentials(&mut Vec::new(), &[0; 256], b"").is_err());
    }
}
