//! The response header as it arrives (section 2.5).

use super::wire::{Direction, HeaderSeal, RequestHeader, SEALED_LENGTH, TAG, check_response};
use crate::buf::Buf;
use crate::limits::MAX_VMESS_RESPONSE;

const FOREIGN: &str = "the response is not to this request";

/// Takes the response header off the front of what arrives.
#[derive(Debug)]
pub(super) struct ResponseDecoder {
    seal: HeaderSeal,
    answer: u8,
    /// What of it has arrived.
    bytes: Buf,
    /// Bytes of the whole, once they are known.
    len: Option<usize>,
}

impl ResponseDecoder {
    /// For the response to this request.
    pub(super) fn new(request: &RequestHeader) -> Self {
        Self {
            seal: HeaderSeal::of_response(&request.keys_of(Direction::Response)),
            answer: request.answer,
            bytes: Buf::with_capacity(SEALED_LENGTH + MAX_VMESS_RESPONSE + TAG),
            len: None,
        }
    }

    /// Takes what belongs to the header; returns whether that was all.
    pub(super) fn take(&mut self, input: &mut Buf) -> Result<bool, &'static str> {
        if !self.bytes.fill_to(SEALED_LENGTH, input) {
            return Ok(false);
        }
        let len = match self.len {
            Some(len) => len,
            None => self.open_length()?,
        };
        self.len = Some(len);
        if !self.bytes.fill_to(len, input) {
            return Ok(false);
        }
        let (_, sealed) = self.bytes.split_at(SEALED_LENGTH);
        let plain = self.seal.open(sealed).map_err(|_| FOREIGN)?;
        check_response(&plain, self.answer).map_err(|_| FOREIGN)?;
        Ok(true)
    }

    /// What it means that there is no more.
    pub(super) fn cut_short(&self) -> &'static str {
        match self.bytes.is_empty() {
            true => {
                "the server ended without a word: it does not know the user, or its clock differs \
                 by more than two minutes"
            }
            false => "the server ended within its header",
        }
    }

    fn open_length(&self) -> Result<usize, &'static str> {
        let (sealed, _) = self.bytes.as_slice().split_first_chunk().ok_or(FOREIGN)?;
        match self.seal.open_length(sealed) {
            Ok(len) if len <= MAX_VMESS_RESPONSE => Ok(SEALED_LENGTH + len + TAG),
            _ => Err(FOREIGN),
        }
    }
}
