//! A cursor over received bytes that never reads past them, and the writers
//! that go with it. Integers are in network byte order.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice))]

use std::fmt;

use byteorder::{ByteOrder, NetworkEndian};

/// The input ended before the named field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// The field that is missing, for messages.
    pub field: &'static str,
    /// Whether not a single byte of the field was there.
    pub at_start: bool,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input ends within {}", self.field)
    }
}

impl std::error::Error for Truncated {}

/// Reads fields off the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have not been read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Truncated {
            field,
            at_start: self.rest.is_empty(),
        })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes by value.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Truncated> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Truncated> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Truncated> {
        self.take(2, field).map(NetworkEndian::read_u16)
    }

    /// Four bytes.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Truncated> {
        self.take(4, field).map(NetworkEndian::read_u32)
    }

    /// Eight bytes.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Truncated> {
        self.take(8, field).map(NetworkEndian::read_u64)
    }
}

/// Appends fields to a byte vector.
pub trait Put {
    /// Two bytes.
    fn put_u16(&mut self, value: u16);
    /// Four bytes.
    fn put_u32(&mut self, value: u32);
    /// Eight bytes.
    fn put_u64(&mut self, value: u64);
}

impl Put for Vec<u8> {
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_order_and_stops_at_the_end() {
        let mut cursor = Cursor::new(&[1, 0, 2, 0, 0, 0, 3, 9]);
        assert_eq!(cursor.u8("a"), Ok(1));
        assert_eq!(cursor.u16("b"), Ok(2));
        assert_eq!(cursor.u32("c"), Ok(3));
        let missing = Truncated {
            field: "d",
            at_start: false,
        };
        assert_eq!(cursor.u64("d"), Err(missing));
        assert_eq!(cursor.rest(), &[9]);
    }

    #[test]
    fn what_is_put_is_read_back() {
        let mut bytes = Vec::new();
        bytes.put_u16(0x0102);
        bytes.put_u32(0x0304_0506);
        bytes.put_u64(0x0708_090a_0b0c_0d0e);
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u16("a"), Ok(0x0102));
        assert_eq!(cursor.u32("b"), Ok(0x0304_0506));
        assert_eq!(cursor.u64("c"), Ok(0x0708_090a_0b0c_0d0e));
        assert_eq!(cursor.remaining(), 0);
    }
}
