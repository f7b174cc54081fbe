use std::collections::VecDeque;

use rand::Rng;

use super::cipher::ChunkCipher;
use super::sizes::{SizeField, Sizes};
use super::wire::{Direction, RequestHeader, TAG};
use crate::buf::Buf;
use crate::limits::{MAX_VMESS_CHUNK, VMESS_PADDING};

/// Most bytes behind the payload of a chunk: tag and padding.
pub(super) const TRAILER: usize = TAG + VMESS_PADDING - 1;

/// Most payload bytes of a chunk.
const LARGEST: usize = MAX_VMESS_CHUNK - TRAILER;

/// Makes the chunks of one direction (section 2.4), each in the buffer that its
/// payload comes in, as far as that has room.
#[derive(Debug)]
pub struct Sealer {
    sizes: Sizes,
    cipher: Option<ChunkCipher>,
}

impl Sealer {
    /// For one direction of the connection that `header` asks for.
    pub fn new(header: &RequestHeader, direction: Direction) -> Self {
        Self {
            sizes: Sizes::new(header, direction),
            cipher: ChunkCipher::of_body(header.security, &header.keys_of(direction)),
        }
    }

    /// Appends the chunk of `payload` to `out`, or its chunks if it is larger
    /// than one can be; none if it is empty, for that is the end.
    pub fn seal(&mut self, mut payload: Buf, out: &mut VecDeque<Buf>) {
        while payload.len() > LARGEST {
            let rest = payload.split_off(LARGEST);
            self.seal_chunk(payload, out);
            payload = rest;
        }
        if !payload.is_empty() {
            self.seal_chunk(payload, out);
        }
    }

    /// Appends the chunk that ends the direction.
    pub fn end(&mut self, out: &mut VecDeque<Buf>) {
        self.seal_chunk(Buf::with_capacity(TRAILER), out);
    }

    fn seal_chunk(&mut self, mut chunk: Buf, out: &mut VecDeque<Buf>) {
        let padding = self.sizes.padding();
        let cipher = self.cipher.as_mut();
        let tag = cipher.map(|cipher| cipher.seal(chunk.as_mut_slice()));
        let behind = tag.map_or(0, |tag| tag.len()) + padding;
        let field = self.sizes.write((chunk.len() + behind) as u16);
        put_field(field, &mut chunk, out);
        let apart = (chunk.spare().len() < behind).then(|| Buf::with_capacity(behind));
        out.push_back(chunk);
        out.extend(apart);
        if let Some(last) = out.back_mut() {
            tag.iter().for_each(|tag| last.extend(tag));
            let (room, _) = last.spare().split_at_mut(padding);
            rand::rng().fill_bytes(room);
            last.advance_end(padding);
        }
    }
}

/// A short field goes in front of the payload without a copy.
fn put_field(field: SizeField, chunk: &mut Buf, out: &mut VecDeque<Buf>) {
    match field {
        SizeField::Short(number) => chunk.prepend(&number),
        SizeField::Sealed(number, tag) => {
            let mut field = Buf::copy_of(&number);
            field.extend(&tag);
            out.push_back(field);
        }
    }
}
