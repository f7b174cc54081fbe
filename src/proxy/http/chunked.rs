//! Bodies in chunks (RFC 9112 section 7.1), without any I/O.
//!
//! Line ends are CR LF and nothing else: what two readers could read in two
//! ways is an error. Extensions and trailers are read past.

use std::collections::VecDeque;

use crate::buf::Buf;
use crate::limits::{MAX_HTTP_CHUNK_LINE, MAX_HTTP_HEAD};

/// What ends a body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkError(pub &'static str);

/// What came of some input.
#[derive(Debug)]
pub enum Step {
    /// A piece of the body; there may be more in the input.
    Data(Buf),
    /// The input is used up.
    More,
    /// The body has ended; what is left of the input comes after it.
    End,
}

/// Takes the framing off a body that arrives in pieces.
#[derive(Debug)]
pub struct ChunkDecoder {
    state: State,
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    End,
}

impl ChunkDecoder {
    /// A decoder that expects the first chunk.
    pub fn new() -> Self {
        Self {
            state: State::Size,
            line: Vec::new(),
            trailers: 0,
        }
    }

    /// Takes bytes off the front of `input`.
    ///
    /// # Errors
    /// Says what is wrong with the framing.
    pub fn next(&mut self, input: &mut Buf) -> Result<Step, ChunkError> {
        loop {
            self.state = match self.state {
                State::End => return Ok(Step::End),
                _ if input.is_empty() => return Ok(Step::More),
                State::Data(left) => return Ok(Step::Data(self.take_data(input, left))),
                State::Size | State::DataEnd | State::Trailers => match self.take_line(input)? {
                    Some(line) => self.after_line(&line)?,
                    None => return Ok(Step::More),
                },
            };
        }
    }

    fn take_data(&mut self, input: &mut Buf, left: u64) -> Buf {
        let piece = take_front(input, left);
        self.state = match left - piece.len() as u64 {
            0 => State::DataEnd,
            left => State::Data(left),
        };
        piece
    }

    fn after_line(&mut self, line: &[u8]) -> Result<State, ChunkError> {
        match self.state {
            State::Size => match chunk_size(line)? {
                0 => Ok(State::Trailers),
                size => Ok(State::Data(size)),
            },
            State::Trailers if line.is_empty() => Ok(State::End),
            State::Trailers => self.count_trailer(line.len()),
            _ if line.is_empty() => Ok(State::Size),
            _ => Err(ChunkError("chunk is longer than its size")),
        }
    }

    fn count_trailer(&mut self, len: usize) -> Result<State, ChunkError> {
        self.trailers += len;
        match self.trailers > MAX_HTTP_HEAD {
            true => Err(ChunkError("trailers are too large")),
            false => Ok(State::Trailers),
        }
    }

    /// A line without its end, once it is complete.
    fn take_line(&mut self, input: &mut Buf) -> Result<Option<Vec<u8>>, ChunkError> {
        let mut lines = input.as_slice().split_inclusive(|byte| *byte == b'\n');
        let part = lines.next().unwrap_or_default();
        if self.line.len() + part.len() > MAX_HTTP_CHUNK_LINE {
            return Err(ChunkError("line is too long"));
        }
        self.line.extend_from_slice(part);
        let taken = part.len();
        input.advance(taken);
        if !self.line.ends_with(b"\n") {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        match line.strip_suffix(b"\r\n") {
            Some(text) if !text.contains(&b'\r') => Ok(Some(text.to_vec())),
            _ => Err(ChunkError("line does not end in CR LF")),
        }
    }
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends `data`, which must not be empty, as a chunk.
pub fn put_chunk(batch: &mut VecDeque<Buf>, mut data: Buf) {
    let size = format!("{:x}\r\n", data.len());
    data.prepend(size.as_bytes());
    batch.push_back(data);
    batch.push_back(Buf::copy_of(b"\r\n"));
}

/// The first `most` bytes of `input`, or all of them.
pub(super) fn take_front(input: &mut Buf, most: u64) -> Buf {
    let len = usize::try_from(most).unwrap_or(usize::MAX);
    if input.len() <= len {
        return std::mem::replace(input, Buf::with_capacity(0));
    }
    let (front, _) = input.split_at(len);
    let front = Buf::copy_of(front);
    input.advance(len);
    front
}

fn chunk_size(line: &[u8]) -> Result<u64, ChunkError> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(size)
        .unwrap_or_default()
        .trim_end_matches([' ', '\t']);
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let size = u64::from_str_radix(digits, 16).ok();
    size.filter(|_| hexadecimal)
        .ok_or(ChunkError("bad chunk size"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body, whether it has ended, and what follows it.
    fn decode(stream: &[u8], piece: usize) -> Result<(Vec<u8>, bool, Vec<u8>), ChunkError> {
        let mut decoder = ChunkDecoder::new();
        let (mut body, mut ended, mut rest) = (Vec::new(), false, Vec::new());
        for piece in stream.chunks(piece) {
            let mut input = Buf::copy_of(piece);
            loop {
                match decoder.next(&mut input)? {
                    Step::Data(data) => body.extend_from_slice(data.as_slice()),
                    Step::More => break,
                    Step::End => {
                        ended = true;
                        break;
                    }
                }
            }
            rest.extend_from_slice(input.as_slice());
        }
        Ok((body, ended, rest))
    }

    fn encode(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut batch = VecDeque::new();
        for piece in pieces {
            put_chunk(&mut batch, Buf::copy_of(piece));
        }
        batch.push_back(Buf::copy_of(LAST_CHUNK));
        batch
            .iter()
            .flat_map(|buf| buf.as_slice().to_vec())
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_put_is_read_back(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5),
            after: Vec<u8>,
            piece in 1..700_usize,
        ) {
            let stream = [encode(&pieces), after.clone()].concat();
            let expected = (pieces.concat(), true, after);
            prop_assert_eq!(decode(&stream, piece), Ok(expected));
        }

        #[test]
        fn no_prefix_has_ended(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..3)) {
            let stream = encode(&pieces);
            for len in 0..stream.len() {
                let (_, ended, _) = decode(&stream[..len], 7).unwrap();
                prop_assert!(!ended, "{len} bytes");
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[0-9a-f;\r\n ]{0,40}") {
            let _ = decode(&bytes, 3);
            let _ = decode(text.as_bytes(), 3);
        }
    }

    #[test]
    fn extensions_and_trailers_are_read_past() {
        let stream = b"3;name=value\r\nabc\r\n00\r\nTrailer: x\r\nOther: y\r\n\r\nnext";
        let expected = (b"abc".to_vec(), true, b"next".to_vec());
        assert_eq!(decode(stream, 4), Ok(expected));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_an_error() {
        for stream in [
            &b"3\nabc\r\n0\r\n\r\n"[..],
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nab\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"0x3\r\nabc\r\n",
            b"+3\r\nabc\r\n",
            b" 3\r\nabc\r\n",
            b"\r\n",
            b"3 4\r\nabc\r\n",
            b"3;a\rb\r\nabc\r\n",
            b"10000000000000000\r\n",
            b"0\r\n\n",
        ] {
            assert!(
                decode(stream, 64).is_err(),
                "{:?}",
                String::from_utf8_lossy(stream)
            );
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded() {
        let line = |len: usize| [&b"1;"[..], &vec![b'a'; len - 4], b"\r\n"].concat();
        assert!(decode(&line(MAX_HTTP_CHUNK_LINE), 100).is_ok());
        assert!(decode(&line(MAX_HTTP_CHUNK_LINE + 1), 100).is_err());
        let trailers = [&b"0\r\n"[..], &b"A: b\r\n".repeat(MAX_HTTP_HEAD / 4 + 1)].concat();
        assert_eq!(
            decode(&trailers, 100),
            Err(ChunkError("trailers are too large"))
        );
    }
}
