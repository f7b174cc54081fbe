use std::collections::VecDeque;
use std::sync::Arc;

use log::info;

use super::opener::{BodyError, Opener};
use super::response::ResponseDecoder;
use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, MAX_VMESS_CHUNK};
use crate::link::{Layer, LinkError, ReadResult, Reader};
use crate::sync::Complaints;

/// Chunks from this size on are read one by one, so that they arrive in the
/// buffer that they are decrypted in.
const READ_ALONE: usize = BUFFER_CLASSES[2];

/// Servers that said nothing behind their header.
static EMPTY_ANSWERS: Complaints = Complaints::new();

/// Bodies that were damaged or cut.
static DAMAGES: Complaints = Complaints::new();

/// Delivers what comes in the chunks of one direction.
pub(super) struct BodyReader<R> {
    inner: R,
    /// What stands in front of the body, until it is complete.
    response: Option<ResponseDecoder>,
    /// A V2Ray server says nothing behind its header if its target said
    /// nothing (section 2.5).
    may_be_empty: bool,
    opener: Opener,
    ready: VecDeque<Buf>,
    /// What went wrong stays wrong.
    failed: Option<&'static str>,
    /// Names the inbound or outbound in the log.
    tag: Arc<str>,
}

impl<R: Reader> BodyReader<R> {
    /// A body with nothing in front.
    pub(super) fn new(inner: R, opener: Opener, tag: Arc<str>) -> Self {
        Self {
            inner,
            response: None,
            may_be_empty: false,
            opener,
            ready: VecDeque::new(),
            failed: None,
            tag,
        }
    }

    /// A body behind a response.
    pub(super) fn behind(self, response: ResponseDecoder) -> Self {
        Self {
            response: Some(response),
            may_be_empty: true,
            ..self
        }
    }

    /// What goes wrong is told after what was good before it.
    fn fill(&mut self, input: Option<Buf>) {
        let taken = match input {
            Some(input) => self.take(input),
            None => self.ended(),
        };
        if let Err(what) = taken {
            self.fail(what);
        }
    }

    fn ask_for_a_chunk(&mut self) {
        let missing = self.opener.missing();
        if (READ_ALONE..=MAX_VMESS_CHUNK).contains(&missing) {
            self.inner.prefer(missing + self.opener.field_len());
        }
    }

    fn take(&mut self, mut input: Buf) -> Result<(), &'static str> {
        if let Some(response) = &mut self.response {
            if !response.take(&mut input)? {
                return Ok(());
            }
            self.response = None;
        }
        let opened = self.opener.push(input, &mut self.ready);
        if self.opener.has_ended() {
            self.inner.conclude();
        }
        opened.map_err(BodyError::text)
    }

    /// The connection has ended.
    fn ended(&mut self) -> Result<(), &'static str> {
        if let Some(response) = &self.response {
            return Err(response.cut_short());
        }
        if self.may_be_empty && self.opener.is_untouched() {
            if let Some(unsaid) = EMPTY_ANSWERS.turn() {
                let tag = &self.tag;
                info!("[{tag}] the server ended without a word from its target{unsaid}");
            }
            self.opener.end();
            return Ok(());
        }
        self.opener.finish().map_err(BodyError::text)?;
        self.opener.end();
        Ok(())
    }

    fn fail(&mut self, what: &'static str) {
        self.failed = Some(what);
        if let Some(unsaid) = DAMAGES.turn() {
            info!("[{}] connection ended: {what}{unsaid}", self.tag);
        }
    }
}

impl<R: Reader> Layer for BodyReader<R> {
    type Below = R;

    fn below(&self) -> &R {
        &self.inner
    }

    fn below_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    fn next(&mut self, mut more: impl FnMut(&mut R) -> ReadResult) -> ReadResult {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            if let Some(what) = self.failed {
                return Err(LinkError::Protocol(what));
            }
            if self.opener.has_ended() {
                return Ok(None);
            }
            self.ask_for_a_chunk();
            let input = more(&mut self.inner)?;
            self.fill(input);
        }
    }

    /// It asks for chunks of its own.
    fn preferred(&self, _len: usize) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::super::samples;
    use super::super::sealer::Sealer;
    use super::super::wire::{Direction, RequestHeader};
    use super::*;
    use crate::link::Handle;
    use crate::net::Destination;

    fn header() -> RequestHeader {
        samples::header(Destination::udp("example.com", 53).unwrap())
    }

    /// Delivers these, and has to wait for each.
    struct Pieces {
        pieces: VecDeque<Buf>,
        concluded: usize,
    }

    impl Reader for Pieces {
        fn read(&mut self) -> ReadResult {
            Ok(self.pieces.pop_front())
        }

        fn read_timeout(&mut self, _wait: Duration) -> ReadResult {
            self.read()
        }

        fn conclude(&mut self) {
            self.concluded += 1;
        }

        fn handle(&self) -> Handle {
            unreachable!("not asked for here")
        }
    }

    fn chunks(sealer: &mut Sealer, payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = VecDeque::new();
        for payload in payloads {
            sealer.seal(Buf::copy_of(payload), &mut out);
        }
        out.iter().flat_map(Buf::as_slice).copied().collect()
    }

    fn reader(pieces: &[&[u8]]) -> BodyReader<Pieces> {
        let pieces = pieces.iter().map(|piece| Buf::copy_of(piece)).collect();
        let opener = Opener::new(&header(), Direction::Request);
        let inner = Pieces {
            pieces,
            concluded: 0,
        };
        BodyReader::new(inner, opener, "t".into())
    }

    #[test]
    fn who_reads_is_told_to_be_idle_only_before_a_wait() {
        let mut sealer = Sealer::new(&header(), Direction::Request);
        let first = chunks(&mut sealer, &[b"one", b"two"]);
        let second = chunks(&mut sealer, &[b"three"]);
        let idled = Cell::new(0);
        let mut reader = reader(&[&first, &second]);
        let mut next = || {
            let read = reader.read_idling(&mut || idled.set(idled.get() + 1));
            (read, idled.get())
        };
        assert!(matches!(next(), (Ok(Some(buf)), 1) if buf.as_slice() == b"one"));
        assert!(matches!(next(), (Ok(Some(buf)), 1) if buf.as_slice() == b"two"));
        assert!(matches!(next(), (Ok(Some(buf)), 2) if buf.as_slice() == b"three"));
        assert!(matches!(next(), (Err(LinkError::Protocol(_)), 3)));
        assert!(matches!(next(), (Err(LinkError::Protocol(_)), 3)));
    }

    #[test]
    fn an_end_within_the_body_is_told_to_the_connection_once() {
        let mut sealer = Sealer::new(&header(), Direction::Request);
        let data = chunks(&mut sealer, &[b"one"]);
        let mut end = VecDeque::new();
        sealer.end(&mut end);
        let end: Vec<u8> = end.iter().flat_map(Buf::as_slice).copied().collect();
        let mut reader = reader(&[&data, &end]);
        assert!(reader.read().unwrap().is_some());
        assert_eq!(reader.inner.concluded, 0);
        for _ in 0..2 {
            assert!(reader.read().unwrap().is_none());
            assert_eq!(reader.inner.concluded, 1);
        }
    }
}
