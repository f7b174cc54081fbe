//! Frame metadata as bytes (section 8.1): pure functions on slices.

use std::fmt;

use crate::limits::{MAX_FRAME_PAYLOAD, MAX_METADATA, MIN_METADATA};
use crate::net::{
    AddressError, Destination, Network, Origin, read_port_address, read_port_ip, write_port_address,
};
use crate::wire::{Cursor, Put, Truncated};

const DATA: u8 = 0x01;
const ERROR: u8 = 0x02;
const NETWORK_NONE: u8 = 0;
const NETWORK_TCP: u8 = 1;
const NETWORK_UDP: u8 = 2;

/// What a frame does to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SessionStatus {
    /// Opens it.
    New = 1,
    /// Carries its data.
    Keep = 2,
    /// Ends the sender's direction, or both if the error bit is set.
    End = 3,
    /// Belongs to no session; its data is skipped by the whole family.
    KeepAlive = 4,
}

impl SessionStatus {
    fn from_wire(byte: u8) -> Result<Self, FrameError> {
        match byte {
            1 => Ok(SessionStatus::New),
            2 => Ok(SessionStatus::Keep),
            3 => Ok(SessionStatus::End),
            4 => Ok(SessionStatus::KeepAlive),
            other => Err(FrameError::UnknownStatus(other)),
        }
    }
}

/// The option byte. Bits that are not known are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameOption {
    /// A data part follows the metadata.
    pub has_data: bool,
    /// The session failed; looked at in End frames only.
    pub has_error: bool,
}

impl FrameOption {
    pub(super) fn from_wire(byte: u8) -> Self {
        Self {
            has_data: byte & DATA != 0,
            has_error: byte & ERROR != 0,
        }
    }

    fn to_wire(self) -> u8 {
        (u8::from(self.has_data) * DATA) | (u8::from(self.has_error) * ERROR)
    }
}

/// The head of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameMetadata {
    /// The session that it belongs to.
    pub session_id: u16,
    /// What it does.
    pub status: SessionStatus,
    /// How.
    pub option: FrameOption,
    /// Where a new session goes; present exactly in New frames.
    pub target: Option<Destination>,
    /// Where it comes from; only ever present in New frames (section 15).
    pub origin: Option<Box<Origin>>,
}

/// Why metadata could not be read. All but the last end the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than [`MAX_METADATA`].
    TooLong(usize),
    /// Shorter than [`MIN_METADATA`].
    TooShort(usize),
    /// A status outside 1 to 4.
    UnknownStatus(u8),
    /// A New frame whose target, or origin, cannot be read. Its length is known
    /// all the same, so it is enough to refuse the session.
    BadTarget {
        /// The session that cannot be opened.
        session_id: u16,
        /// Whether data follows.
        option: FrameOption,
        /// What is wrong.
        reason: TargetError,
    },
}

/// Why the target of a New frame could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// The metadata ends before the target does.
    Truncated(Truncated),
    /// Neither TCP nor UDP.
    UnknownNetwork(u8),
    /// The address is wrong.
    Address(AddressError),
    /// The target is fine, but not an address of where the session comes from.
    Origin(OriginError),
}

/// Why the origin of a New frame could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginError {
    /// Neither TCP nor UDP, nor none.
    UnknownNetwork(u8),
    /// The address is wrong.
    Address(AddressError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong(len) => {
                write!(f, "metadata of {len} bytes, {MAX_METADATA} at most")
            }
            FrameError::TooShort(len) => {
                write!(f, "metadata of {len} bytes, {MIN_METADATA} at least")
            }
            FrameError::UnknownStatus(status) => write!(f, "unknown session status {status}"),
            FrameError::BadTarget {
                session_id,
                reason: TargetError::Origin(_),
                ..
            } => write!(f, "session {session_id} has no usable origin"),
            FrameError::BadTarget { session_id, .. } => {
                write!(f, "session {session_id} has no usable target")
            }
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrameError::BadTarget { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Truncated(_) => f.write_str("target is cut short"),
            TargetError::UnknownNetwork(byte) => write!(f, "unknown network {byte}"),
            TargetError::Address(_) => f.write_str("bad address"),
            TargetError::Origin(_) => f.write_str("bad origin"),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TargetError::Truncated(inner) => Some(inner),
            TargetError::Address(inner) => Some(inner),
            TargetError::Origin(inner) => Some(inner),
            TargetError::UnknownNetwork(_) => None,
        }
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginError::UnknownNetwork(byte) => write!(f, "unknown network {byte}"),
            OriginError::Address(_) => f.write_str("bad address"),
        }
    }
}

impl std::error::Error for OriginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OriginError::Address(inner) => Some(inner),
            OriginError::UnknownNetwork(_) => None,
        }
    }
}

impl FrameMetadata {
    /// Reads metadata without its length prefix. What follows the known
    /// fields is ignored: later versions of the protocol put more there.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        Self::decode_as(bytes, Origins::Skipped)
    }

    /// As [`decode`](Self::decode), for frames of a peer who has been told
    /// that he may say where a session comes from.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn decode_with_origin(bytes: &[u8]) -> Result<Self, FrameError> {
        Self::decode_as(bytes, Origins::Read)
    }

    pub(super) fn decode_as(bytes: &[u8], origins: Origins) -> Result<Self, FrameError> {
        check_length(bytes.len())?;
        let too_short = |_| FrameError::TooShort(bytes.len());
        let mut cursor = Cursor::new(bytes);
        let session_id = cursor.u16("session id").map_err(too_short)?;
        let status = SessionStatus::from_wire(cursor.u8("status").map_err(too_short)?)?;
        let option = FrameOption::from_wire(cursor.u8("option").map_err(too_short)?);
        let mut metadata = Self {
            session_id,
            status,
            option,
            target: None,
            origin: None,
        };
        if status == SessionStatus::New {
            let opening = read_opening(&mut cursor, origins);
            let (target, origin) = opening.map_err(|reason| FrameError::BadTarget {
                session_id,
                option,
                reason,
            })?;
            metadata.target = Some(target);
            metadata.origin = origin.map(Box::new);
        }
        Ok(metadata)
    }

    /// Appends the metadata with its length prefix.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u16(0);
        out.put_u16(self.session_id);
        out.push(self.status as u8);
        out.push(self.option.to_wire());
        if let Some(target) = &self.target {
            write_target(out, target);
            if let Some(origin) = &self.origin {
                write_origin(out, target.network, origin);
            }
        }
        let len = (out.len() - start - 2) as u16; // at most 4 + 3 + 257 + 2 * 20 bytes
        out[start..start + 2].copy_from_slice(&len.to_be_bytes());
    }
}

/// What becomes of the bytes behind the target of a New frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Origins {
    /// They are later fields of others.
    #[default]
    Skipped,
    /// They say where the session comes from.
    Read,
}

/// Checks the length that stands in front of metadata.
///
/// # Errors
/// [`FrameError::TooLong`], [`FrameError::TooShort`].
pub fn check_length(len: usize) -> Result<(), FrameError> {
    match len {
        ..MIN_METADATA => Err(FrameError::TooShort(len)),
        MIN_METADATA..=MAX_METADATA => Ok(()),
        _ => Err(FrameError::TooLong(len)),
    }
}

fn read_opening(
    cursor: &mut Cursor,
    origins: Origins,
) -> Result<(Destination, Option<Origin>), TargetError> {
    let target = read_target(cursor)?;
    let origin = match origins {
        Origins::Skipped => None,
        Origins::Read => read_origin(cursor).map_err(TargetError::Origin)?,
    };
    Ok((target, origin))
}

fn read_target(cursor: &mut Cursor) -> Result<Destination, TargetError> {
    let network = match cursor.u8("network").map_err(TargetError::Truncated)? {
        NETWORK_TCP => Network::Tcp,
        NETWORK_UDP => Network::Udp,
        other => return Err(TargetError::UnknownNetwork(other)),
    };
    let (address, port) = read_port_address(cursor).map_err(TargetError::Address)?;
    Ok(Destination::new(network, address, port))
}

fn write_target(out: &mut Vec<u8>, target: &Destination) {
    write_network(out, target.network);
    write_port_address(out, &target.address, target.port);
}

fn write_network(out: &mut Vec<u8>, network: Network) {
    out.push(match network {
        Network::Tcp => NETWORK_TCP,
        Network::Udp => NETWORK_UDP,
    });
}

/// The visitor's address, and the one that he connected to. Either may be
/// missing; what follows them is ignored.
fn read_origin(cursor: &mut Cursor) -> Result<Option<Origin>, OriginError> {
    let source = is_next_known(cursor)?.then(|| read_port_ip(cursor));
    let source = source.transpose().map_err(OriginError::Address)?;
    let local = is_next_known(cursor)?.then(|| read_port_ip(cursor));
    let local = local.transpose().map_err(OriginError::Address)?;
    Ok(source.map(|source| Origin::new(source, local)))
}

fn is_next_known(cursor: &mut Cursor) -> Result<bool, OriginError> {
    match cursor.u8("network").unwrap_or(NETWORK_NONE) {
        NETWORK_NONE => Ok(false),
        NETWORK_TCP | NETWORK_UDP => Ok(true),
        other => Err(OriginError::UnknownNetwork(other)),
    }
}

fn write_origin(out: &mut Vec<u8>, network: Network, origin: &Origin) {
    for end in [Some(origin.source()), origin.local()] {
        match end {
            None => out.push(NETWORK_NONE),
            Some(end) => {
                write_network(out, network);
                write_port_address(out, &end.ip().into(), end.port());
            }
        }
    }
}

/// A New frame up to its payload: of `payload` bytes, or without a data part.
pub fn new_header(session_id: u16, target: &Destination, payload: Option<usize>) -> Vec<u8> {
    new_header_from(session_id, target, None, payload)
}

/// As [`new_header`], for a peer who wants to know where the session comes
/// from.
pub fn new_header_from(
    session_id: u16,
    target: &Destination,
    origin: Option<&Origin>,
    payload: Option<usize>,
) -> Vec<u8> {
    let metadata = FrameMetadata {
        session_id,
        status: SessionStatus::New,
        option: FrameOption {
            has_data: payload.is_some(),
            has_error: false,
        },
        target: Some(target.clone()),
        origin: origin.copied().map(Box::new),
    };
    let mut out = Vec::with_capacity(MAX_METADATA);
    metadata.encode(&mut out);
    if let Some(len) = payload {
        out.put_u16(data_length(len));
    }
    out
}

/// A Keep frame up to its payload of `payload` bytes.
pub fn keep_header(session_id: u16, payload: usize) -> [u8; 8] {
    let [id_hi, id_lo] = session_id.to_be_bytes();
    let [len_hi, len_lo] = data_length(payload).to_be_bytes();
    let status = SessionStatus::Keep as u8;
    [0, 4, id_hi, id_lo, status, DATA, len_hi, len_lo]
}

/// A KeepAlive frame of no session up to its payload of `payload` bytes.
pub fn keep_alive_header(payload: usize) -> [u8; 8] {
    let [len_hi, len_lo] = data_length(payload).to_be_bytes();
    let status = SessionStatus::KeepAlive as u8;
    [0, 4, 0, 0, status, DATA, len_hi, len_lo]
}

/// A whole End frame.
pub fn end_frame(session_id: u16, error: bool) -> [u8; 6] {
    let [id_hi, id_lo] = session_id.to_be_bytes();
    let option = FrameOption {
        has_data: false,
        has_error: error,
    };
    let status = SessionStatus::End as u8;
    [0, 4, id_hi, id_lo, status, option.to_wire()]
}

/// Writers cut streams into frames, and drop datagrams that do not fit.
fn data_length(len: usize) -> u16 {
    debug_assert!(len <= MAX_FRAME_PAYLOAD);
    len as u16
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn any_target() -> impl Strategy<Value = Destination> {
        let host = prop_oneof![
            any::<[u8; 4]>().prop_map(|b| std::net::Ipv4Addr::from(b).to_string()),
            any::<[u8; 16]>().prop_map(|b| std::net::Ipv6Addr::from(b).to_string()),
            "[a-z][a-z0-9.-]{0,254}".prop_map(String::from),
        ];
        let network = prop_oneof![Just(Network::Tcp), Just(Network::Udp)];
        (network, host, any::<u16>()).prop_map(|(network, host, port)| {
            Destination::new(network, host.parse().unwrap(), port)
        })
    }

    fn any_end() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
            any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
        ];
        (ip, any::<u16>()).prop_map(SocketAddr::from)
    }

    fn any_origin() -> impl Strategy<Value = Origin> {
        (any_end(), proptest::option::of(any_end()))
            .prop_map(|(source, local)| Origin::new(source, local))
    }

    fn any_opening() -> impl Strategy<Value = (SessionStatus, Option<Destination>, Option<Origin>)>
    {
        (any_target(), proptest::option::of(any_origin()))
            .prop_map(|(target, origin)| (SessionStatus::New, Some(target), origin))
    }

    fn any_metadata() -> impl Strategy<Value = FrameMetadata> {
        let status = prop_oneof![
            any_opening(),
            Just((SessionStatus::Keep, None, None)),
            Just((SessionStatus::End, None, None)),
            Just((SessionStatus::KeepAlive, None, None)),
        ];
        (any::<u16>(), status, any::<bool>(), any::<bool>()).prop_map(
            |(session_id, (status, target, origin), has_data, has_error)| FrameMetadata {
                session_id,
                status,
                option: FrameOption {
                    has_data,
                    has_error,
                },
                target,
                origin: origin.map(Box::new),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(metadata in any_metadata()) {
            let mut bytes = Vec::new();
            metadata.encode(&mut bytes);
            let (len, rest) = bytes.split_at(2);
            prop_assert_eq!(usize::from(u16::from_be_bytes([len[0], len[1]])), rest.len());
            prop_assert!(rest.len() <= MAX_METADATA);
            prop_assert_eq!(FrameMetadata::decode_with_origin(rest), Ok(metadata.clone()));
            let without = FrameMetadata { origin: None, ..metadata };
            prop_assert_eq!(FrameMetadata::decode(rest), Ok(without));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = FrameMetadata::decode(&bytes);
            let _ = FrameMetadata::decode_with_origin(&bytes);
        }
    }

    /// New for session 1 to tcp:192.0.2.9:80, and this behind it.
    fn followed_by(bytes: &[u8]) -> Result<Option<Box<Origin>>, FrameError> {
        let new = [0, 1, 1, 0, 1, 0, 80, 1, 192, 0, 2, 9];
        FrameMetadata::decode_with_origin(&[&new, bytes].concat()).map(|m| m.origin)
    }

    #[test]
    fn the_wire_form_of_an_origin_is_fixed() {
        let target = Destination::tcp("192.0.2.9", 80).unwrap();
        let source = "198.51.100.7:4660".parse().unwrap();
        let local = "[2001:db8::1]:8080".parse().unwrap();
        let header = |origin| new_header_from(1, &target, Some(&origin), None);
        let plain = new_header(1, &target, None);
        let both = header(Origin::new(source, Some(local)));
        assert_eq!(both[1], plain[1] + 8 + 20);
        let (start, behind) = both.split_at(plain.len());
        assert_eq!(start[2..], plain[2..]);
        assert_eq!(behind[..8], [1, 0x12, 0x34, 1, 198, 51, 100, 7]);
        assert_eq!(behind[8..12], [1, 0x1f, 0x90, 3]);
        let alone = header(Origin::new(source, None));
        assert_eq!(alone[plain.len()..], [1, 0x12, 0x34, 1, 198, 51, 100, 7, 0]);
    }

    #[test]
    fn an_origin_may_be_missing_in_parts_but_not_wrong() {
        let source = [2, 0x12, 0x34, 1, 198, 51, 100, 7];
        let known = |local: Option<&str>| {
            let source = "198.51.100.7:4660".parse().unwrap();
            let local = local.map(|text| text.parse().unwrap());
            Some(Box::new(Origin::new(source, local)))
        };
        assert_eq!(followed_by(&[]), Ok(None));
        assert_eq!(followed_by(&[0]), Ok(None));
        assert_eq!(followed_by(&[[0].as_slice(), &source].concat()), Ok(None));
        assert_eq!(followed_by(&source), Ok(known(None)));
        assert_eq!(followed_by(&[&source[..], &[0]].concat()), Ok(known(None)));
        let both = [source, source].concat();
        assert_eq!(followed_by(&both), Ok(known(Some("198.51.100.7:4660"))));
        let later = [&both[..], &[9, 9]].concat();
        assert_eq!(followed_by(&later), followed_by(&both));

        for wrong in [
            &[3][..],
            &source[..7],
            &[1, 0, 1, 2, 1, b'a'],
            &[1, 0, 1, 9],
        ] {
            let refused = followed_by(wrong).unwrap_err();
            let FrameError::BadTarget {
                session_id, reason, ..
            } = refused
            else {
                panic!("{refused:?}")
            };
            assert_eq!(session_id, 1);
            assert!(matches!(reason, TargetError::Origin(_)), "{wrong:?}");
        }
    }

    #[test]
    fn short_forms_are_what_encode_writes() {
        let metadata = |status, has_data, has_error| FrameMetadata {
            session_id: 0x0102,
            status,
            option: FrameOption {
                has_data,
                has_error,
            },
            target: None,
            origin: None,
        };
        let encoded = |metadata: FrameMetadata| {
            let mut bytes = Vec::new();
            metadata.encode(&mut bytes);
            bytes
        };
        let keep = encoded(metadata(SessionStatus::Keep, true, false));
        assert_eq!(keep_header(0x0102, 3)[..6], keep);
        assert_eq!(keep_header(0x0102, 3)[6..], [0, 3]);
        for error in [false, true] {
            let end = encoded(metadata(SessionStatus::End, false, error));
            assert_eq!(end_frame(0x0102, error)[..], end);
        }
    }
}
