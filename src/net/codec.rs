//! Addresses on the wire (section 0.1): type, address, and a port before or
//! after them. The same decoding rules hold in every protocol of the family.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Address, Domain, parse_ip};
use crate::wire::{Cursor, Put, Truncated};

/// Why an address could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The input ended too early.
    Truncated(Truncated),
    /// The name is empty, too long, or holds a byte that names cannot have.
    InvalidDomain,
    /// A type byte that the format does not know.
    UnknownType(u8),
    /// A name where only an IP address will do.
    Named,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Truncated(_) => f.write_str("address is cut short"),
            AddressError::InvalidDomain => f.write_str("not a valid host name"),
            AddressError::UnknownType(kind) => write!(f, "unknown address type {kind}"),
            AddressError::Named => f.write_str("a name is no IP address"),
        }
    }
}

impl std::error::Error for AddressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AddressError::Truncated(inner) => Some(inner),
            _ => None,
        }
    }
}

impl From<Truncated> for AddressError {
    fn from(inner: Truncated) -> Self {
        AddressError::Truncated(inner)
    }
}

/// The type bytes that a protocol uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressFormat {
    v4: u8,
    domain: u8,
    v6: u8,
}

impl AddressFormat {
    /// VLESS, VMess and Mux.Cool: 1 IPv4, 2 domain, 3 IPv6.
    pub const FAMILY: AddressFormat = AddressFormat {
        v4: 1,
        domain: 2,
        v6: 3,
    };

    /// SOCKS5 (RFC 1928 section 5): 1 IPv4, 3 domain, 4 IPv6.
    pub const SOCKS: AddressFormat = AddressFormat {
        v4: 1,
        domain: 3,
        v6: 4,
    };
}

/// Reads `type address`.
pub fn read_address(cursor: &mut Cursor, format: AddressFormat) -> Result<Address, AddressError> {
    let kind = cursor.u8("address type")?;
    if kind == format.v4 {
        return Ok(Ipv4Addr::from(cursor.array::<4>("IPv4 address")?).into());
    }
    if kind == format.v6 {
        return Ok(Ipv6Addr::from(cursor.array::<16>("IPv6 address")?).into());
    }
    if kind == format.domain {
        let len = cursor.u8("domain length")?;
        return domain_or_ip(cursor.take(usize::from(len), "domain")?);
    }
    Err(AddressError::UnknownType(kind))
}

/// A name that starts with a digit or a bracket and reads as an IP address is
/// that address, as in the reference.
fn domain_or_ip(bytes: &[u8]) -> Result<Address, AddressError> {
    let text = std::str::from_utf8(bytes).map_err(|_| AddressError::InvalidDomain)?;
    let may_be_ip = text.starts_with(|c: char| c == '[' || c.is_ascii_digit());
    match parse_ip(text).filter(|_| may_be_ip) {
        Some(ip) => Ok(ip.into()),
        None => Domain::new(text).map(Address::Domain),
    }
}

/// Appends `type address`.
pub fn write_address(out: &mut Vec<u8>, address: &Address, format: AddressFormat) {
    match address {
        Address::Ip(IpAddr::V4(ip)) => {
            out.push(format.v4);
            out.extend_from_slice(&ip.octets());
        }
        Address::Ip(IpAddr::V6(ip)) => {
            out.push(format.v6);
            out.extend_from_slice(&ip.octets());
        }
        Address::Domain(name) => {
            let bytes = name.as_str().as_bytes();
            out.push(format.domain);
            out.push(bytes.len() as u8); // a Domain has at most 255 bytes
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads `port type address` with the family's type bytes.
pub fn read_port_address(cursor: &mut Cursor) -> Result<(Address, u16), AddressError> {
    let port = cursor.u16("port")?;
    let address = read_address(cursor, AddressFormat::FAMILY)?;
    Ok((address, port))
}

/// As [`read_port_address`], where a name will not do.
pub fn read_port_ip(cursor: &mut Cursor) -> Result<SocketAddr, AddressError> {
    let (address, port) = read_port_address(cursor)?;
    let ip = address.ip().ok_or(AddressError::Named)?;
    Ok(SocketAddr::new(ip, port))
}

/// Appends `port type address` with the family's type bytes.
pub fn write_port_address(out: &mut Vec<u8>, address: &Address, port: u16) {
    out.put_u16(port);
    write_address(out, address, AddressFormat::FAMILY);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = Address> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|b| Address::from(Ipv4Addr::from(b))),
            any::<[u8; 16]>().prop_map(|b| Address::from(Ipv6Addr::from(b))),
            "[a-zA-Z_-][a-zA-Z0-9._-]{0,254}".prop_map(|s| s.parse().unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(address in any_address(), port: u16) {
            let mut bytes = Vec::new();
            write_port_address(&mut bytes, &address, port);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(read_port_address(&mut cursor), Ok((address, port)));
            prop_assert_eq!(cursor.remaining(), 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            for format in [AddressFormat::FAMILY, AddressFormat::SOCKS] {
                let _ = read_address(&mut Cursor::new(&bytes), format);
            }
        }
    }

    #[test]
    fn domains_in_disguise_become_ips() {
        let read = |text: &[u8]| {
            let mut bytes = vec![2, text.len() as u8];
            bytes.extend_from_slice(text);
            read_address(&mut Cursor::new(&bytes), AddressFormat::FAMILY)
        };
        let v4 = Address::from(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(read(b"192.0.2.1"), Ok(v4.clone()));
        assert_eq!(read(b"[::ffff:192.0.2.1]"), Ok(v4));
        assert_eq!(read(b"::1"), Err(AddressError::InvalidDomain));
        assert_eq!(read(b""), Err(AddressError::InvalidDomain));
    }
}
