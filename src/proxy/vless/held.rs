//! Headers that wait for their first payload, on both sides of a connection.

use std::collections::VecDeque;
use std::sync::Arc;

use log::info;

use super::wire::{HeaderError, read_response};
use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, MAX_VLESS_ADDONS};
use crate::link::{Handle, Layer, LinkError, ReadResult, Reader, Writer, try_write_each};
use crate::pipe::Wake;
use crate::sync::Complaints;
use crate::wire::Cursor;

/// Longest response header: version, length, addons.
const MAX_RESPONSE: usize = 2 + MAX_VLESS_ADDONS;

/// Servers that said nothing at all.
static SILENT_ENDS: Complaints = Complaints::new();

/// What becomes of a header that no payload comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// A flush or the close sends it: it is a request.
    Sent,
    /// It is forgotten: section 1.2, a response without a byte has no header.
    Dropped,
}

/// Sends a header together with the first payload, and after that nothing of
/// its own.
pub(super) struct HeldWriter<W> {
    inner: W,
    header: Option<Buf>,
    alone: Alone,
}

impl<W: Writer> HeldWriter<W> {
    pub(super) fn new(inner: W, header: &[u8], alone: Alone) -> Self {
        Self {
            inner,
            header: Some(Buf::copy_of(header)),
            alone,
        }
    }

    fn send_alone(&mut self) -> Result<(), LinkError> {
        match self.header.take_if(|_| self.alone == Alone::Sent) {
            Some(header) => self.inner.write(&mut [header].into()),
            None => Ok(()),
        }
    }
}

/// Sends what it can of header and data; what was not sent of the header
/// stays in `header`.
fn try_write_behind(
    inner: &mut impl Writer,
    header: &mut Buf,
    data: &[u8],
) -> Result<usize, LinkError> {
    let data = data.get(..BUFFER_CLASSES[2]).unwrap_or(data);
    let mut joined = Buf::with_capacity(header.len() + data.len());
    joined.extend(header.as_slice());
    joined.extend(data);
    let sent = inner.try_write(joined.as_slice())?;
    let of_data = sent.saturating_sub(header.len());
    header.advance(sent);
    match of_data {
        0 if !data.is_empty() => Err(LinkError::WouldBlock),
        len => Ok(len),
    }
}

#[deny(clippy::missing_trait_methods)]
impl<W: Writer> Writer for HeldWriter<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if let Some(header) = self.header.take_if(|_| !batch.is_empty()) {
            batch.push_front(header);
        }
        self.inner.write(batch)
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let Some(header) = &mut self.header else {
            return self.inner.try_write(data);
        };
        let sent = try_write_behind(&mut self.inner, header, data);
        if header.is_empty() {
            self.header = None;
        }
        sent
    }

    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        match self.header {
            None => self.inner.try_write_quietly(data),
            Some(_) => Ok((self.try_write(data)?, Wake::default())),
        }
    }

    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        match self.header {
            None => self.inner.try_write_batch(batch),
            Some(_) => try_write_each(self, batch),
        }
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        match self.header {
            None => self.inner.start_write(batch),
            Some(_) => try_write_each(self, batch).map(|()| true),
        }
    }

    fn try_write_pieces(&mut self, pieces: &[&[u8]]) -> Result<usize, LinkError> {
        match self.header {
            None => self.inner.try_write_pieces(pieces),
            Some(_) => Err(LinkError::WouldBlock),
        }
    }

    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        match self.header {
            None => self.inner.try_keep(buf),
            Some(_) => Err(buf),
        }
    }

    fn hold_little(&mut self) {
        self.inner.hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.send_alone()?;
        self.inner.flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.send_alone()?;
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

/// Takes the response header off the front of what arrives.
pub(super) struct ResponseReader<R> {
    inner: R,
    /// The header so far, until it is complete.
    header: Option<Vec<u8>>,
    /// Names the outbound in the log.
    tag: Arc<str>,
}

impl<R: Reader> ResponseReader<R> {
    pub(super) fn new(inner: R, tag: Arc<str>) -> Self {
        Self {
            inner,
            header: Some(Vec::new()),
            tag,
        }
    }

    /// Returns what of `input` is payload.
    fn take_header(&mut self, mut input: Buf) -> Result<Buf, LinkError> {
        let Some(header) = &mut self.header else {
            return Ok(input);
        };
        let known = header.len();
        let (part, _) = input.split_at(MAX_RESPONSE - known);
        header.extend_from_slice(part);
        let mut cursor = Cursor::new(header);
        match read_response(&mut cursor) {
            Ok(_) => {
                input.advance(header.len() - cursor.remaining() - known);
                self.header = None;
            }
            Err(e) if e.is_incomplete() => input.advance(header.len() - known),
            Err(HeaderError::Version(_)) => return Err(LinkError::Protocol("unknown version")),
            Err(_) => return Err(LinkError::Protocol("bad response header")),
        }
        Ok(input)
    }

    /// A server whose target says nothing ends without a header; so does one
    /// that refuses us, and there is no telling which.
    fn ended(&mut self) -> ReadResult {
        match self.header.take() {
            Some(part) if !part.is_empty() => {
                Err(LinkError::Protocol("server ends within its header"))
            }
            _ => {
                if let Some(unsaid) = SILENT_ENDS.turn() {
                    let tag = &self.tag;
                    info!(
                        "[{tag}] the server ended without a word: it refused us, or its target said nothing{unsaid}"
                    );
                }
                Ok(None)
            }
        }
    }
}

impl<R: Reader> Layer for ResponseReader<R> {
    type Below = R;

    fn below(&self) -> &R {
        &self.inner
    }

    fn below_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    fn next(&mut self, mut more: impl FnMut(&mut R) -> ReadResult) -> ReadResult {
        while self.header.is_some() {
            let Some(input) = more(&mut self.inner)? else {
                return self.ended();
            };
            let payload = self.take_header(input)?;
            if !payload.is_empty() {
                return Ok(Some(payload));
            }
        }
        more(&mut self.inner)
    }

    fn is_clear(&self) -> bool {
        self.header.is_none()
    }

    fn preferred(&self, len: usize) -> Option<usize> {
        self.is_clear().then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::link::pair;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Takes a given number of bytes at each attempt.
    struct Trickle {
        room: VecDeque<usize>,
        taken: Vec<u8>,
    }

    impl Writer for Trickle {
        fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
            batch
                .drain(..)
                .for_each(|buf| self.taken.extend_from_slice(buf.as_slice()));
            Ok(())
        }

        fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
            match self.room.pop_front() {
                None | Some(0) => Err(LinkError::WouldBlock),
                Some(room) => {
                    let len = room.min(data.len());
                    self.taken.extend_from_slice(&data[..len]);
                    Ok(len)
                }
            }
        }

        fn close(&mut self) -> Result<(), LinkError> {
            Ok(())
        }

        fn abort(&mut self) {}

        fn handle(&self) -> Handle {
            unreachable!("not asked for here")
        }
    }

    fn try_all(room: &[usize]) -> Vec<u8> {
        let inner = Trickle {
            room: room.iter().copied().collect(),
            taken: Vec::new(),
        };
        let mut writer = HeldWriter::new(inner, b"HEAD", Alone::Sent);
        let mut rest = &b"payload"[..];
        for _ in room {
            match writer.try_write(rest) {
                Ok(len) => rest = &rest[len..],
                Err(e) => assert!(matches!(e, LinkError::WouldBlock)),
            }
        }
        writer.write(&mut [Buf::copy_of(rest)].into()).unwrap();
        writer.inner.taken
    }

    #[test]
    fn a_header_that_goes_out_in_parts_is_sent_once_and_loses_nothing() {
        for room in [
            &[0][..],
            &[2],
            &[2, 1, 1],
            &[4],
            &[4, 3],
            &[6],
            &[6, 0, 9],
            &[3, 4],
        ] {
            assert_eq!(try_all(room), b"HEADpayload", "{room:?}");
        }
    }

    fn end_unsent(alone: Alone) -> (Option<Buf>, Option<Buf>) {
        let (near, mut far) = pair(1024);
        let mut writer = HeldWriter::new(near.writer, b"HEAD", alone);
        writer.flush().unwrap();
        let flushed = far
            .reader
            .read_timeout(Duration::from_millis(1))
            .ok()
            .flatten();
        writer.close().unwrap();
        (flushed, far.reader.read_timeout(PATIENCE).unwrap())
    }

    #[test]
    fn a_request_goes_alone_and_a_response_does_not() {
        let (flushed, rest) = end_unsent(Alone::Sent);
        assert_eq!(flushed.unwrap().as_slice(), b"HEAD");
        assert!(rest.is_none());
        let (flushed, rest) = end_unsent(Alone::Dropped);
        assert!(flushed.is_none() && rest.is_none());
    }

    /// What a reader behind these pieces delivers, and how it ends.
    fn read_all(pieces: &[&[u8]]) -> (Vec<u8>, Result<(), LinkError>) {
        let (near, mut far) = pair(64 * 1024);
        for piece in pieces {
            far.writer.write(&mut [Buf::copy_of(piece)].into()).unwrap();
        }
        far.writer.close().unwrap();
        let mut reader = ResponseReader::new(near.reader, "t".into());
        let mut payload = Vec::new();
        loop {
            match reader.read_timeout(PATIENCE) {
                Ok(Some(buf)) => payload.extend_from_slice(buf.as_slice()),
                Ok(None) => return (payload, Ok(())),
                Err(e) => return (payload, Err(e)),
            }
        }
    }

    #[test]
    fn the_response_header_is_taken_off_however_it_comes() {
        let addons = [&[0, 255, 0x12, 252, 1][..], &[7; 252], b"rest"].concat();
        let whole = [0, 0, b'r', b'e', b's', b't'];
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        for pieces in [
            &[&whole[..]][..],
            &single,
            &[&[0], &[0, b'r'], b"est"],
            &[&addons],
        ] {
            let (payload, end) = read_all(pieces);
            assert_eq!(payload, b"rest");
            assert!(end.is_ok());
        }
    }

    #[test]
    fn only_a_response_without_a_byte_may_end_early() {
        assert!(matches!(read_all(&[]), (payload, Ok(())) if payload.is_empty()));
        for bad in [&[0][..], &[0, 3, 1], &[1, 0], &[0, 1, 0x0a]] {
            assert!(
                matches!(read_all(&[bad]).1, Err(LinkError::Protocol(_))),
                "{bad:?}"
            );
        }
    }
}
