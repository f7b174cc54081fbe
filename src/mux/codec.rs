//! Frames out of a byte stream that arrives in pieces of any size.

use super::frame::{FrameError, FrameMetadata, FrameOption, Origins, check_length};
use crate::limits::{MAX_METADATA, MIN_METADATA};

/// What the bytes of a carrier mean, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame begins.
    Frame {
        /// Its metadata, or [`FrameError::BadTarget`].
        metadata: Result<FrameMetadata, FrameError>,
        /// How many payload bytes follow; `None` if it has no data part.
        payload: Option<usize>,
    },
    /// The next piece of that frame's payload. Never empty.
    Payload {
        /// The piece.
        bytes: &'a [u8],
        /// How many bytes follow it.
        left: usize,
    },
}

/// A decoder that consumes exactly the bytes that each frame declares,
/// whatever becomes of the frame (A26).
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// The start of a head whose end has not arrived.
    partial: Vec<u8>,
    /// Payload bytes of the current frame that have not been delivered.
    payload_left: usize,
    origins: Origins,
}

impl FrameDecoder {
    /// A decoder at the start of a carrier.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on New frames may say where their sessions come from.
    pub fn read_origins(&mut self) {
        self.origins = Origins::Read;
    }

    /// Takes the next event off the front of `input`; `None` when all of it
    /// has been taken.
    ///
    /// # Errors
    /// Those of [`FrameError`] that end the carrier.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, FrameError> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.payload_left > 0 {
            return Ok(Some(self.take_payload(input)));
        }
        if self.partial.is_empty() {
            return self.head_in_place(input);
        }
        self.head_in_pieces(input)
    }

    /// `len` payload bytes of the current frame go another way.
    ///
    /// # Panics
    /// When that many are not still to come.
    pub(super) fn skip_payload(&mut self, len: usize) {
        assert!(len <= self.payload_left, "past the frame's end");
        self.payload_left -= len;
    }

    /// Payload bytes of the current frame that are still to come.
    pub fn payload_left(&self) -> usize {
        self.payload_left
    }

    /// Whether the carrier may end here without cutting a frame.
    pub fn at_boundary(&self) -> bool {
        self.partial.is_empty() && self.payload_left == 0
    }

    fn take_payload<'a>(&mut self, input: &mut &'a [u8]) -> Event<'a> {
        let len = input.len().min(self.payload_left);
        let (bytes, rest) = input.split_at(len);
        *input = rest;
        self.payload_left -= len;
        Event::Payload {
            bytes,
            left: self.payload_left,
        }
    }

    fn head_in_place<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, FrameError> {
        let Some(len) = whole_head(input)? else {
            self.partial.reserve(MAX_HEAD);
            self.partial.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let (head, rest) = input.split_at(len);
        *input = rest;
        self.begin(head).map(Some)
    }

    fn head_in_pieces<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, FrameError> {
        while let Some((byte, rest)) = input.split_first() {
            self.partial.push(*byte);
            *input = rest;
            if whole_head(&self.partial)?.is_some() {
                let mut head = std::mem::take(&mut self.partial);
                let event = self.begin(&head);
                head.clear();
                self.partial = head; // its memory serves the next
                return event.map(Some);
            }
        }
        Ok(None)
    }

    /// `head` is whole: length, metadata, and the data length if there is one.
    fn begin<'a>(&mut self, head: &[u8]) -> Result<Event<'a>, FrameError> {
        let metadata_len = be16(head).unwrap_or(0);
        let metadata_end = (LENGTH + metadata_len).min(head.len());
        let payload = head.get(metadata_end..).and_then(be16);
        let metadata = head.get(LENGTH..metadata_end).unwrap_or(&[]);
        let metadata = match FrameMetadata::decode_as(metadata, self.origins) {
            Err(e) if !matches!(e, FrameError::BadTarget { .. }) => return Err(e),
            other => other,
        };
        self.payload_left = payload.unwrap_or(0);
        Ok(Event::Frame { metadata, payload })
    }
}

/// Bytes of a length field.
const LENGTH: usize = 2;

/// Longest head: both length fields and the metadata.
const MAX_HEAD: usize = LENGTH + MAX_METADATA + LENGTH;

/// Length of the head that `bytes` start with, once it is all there.
fn whole_head(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(metadata_len) = be16(bytes) else {
        return Ok(None);
    };
    check_length(metadata_len)?;
    // The option byte is the last of the fields that every frame has.
    let Some(option) = bytes.get(LENGTH + MIN_METADATA - 1) else {
        return Ok(None);
    };
    let has_data = FrameOption::from_wire(*option).has_data;
    let len = LENGTH + metadata_len + if has_data { LENGTH } else { 0 };
    Ok((bytes.len() >= len).then_some(len))
}

fn be16(bytes: &[u8]) -> Option<usize> {
    let (&[hi, lo], _) = bytes.split_first_chunk()?;
    Some(u16::from_be_bytes([hi, lo]).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mux::frame::{SessionStatus, end_frame, keep_header, new_header};
    use crate::net::Destination;

    /// What one frame came to: id, status if readable, payload.
    type Seen = (Option<(u16, SessionStatus)>, Vec<u8>);

    fn decode_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Seen>, FrameError> {
        let mut decoder = FrameDecoder::new();
        let mut seen: Vec<Seen> = Vec::new();
        for mut input in bytes.chunks(piece) {
            while let Some(event) = decoder.next(&mut input)? {
                match event {
                    Event::Frame { metadata, .. } => {
                        let known = metadata.ok().map(|m| (m.session_id, m.status));
                        seen.push((known, Vec::new()));
                    }
                    Event::Payload { bytes, .. } => seen.last_mut().unwrap().1.extend(bytes),
                }
            }
        }
        Ok(seen)
    }

    fn sample() -> Vec<u8> {
        let target = Destination::tcp("example.com", 80).unwrap();
        let mut bytes = new_header(1, &target, Some(2));
        bytes.extend(b"hi");
        bytes.extend([0, 5, 0, 9, 1, 1, 7, 0, 3]); // New with an unknown network
        bytes.extend(b"bad");
        bytes.extend(keep_header(1, 4));
        bytes.extend(b"data");
        bytes.extend(keep_header(1, 0));
        bytes.extend(end_frame(1, false));
        bytes
    }

    #[test]
    fn pieces_of_any_size_give_the_same_frames() {
        let bytes = sample();
        let whole = decode_in_pieces(&bytes, bytes.len()).unwrap();
        let expected: Vec<Seen> = vec![
            (Some((1, SessionStatus::New)), b"hi".into()),
            (None, b"bad".into()),
            (Some((1, SessionStatus::Keep)), b"data".into()),
            (Some((1, SessionStatus::Keep)), b"".into()),
            (Some((1, SessionStatus::End)), b"".into()),
        ];
        assert_eq!(whole, expected);
        for piece in 1..bytes.len() {
            assert_eq!(
                decode_in_pieces(&bytes, piece).unwrap(),
                expected,
                "{piece}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_pieces_agree(bytes: Vec<u8>, piece in 1usize..9) {
            let whole = decode_in_pieces(&bytes, bytes.len().max(1));
            prop_assert_eq!(decode_in_pieces(&bytes, piece), whole);
        }
    }
}
