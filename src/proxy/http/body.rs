use std::collections::VecDeque;

use super::chunked::{ChunkDecoder, ChunkError, LAST_CHUNK, Step, put_chunk, take_front};
use super::source::Source;
use super::wire::Body;
use crate::buf::Buf;
use crate::link::{LinkError, Reader, Writer};

/// Why a message was not passed on to its end.
#[derive(Debug)]
pub(super) enum SendError {
    /// Where it comes from, its framing is wrong.
    Malformed(&'static str),
    /// Where it comes from, it ends too early.
    Cut,
    /// It cannot be read.
    From(LinkError),
    /// It cannot be written.
    To(LinkError),
}

impl SendError {
    /// Whether it is the fault of who sent the message.
    pub(super) fn is_source(&self) -> bool {
        !matches!(self, SendError::To(_))
    }
}

impl From<ChunkError> for SendError {
    fn from(e: ChunkError) -> Self {
        SendError::Malformed(e.0)
    }
}

/// Writes `head`, and then the body that follows in `source`, in chunks or as
/// it is. The body is never held as a whole.
pub(super) fn send<R: Reader + ?Sized>(
    head: &[u8],
    body: Body,
    source: &mut Source<R>,
    chunked: bool,
    writer: &mut dyn Writer,
) -> Result<(), SendError> {
    let mut batch = VecDeque::from([Buf::copy_of(head)]);
    // Of chunks there may be less at hand than a byte of the body.
    if body == Body::Chunked || !source.has_ahead() {
        writer.write(&mut batch).map_err(SendError::To)?;
    }
    let mut body = BodyReader::new(body);
    while let Some(piece) = body.next(source)? {
        match chunked {
            true => put_chunk(&mut batch, piece),
            false => batch.push_back(piece),
        }
        writer.write(&mut batch).map_err(SendError::To)?;
    }
    if chunked {
        batch.push_back(Buf::copy_of(LAST_CHUNK));
    }
    writer.write(&mut batch).map_err(SendError::To)
}

/// Takes a body out of a stream.
enum BodyReader {
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

impl BodyReader {
    fn new(body: Body) -> Self {
        match body {
            Body::Length(len) => BodyReader::Length(len),
            Body::Chunked => BodyReader::Chunked(ChunkDecoder::new()),
            Body::UntilClose => BodyReader::UntilClose,
        }
    }

    /// The next piece, never an empty one; `None` after the last. Not to be
    /// called again after that.
    fn next<R: Reader + ?Sized>(
        &mut self,
        source: &mut Source<R>,
    ) -> Result<Option<Buf>, SendError> {
        if matches!(self, BodyReader::Length(0)) {
            return Ok(None);
        }
        loop {
            let Some(input) = source.fill(None).map_err(SendError::From)? else {
                return self.ended();
            };
            match self.take(input)? {
                Step::Data(piece) => return Ok(Some(piece)),
                Step::More => {}
                Step::End => return Ok(None),
            }
        }
    }

    fn take(&mut self, input: &mut Buf) -> Result<Step, SendError> {
        Ok(match self {
            BodyReader::Length(left) => {
                let piece = take_front(input, *left);
                *left -= piece.len() as u64;
                Step::Data(piece)
            }
            BodyReader::Chunked(decoder) => decoder.next(input)?,
            BodyReader::UntilClose => Step::Data(take_front(input, u64::MAX)),
        })
    }

    fn ended(&self) -> Result<Option<Buf>, SendError> {
        match self {
            BodyReader::UntilClose => Ok(None),
            _ => Err(SendError::Cut),
        }
    }
}
