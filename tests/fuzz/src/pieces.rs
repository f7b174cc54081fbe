//! Inputs that say in what pieces they arrive.

/// Most lengths in front of an input.
const MOST: usize = 7;

/// How often a part is repeated.
const TIMES: usize = 16;

/// A stream and how it is cut. The input's first byte says, in its low three
/// bits, how many lengths follow; each is one less than what its byte says,
/// and they are used in turn. The rest of the input is the stream.
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    lengths: &'a [u8],
    /// All of it; may be replaced.
    pub stream: &'a [u8],
    /// The first byte's other bits, for whatever else there is to choose.
    pub choice: u8,
}

impl<'a> Pieces<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        let (first, rest) = input.split_first().unwrap_or((&0, &[]));
        let count = usize::from(*first) & MOST;
        let (lengths, stream) = rest.split_at(count.min(rest.len()));
        Self {
            lengths,
            stream,
            choice: first >> 3,
        }
    }
}

/// A stream of which the part behind the first bytes, as many as its first one
/// says, comes sixteen times.
pub fn repeated(stream: &[u8]) -> Vec<u8> {
    let (first, rest) = stream.split_first().unwrap_or((&0, &[]));
    let (once, again) = rest.split_at(usize::from(*first).min(rest.len()));
    [once, &again.repeat(TIMES)].concat()
}

/// The pieces in turn, none of them empty; one if no lengths are given.
impl<'a> IntoIterator for Pieces<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter {
            pieces: self,
            turn: 0,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Iter<'a> {
    pieces: Pieces<'a>,
    turn: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let stream = self.pieces.stream;
        if stream.is_empty() {
            return None;
        }
        let lengths = self.pieces.lengths;
        let len = match lengths.len() {
            0 => stream.len(),
            count => usize::from(lengths[self.turn % count]) + 1,
        };
        self.turn += 1;
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        self.pieces.stream = rest;
        Some(piece)
    }
}
