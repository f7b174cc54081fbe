//! Streams whose every byte depends on a key and on its position, so that
//! lost, doubled, swapped and foreign bytes are all noticed.

use std::io::{self, Read, Write};

/// An endless keyed stream.
pub struct KeyedBytes {
    key: u64,
    position: u64,
    block: [u8; 8],
}

impl KeyedBytes {
    pub fn new(key: u64) -> Self {
        Self {
            key,
            position: 0,
            block: [0; 8],
        }
    }

    /// The first `length` bytes of the stream with this key.
    pub fn vec(key: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Self::new(key).fill(&mut bytes);
        bytes
    }

    fn fill(&mut self, target: &mut [u8]) {
        for byte in target {
            let at = (self.position % 8) as usize;
            if at == 0 {
                self.block = mix(mix(self.key) ^ self.position).to_le_bytes();
            }
            *byte = self.block[at];
            self.position += 1;
        }
    }
}

impl Read for KeyedBytes {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.fill(target);
        Ok(target.len())
    }
}

/// Compares what is written to it with a keyed stream.
pub struct Verifier(KeyedBytes);

impl Verifier {
    pub fn new(key: u64) -> Self {
        Self(KeyedBytes::new(key))
    }
}

impl Write for Verifier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.0.position;
        let mut expected = vec![0; bytes.len()];
        self.0.fill(&mut expected);
        match bytes.iter().zip(&expected).position(|(a, b)| a != b) {
            None => Ok(bytes.len()),
            Some(at) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("wrong byte at position {}", start + at as u64),
            )),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the first `length` bytes of the stream with this key.
pub fn send_keyed(mut to: impl Write, key: u64, length: u64) -> io::Result<()> {
    io::copy(&mut KeyedBytes::new(key).take(length), &mut to).map(drop)
}

/// Reads `length` bytes and compares them with the stream of this key.
pub fn expect_keyed(from: impl Read, key: u64, length: u64) -> io::Result<()> {
    let came = io::copy(&mut from.take(length), &mut Verifier::new(key))?;
    if came == length {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("stream ended after {came} of {length} bytes"),
    ))
}

/// The finalizer of SplitMix64: each bit of the result depends on all of `x`.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
