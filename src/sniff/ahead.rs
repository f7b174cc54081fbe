use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::{Sniffed, Verdict, examine};
use crate::buf::Buf;
use crate::limits::{SNIFFED_BYTES, SNIFFING_TIME};
use crate::link::{Handle, LinkError, Reader, Writer};
use crate::sync::Done;

/// A reader that has looked at what it delivers.
pub(super) struct Ahead {
    inner: Box<dyn Reader>,
    read: Option<Buf>,
    ended: bool,
}

impl Ahead {
    /// Looks at the first bytes of `inner`, until they tell something or tell
    /// that they will not: for [`SNIFFING_TIME`] at the most, and not at many
    /// more than [`SNIFFED_BYTES`].
    ///
    /// # Errors
    /// That of `inner`, if it fails meanwhile.
    pub(super) fn look(inner: Box<dyn Reader>) -> Result<(Self, Option<Sniffed>), LinkError> {
        let deadline = Instant::now() + SNIFFING_TIME;
        let mut ahead = Self {
            inner,
            read: None,
            ended: false,
        };
        loop {
            match examine(ahead.bytes()) {
                Verdict::Known(sniffed) => return Ok((ahead, Some(sniffed))),
                Verdict::WantsMore if ahead.more(deadline)? => {}
                Verdict::WantsMore | Verdict::Unknown => return Ok((ahead, None)),
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        self.read.as_ref().map_or(&[], Buf::as_slice)
    }

    /// Whether there was more to read in time.
    fn more(&mut self, deadline: Instant) -> Result<bool, LinkError> {
        if self.bytes().len() >= SNIFFED_BYTES {
            return Ok(false);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.inner.read_timeout(left) {
            Ok(Some(buf)) => self.append(buf),
            Ok(None) => self.ended = true,
            Err(LinkError::TimedOut) => return Ok(false),
            Err(e) => return Err(e),
        }
        Ok(!self.ended)
    }

    /// In one piece, for the parsers.
    fn append(&mut self, next: Buf) {
        self.read = Some(match self.read.take() {
            None => next,
            Some(read) => joined(read, &next),
        });
    }

    /// What was looked at, or the end.
    fn take(&mut self) -> Option<Option<Buf>> {
        match self.read.take() {
            Some(buf) => Some(Some(buf)),
            None => self.ended.then_some(None),
        }
    }
}

fn joined(mut first: Buf, second: &Buf) -> Buf {
    if first.spare().len() < second.len() {
        let mut grown = Buf::with_capacity(2 * (first.len() + second.len()));
        grown.extend(first.as_slice());
        first = grown;
    }
    first.extend(second.as_slice());
    first
}

impl Reader for Ahead {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        match self.take() {
            Some(looked_at) => Ok(looked_at),
            None => self.inner.read(),
        }
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        match self.take() {
            Some(looked_at) => Ok(looked_at),
            None => self.inner.read_timeout(wait),
        }
    }

    fn prefer(&mut self, len: usize) {
        self.inner.prefer(len);
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// As long as something waits here it has to be read.
    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        match self.read.is_none() && !self.ended {
            true => self.inner.forward(sink, other),
            false => Err(sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SESSION_PIPE;
    use crate::link::{Link, pair};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n";

    fn write(link: &mut Link, bytes: &[u8]) {
        link.writer
            .write(&mut [Buf::copy_of(bytes)].into())
            .unwrap();
    }

    fn rest(mut reader: impl Reader) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(buf) = reader.read().unwrap() {
            bytes.extend_from_slice(buf.as_slice());
        }
        bytes
    }

    #[test]
    fn nothing_is_lost_or_read_twice_however_it_is_cut() {
        let body = [5; 3000];
        for size in [1, 2, 7, 30, 31, 1000] {
            let (mut near, far) = pair(SESSION_PIPE);
            for part in REQUEST.chunks(size) {
                write(&mut near, part);
            }
            let (ahead, sniffed) = Ahead::look(far.reader).unwrap();
            assert_eq!(sniffed.unwrap().host.unwrap().as_str(), "a.com");
            write(&mut near, &body);
            near.writer.close().unwrap();
            assert_eq!(rest(ahead), [REQUEST, &body].concat(), "{size}");
        }
    }

    #[test]
    fn who_ends_or_says_nothing_is_not_waited_for_long() {
        let (mut near, far) = pair(SESSION_PIPE);
        write(&mut near, b"GET /");
        near.writer.close().unwrap();
        let (ahead, sniffed) = Ahead::look(far.reader).unwrap();
        assert_eq!(sniffed, None);
        assert_eq!(rest(ahead), b"GET /");

        let (mut near, far) = pair(SESSION_PIPE);
        let (ahead, sniffed) = Ahead::look(far.reader).unwrap();
        assert_eq!(sniffed, None);
        write(&mut near, b"late");
        near.writer.close().unwrap();
        assert_eq!(rest(ahead), b"late");
    }

    #[test]
    fn no_more_than_some_bytes_are_looked_at() {
        let (mut near, far) = pair(SESSION_PIPE);
        write(&mut near, b"GET / HTTP/1.1\r\n");
        let field = [b"X: ".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
        for _ in 0..20 {
            write(&mut near, &field);
        }
        write(&mut near, b"Host: a.com\r\n\r\n");
        near.writer.close().unwrap();
        let (ahead, sniffed) = Ahead::look(far.reader).unwrap();
        assert_eq!(sniffed, None);
        assert!(ahead.bytes().len() < SNIFFED_BYTES + field.len());
        let all = rest(ahead);
        assert_eq!(all.len(), 16 + 20 * field.len() + 15);
    }

    #[test]
    fn a_failure_is_told() {
        let (mut near, far) = pair(SESSION_PIPE);
        near.writer.abort();
        let looked = Ahead::look(far.reader);
        assert!(matches!(looked, Err(LinkError::Reset)));
    }
}
