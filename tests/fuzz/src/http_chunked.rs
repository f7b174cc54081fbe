//! Bodies in chunks, in any pieces.

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::proxy::http::chunked::{ChunkDecoder, ChunkError, LAST_CHUNK, Step, put_chunk};

use super::pieces::Pieces;

/// A body as far as it was there.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    pub body: Vec<u8>,
    /// What follows it, once it has ended.
    pub rest: Option<Vec<u8>>,
    pub error: Option<ChunkError>,
}

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let decoded = decode(pieces);
    assert_eq!(decoded, decode([pieces.stream]));
    assert!(decoded.body.len() <= pieces.stream.len());
    if let Some(rest) = &decoded.rest {
        assert!(pieces.stream.ends_with(rest));
        is_read_back(&decoded.body, rest);
    }
}

pub fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = ChunkDecoder::new();
    let mut decoded = Decoded {
        body: Vec::new(),
        rest: None,
        error: None,
    };
    for piece in pieces {
        let mut input = Buf::copy_of(piece);
        while decoded.rest.is_none() {
            match decoder.next(&mut input) {
                Ok(Step::Data(data)) => decoded.body.extend_from_slice(data.as_slice()),
                Ok(Step::More) => break,
                Ok(Step::End) => decoded.rest = Some(Vec::new()),
                Err(e) => {
                    decoded.error = Some(e);
                    return decoded;
                }
            }
        }
        if let Some(rest) = &mut decoded.rest {
            rest.extend_from_slice(input.as_slice());
        }
    }
    decoded
}

fn is_read_back(body: &[u8], rest: &[u8]) {
    let mut batch = VecDeque::new();
    for piece in body.chunks(5) {
        put_chunk(&mut batch, Buf::copy_of(piece));
    }
    batch.push_back(Buf::copy_of(LAST_CHUNK));
    batch.push_back(Buf::copy_of(rest));
    let stream: Vec<u8> = batch
        .iter()
        .flat_map(|buf| buf.as_slice().to_vec())
        .collect();
    let expected = Decoded {
        body: body.to_vec(),
        rest: Some(rest.to_vec()),
        error: None,
    };
    assert_eq!(decode([&stream[..]]), expected);
}
