//! The size in front of every chunk (section 2.4).

use std::fmt;

use shake::digest::{ExtendableOutput, Update, XofReader};
use shake::{Shake128, Shake128Reader};

use super::aead::Forged;
use super::cipher::ChunkCipher;
use super::wire::{Direction, Options, RequestHeader, Security, TAG};
use crate::limits::VMESS_PADDING;
use crate::net::Network;

/// Writes or reads the sizes of one direction, in their order.
pub(super) struct Sizes {
    numbers: Shake128Reader,
    is_padded: bool,
    field: Field,
}

enum Field {
    Plain,
    Masked,
    /// And how much of a chunk the written number leaves out.
    Sealed(Box<ChunkCipher>, u16),
}

/// A size field.
#[derive(Debug, Clone, Copy)]
pub(super) enum SizeField {
    Short([u8; 2]),
    Sealed([u8; 2], [u8; TAG]),
}

impl Sizes {
    /// For one direction of the connection that `header` asks for.
    pub(super) fn new(header: &RequestHeader, direction: Direction) -> Self {
        let (security, options) = (header.security, header.options);
        let sealed = options.has(Options::SEALED_SIZES);
        let cipher = sealed.then(|| ChunkCipher::of_sizes(security, &header.keys));
        let field = match cipher.flatten() {
            Some(cipher) => Field::Sealed(Box::new(cipher), TAG as u16),
            None if options.has(Options::MASK) => Field::Masked,
            None => Field::Plain,
        };
        let mut hash = Shake128::default();
        hash.update(&header.keys_of(direction).iv);
        let never_padded = security == Security::None && header.target.network == Network::Tcp;
        Self {
            numbers: hash.finalize_xof(),
            is_padded: options.has(Options::PADDING) && !never_padded,
            field,
        }
    }

    /// Bytes of a size field.
    pub(super) fn field_len(&self) -> usize {
        match self.field {
            Field::Plain | Field::Masked => 2,
            Field::Sealed(..) => 2 + TAG,
        }
    }

    /// Bytes of padding in the next chunk; to be asked once for each, before
    /// its size.
    pub(super) fn padding(&mut self) -> usize {
        match self.is_padded {
            true => usize::from(self.number()) % VMESS_PADDING,
            false => 0,
        }
    }

    /// The field for a chunk of `size` bytes after it.
    pub(super) fn write(&mut self, size: u16) -> SizeField {
        let mask = match self.field {
            Field::Masked => self.number(),
            _ => 0,
        };
        match &mut self.field {
            Field::Plain | Field::Masked => SizeField::Short((size ^ mask).to_be_bytes()),
            Field::Sealed(cipher, left_out) => {
                let mut number = size.saturating_sub(*left_out).to_be_bytes();
                let tag = cipher.seal(&mut number);
                SizeField::Sealed(number, tag)
            }
        }
    }

    /// How many bytes follow `field`, which has [`field_len`](Self::field_len)
    /// bytes.
    pub(super) fn read(&mut self, field: &[u8]) -> Result<usize, Forged> {
        let (first, tag) = field.split_first_chunk::<2>().ok_or(Forged)?;
        let mut number = *first;
        let mask = match self.field {
            Field::Masked => self.number(),
            _ => 0,
        };
        let Field::Sealed(cipher, left_out) = &mut self.field else {
            return Ok((u16::from_be_bytes(number) ^ mask).into());
        };
        cipher.open(&mut number, tag.try_into().map_err(|_| Forged)?)?;
        Ok(usize::from(u16::from_be_bytes(number)) + usize::from(*left_out))
    }

    fn number(&mut self) -> u16 {
        let mut number = [0; 2];
        self.numbers.read(&mut number);
        u16::from_be_bytes(number)
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sizes")
    }
}
