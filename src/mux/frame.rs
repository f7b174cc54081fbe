//! Frame metadata as bytes (section 8.1): pure functions on slices.

use std::fmt;

use crate::limits::{MAX_FRAME_PAYLOAD, MAX_METADATA, MIN_METADATA};
use crate::net::{AddressError, Destination, Network, read_port_address, write_port_address};
use crate::wire::{Cursor, Put, Truncated};

const DATA: u8 = 0x01;
const ERROR: u8 = 0x02;
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
    /// A New frame whose target cannot be read. Its length is known all the
    /// same, so it is enough to refuse the session.
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
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TargetError::Truncated(inner) => Some(inner),
            TargetError::Address(inner) => Some(inner),
            TargetError::UnknownNetwork(_) => None,
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
        check_length(bytes.len())?;
        let too_short = |_| FrameError::TooShort(bytes.len());
        let mut cursor = Cursor::new(bytes);
        let session_id = cursor.u16("session id").map_err(too_short)?;
        let status = SessionStatus::from_wire(cursor.u8("status").map_err(too_short)?)?;
        let option = FrameOption::from_wire(cursor.u8("option").map_err(too_short)?);
        let target = match status {
            SessionStatus::New => {
                Some(
                    read_target(&mut cursor).map_err(|reason| FrameError::BadTarget {
                        session_id,
                        option,
                        reason,
                    })?,
                )
            }
            _ => None,
        };
        Ok(Self {
            session_id,
            status,
            option,
            target,
        })
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
        }
        let len = (out.len() - start - 2) as u16; // at most 4 + 3 + 257 bytes
        out[start..start + 2].copy_from_slice(&len.to_be_bytes());
    }
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
    out.push(match target.network {
        Network::Tcp => NETWORK_TCP,
        Network::Udp => NETWORK_UDP,
    });
    write_port_address(out, &target.address, target.port);
}

/// A New frame up to its payload: of `payload` bytes, or without a data part.
pub fn new_header(session_id: u16, target: &Destination, payload: Option<usize>) -> Vec<u8> {
    let metadata = FrameMetadata {
        session_id,
        status: SessionStatus::New,
        option: FrameOption {
            has_data: payload.is_some(),
            has_error: false,
        },
        target: Some(target.clone()),
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

    fn any_metadata() -> impl Strategy<Value = FrameMetadata> {
        let status = prop_oneof![
            any_target().prop_map(|t| (SessionStatus::New, Some(t))),
            Just((SessionStatus::Keep, None)),
            Just((SessionStatus::End, None)),
            Just((SessionStatus::KeepAlive, None)),
        ];
        (any::<u16>(), status, any::<bool>(), any::<bool>()).prop_map(
            |(session_id, (status, target), has_data, has_error)| FrameMetadata {
                session_id,
                status,
                option: FrameOption {
                    has_data,
                    has_error,
                },
                target,
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
            prop_assert_eq!(FrameMetadata::decode(rest), Ok(metadata));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = FrameMetadata::decode(&bytes);
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
