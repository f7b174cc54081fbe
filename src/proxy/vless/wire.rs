//! The bytes of VLESS version 0 (section 1), without any I/O.
//!
//! A header is read from whatever has arrived: [`HeaderError::Truncated`] says
//! that more is needed, every other error that no further byte can mend it.

use std::fmt;

use protobuf::CodedInputStream;
use uuid::Uuid;

use crate::limits::MAX_PLAIN_DATAGRAM;
use crate::net::{AddressError, Destination};
use crate::proxy::order::{self, OrderError, write_order};
use crate::wire::{Cursor, Truncated};

/// The only version there is.
const VERSION: u8 = 0;

/// Tags of the addons' fields: number and wire type as protobuf packs them.
const FLOW_TAG: u32 = (1 << 3) | 2;
const SEED_TAG: u32 = (2 << 3) | 2;

/// Hexadecimal digits between two dashes of an id's text.
const ID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// The response header as all of the family write it: version, no addons.
pub const RESPONSE: [u8; 2] = [VERSION, 0];

/// Largest datagram that we send, in bytes: with its length it fills the
/// buffer of a V2Ray peer, which would send a larger one on in pieces.
pub const MAX_SENT_PACKET: usize = MAX_PLAIN_DATAGRAM - 2;

/// Why a header cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum HeaderError {
    /// It ended too early; more bytes may complete it.
    Truncated(Truncated),
    /// Another version.
    Version(u8),
    /// Addons that are not what their definition says.
    Addons(protobuf::Error),
    /// A command that is not known here.
    Command(u8),
    /// An address that cannot be; never [`AddressError::Truncated`].
    Address(AddressError),
}

impl HeaderError {
    /// Whether more bytes may complete the header.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, HeaderError::Truncated(_))
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Truncated(_) => f.write_str("header is cut short"),
            HeaderError::Version(version) => write!(f, "unknown version {version}"),
            HeaderError::Addons(_) => f.write_str("bad addons"),
            HeaderError::Command(command) => write!(f, "unknown command {command}"),
            HeaderError::Address(_) => f.write_str("bad address"),
        }
    }
}

impl std::error::Error for HeaderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HeaderError::Truncated(inner) => Some(inner),
            HeaderError::Addons(inner) => Some(inner),
            HeaderError::Address(inner) => Some(inner),
            HeaderError::Version(_) | HeaderError::Command(_) => None,
        }
    }
}

impl From<Truncated> for HeaderError {
    fn from(inner: Truncated) -> Self {
        HeaderError::Truncated(inner)
    }
}

impl From<OrderError> for HeaderError {
    fn from(e: OrderError) -> Self {
        match e {
            OrderError::Truncated(inner) => HeaderError::Truncated(inner),
            OrderError::Command(command) => HeaderError::Command(command),
            OrderError::Address(inner) => HeaderError::Address(inner),
        }
    }
}

/// What a header may say besides. We send none and act on none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addons {
    /// How the body is to be treated; empty for plain.
    pub flow: String,
    /// Opaque.
    pub seed: Vec<u8>,
}

/// A request header.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Who asks.
    pub id: Uuid,
    /// What is said besides.
    pub addons: Addons,
    /// Where to; the mux domain with port 0 for the command Mux.
    pub target: Destination,
}

/// Not the id, which is a secret.
impl fmt::Debug for RequestHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHeader")
            .field("addons", &self.addons)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Reads the first part of a request: version and id.
///
/// # Errors
/// See [`HeaderError`].
pub fn read_id(cursor: &mut Cursor) -> Result<Uuid, HeaderError> {
    read_version(cursor)?;
    Ok(Uuid::from_bytes(cursor.array("user id")?))
}

/// Reads the rest of a request: addons, command and target.
///
/// # Errors
/// See [`HeaderError`].
pub fn read_order(cursor: &mut Cursor) -> Result<(Addons, Destination), HeaderError> {
    let addons = read_addons(cursor)?;
    Ok((addons, order::read_order(cursor)?))
}

/// Reads a whole request header. What follows is its payload.
///
/// # Errors
/// See [`HeaderError`].
pub fn read_request(cursor: &mut Cursor) -> Result<RequestHeader, HeaderError> {
    let id = read_id(cursor)?;
    let (addons, target) = read_order(cursor)?;
    Ok(RequestHeader { id, addons, target })
}

/// Appends a request header without addons: command Mux for the mux domain,
/// else what the target's network asks for.
pub fn write_request(out: &mut Vec<u8>, id: &Uuid, target: &Destination) {
    out.push(VERSION);
    out.extend_from_slice(id.as_bytes());
    out.push(0);
    write_order(out, target);
}

/// Reads a response header. What follows is its payload.
///
/// # Errors
/// See [`HeaderError`].
pub fn read_response(cursor: &mut Cursor) -> Result<Addons, HeaderError> {
    read_version(cursor)?;
    read_addons(cursor)
}

/// The id that a text stands for (section 1.6), and what follows it, which
/// V2Ray ignores: 32 hexadecimal digits in any case, with a dash or none
/// between the groups 8-4-4-4-12. `None` if it stands for none.
pub fn parse_id(text: &str) -> Option<(Uuid, &str)> {
    let mut digits = String::with_capacity(32);
    let mut rest = text;
    for len in ID_GROUPS {
        if !digits.is_empty() {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let (group, after) = rest.split_at_checked(len)?;
        digits.push_str(group);
        rest = after;
    }
    Some((Uuid::try_parse(&digits).ok()?, rest))
}

fn read_version(cursor: &mut Cursor) -> Result<(), HeaderError> {
    match cursor.u8("version")? {
        VERSION => Ok(()),
        other => Err(HeaderError::Version(other)),
    }
}

fn read_addons(cursor: &mut Cursor) -> Result<Addons, HeaderError> {
    let len = cursor.u8("addons length")?;
    let bytes = cursor.take(usize::from(len), "addons")?;
    parse_addons(bytes).map_err(HeaderError::Addons)
}

fn parse_addons(bytes: &[u8]) -> protobuf::Result<Addons> {
    let mut addons = Addons::default();
    let mut input = CodedInputStream::from_bytes(bytes);
    // Without a limit a length field alone would allocate up to 10 MB.
    input.push_limit(bytes.len() as u64)?;
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        match tag {
            FLOW_TAG => addons.flow = input.read_string()?,
            SEED_TAG => addons.seed = input.read_bytes()?,
            other => protobuf::rt::skip_field_for_tag(other, &mut input)?,
        }
    }
    Ok(addons)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MUX_DOMAIN;
    use crate::net::{Address, Network};

    fn any_target() -> impl Strategy<Value = Destination> {
        let network = prop_oneof![Just(Network::Tcp), Just(Network::Udp)];
        let address = prop_oneof![
            any::<std::net::IpAddr>().prop_map(Address::from),
            "[a-z_-][a-zA-Z0-9._-]{0,254}".prop_map(|s| s.parse().unwrap()),
        ];
        (network, address, any::<u16>()).prop_map(|(n, a, p)| Destination::new(n, a, p))
    }

    proptest! {
        #[test]
        fn a_request_is_read_back_and_every_prefix_wants_more(
            id: [u8; 16], target in any_target(), payload: Vec<u8>,
        ) {
            let id = Uuid::from_bytes(id);
            let mut bytes = Vec::new();
            write_request(&mut bytes, &id, &target);
            for len in 0..bytes.len() {
                let read = read_request(&mut Cursor::new(&bytes[..len]));
                prop_assert!(read.is_err_and(|e| e.is_incomplete()), "{len} bytes");
            }
            bytes.extend_from_slice(&payload);
            let mut cursor = Cursor::new(&bytes);
            let header = read_request(&mut cursor).unwrap();
            prop_assert_eq!(header, RequestHeader { id, addons: Addons::default(), target });
            prop_assert_eq!(cursor.rest(), &payload);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>) {
            let _ = read_request(&mut Cursor::new(&bytes));
            let _ = read_response(&mut Cursor::new(&bytes));
            let _ = parse_addons(&bytes);
            bytes.splice(0..0, [VERSION; 17]);
            let _ = read_request(&mut Cursor::new(&bytes));
        }

        #[test]
        fn arbitrary_ids_never_panic(text: String) {
            let _ = parse_id(&text);
        }

        #[test]
        fn an_id_is_read_back(id: [u8; 16], after in "[ -~]{0,8}") {
            let id = Uuid::from_bytes(id);
            for text in [id.simple().to_string(), id.hyphenated().to_string().to_uppercase()] {
                let whole = format!("{text}{after}");
                prop_assert_eq!(parse_id(&whole), Some((id, &*after)));
            }
        }
    }

    #[test]
    fn a_bad_byte_is_told_as_soon_as_it_is_there() {
        let id = [0; 16];
        let bad = |bytes: &[&[u8]]| read_request(&mut Cursor::new(&bytes.concat())).unwrap_err();
        assert!(matches!(bad(&[&[1]]), HeaderError::Version(1)));
        let addons = bad(&[&[0], &id, &[1, 0x0a]]);
        assert!(matches!(addons, HeaderError::Addons(_)));
        let command = bad(&[&[0], &id, &[0, 4]]);
        assert!(matches!(command, HeaderError::Command(4)));
        let address = bad(&[&[0], &id, &[0, 1, 0, 80, 0]]);
        assert!(matches!(address, HeaderError::Address(_)));
    }

    #[test]
    fn groups_of_unknown_fields_are_skipped() {
        let group = [0x1b, 0x08, 0x01, 0x1c]; // field 3: a group that holds a number
        let flow = [0x0a, 1, b'f'];
        let addons = parse_addons(&[&group[..], &flow].concat()).unwrap();
        assert_eq!(addons.flow, "f");
    }

    #[test]
    fn the_mux_domain_becomes_command_3_whatever_its_port() {
        let mut bytes = Vec::new();
        let target = Destination::tcp(MUX_DOMAIN, 9527).unwrap();
        write_request(&mut bytes, &Uuid::nil(), &target);
        assert_eq!(bytes[17..], [0, 3]);
        let header = read_request(&mut Cursor::new(&bytes)).unwrap();
        assert_eq!(header.target, Destination::tcp(MUX_DOMAIN, 0).unwrap());
    }
}
