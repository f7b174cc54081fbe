use std::time::Instant;

use super::wire::{Sniffed, Verdict, examine};
use crate::buf::Buf;
use crate::limits::{SNIFFED_BYTES, SNIFFING_TIME};
use crate::link::{Ahead, LinkError, ReadResult, Reader};

/// Looks at the first bytes of `inner`, until they tell something or tell that
/// they will not: for [`SNIFFING_TIME`] at the most, and not at many more than
/// [`SNIFFED_BYTES`]. The reader that is returned delivers them.
///
/// # Errors
/// That of `inner`, if it fails meanwhile.
pub(super) fn look(
    mut inner: Box<dyn Reader>,
) -> Result<(Box<dyn Reader>, Option<Sniffed>), LinkError> {
    let deadline = Instant::now() + SNIFFING_TIME;
    let mut first: Option<Buf> = None;
    loop {
        let bytes = first.as_ref().map_or(&[][..], Buf::as_slice);
        match examine(bytes) {
            Verdict::Known(sniffed) => return Ok((Ahead::of(first, inner), Some(sniffed))),
            Verdict::WantsMore if bytes.len() < SNIFFED_BYTES => {}
            Verdict::WantsMore | Verdict::Unknown => break,
        }
        match more(inner.as_mut(), deadline)? {
            Some(next) => first = Some(joined(first, next)),
            None => break,
        }
    }
    Ok((Ahead::of(first, inner), None))
}

/// `None` when there is no more, or not in time.
fn more(reader: &mut dyn Reader, deadline: Instant) -> ReadResult {
    let left = deadline.saturating_duration_since(Instant::now());
    match reader.read_timeout(left) {
        Err(LinkError::TimedOut) => Ok(None),
        read => read,
    }
}

/// In one piece, for the parsers.
fn joined(first: Option<Buf>, next: Buf) -> Buf {
    let Some(mut first) = first else {
        return next;
    };
    if first.spare().len() < next.len() {
        let mut grown = Buf::with_capacity(2 * (first.len() + next.len()));
        grown.extend(first.as_slice());
        first = grown;
    }
    first.extend(next.as_slice());
    first
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

    fn rest(mut reader: Box<dyn Reader>) -> Vec<u8> {
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
            let (ahead, sniffed) = look(far.reader).unwrap();
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
        let (ahead, sniffed) = look(far.reader).unwrap();
        assert_eq!(sniffed, None);
        assert_eq!(rest(ahead), b"GET /");

        let (mut near, far) = pair(SESSION_PIPE);
        let (ahead, sniffed) = look(far.reader).unwrap();
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
        let (ahead, sniffed) = look(far.reader).unwrap();
        assert_eq!(sniffed, None);
        let mut ahead = ahead;
        let looked_at = ahead.read().unwrap().unwrap();
        assert!(looked_at.len() < SNIFFED_BYTES + field.len());
        let all = [looked_at.as_slice(), &rest(ahead)].concat();
        assert_eq!(all.len(), 16 + 20 * field.len() + 15);
    }

    #[test]
    fn a_failure_is_told() {
        let (mut near, far) = pair(SESSION_PIPE);
        near.writer.abort();
        let looked = look(far.reader);
        assert!(matches!(looked, Err(LinkError::Reset)));
    }
}
