use std::io;
use std::time::Instant;

use super::HeaderError;
use super::wire::{Ends, Header, decode};
use crate::buf::Buf;
use crate::link::{Ahead, Link, Reader};

/// Reads the header with which the connection on `link` begins, and gives the
/// connection behind it. `None` where the header names nobody: then the peer
/// speaks for himself.
///
/// # Errors
/// [`HeaderError`], or the link's; [`io::ErrorKind::TimedOut`] at `deadline`.
pub fn accept(mut link: Link, deadline: Instant) -> io::Result<(Link, Option<Ends>)> {
    let (header, rest) = read_header(link.reader.as_mut(), deadline)?;
    let reader = Ahead::of(Some(rest), link.reader);
    let named = match header {
        Header::Unknown => None,
        Header::Proxied(ends) => Some(ends),
    };
    Ok((Link { reader, ..link }, named))
}

/// The header, and what was read beyond it.
fn read_header(reader: &mut dyn Reader, deadline: Instant) -> io::Result<(Header, Buf)> {
    let mut known = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buf = reader.read_timeout(left)?.ok_or(HeaderError::Cut)?;
        let before = known.len();
        known.extend_from_slice(buf.as_slice());
        if let Some((header, len)) = decode(&known)? {
            buf.advance(len.saturating_sub(before));
            return Ok((header, buf));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::link::pair;

    const PATIENCE: Duration = Duration::from_secs(10);
    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n";

    fn later() -> Instant {
        Instant::now() + PATIENCE
    }

    fn named() -> Option<Ends> {
        Some(Ends {
            source: "192.0.2.1:5000".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        })
    }

    #[test]
    fn what_follows_the_header_is_the_connection() {
        let bytes = [HEADER, b"hello"].concat();
        for size in 1..=bytes.len() {
            let (near, mut far) = pair(1024);
            let pieces: Vec<Buf> = bytes.chunks(size).map(Buf::copy_of).collect();
            let writing = thread::spawn(move || {
                far.writer.write(&mut pieces.into()).unwrap();
                far.writer.close().unwrap();
            });
            let (mut link, ends) = accept(near, later()).unwrap();
            assert_eq!(ends, named(), "{size}");
            let mut rest = Vec::new();
            while let Some(buf) = link.reader.read_timeout(PATIENCE).unwrap() {
                rest.extend_from_slice(buf.as_slice());
            }
            assert_eq!(rest, b"hello", "{size}");
            writing.join().unwrap();
        }
    }

    #[test]
    fn an_end_and_a_deadline_within_the_header_are_errors() {
        let (near, mut far) = pair(1024);
        far.writer
            .write(&mut [Buf::copy_of(&HEADER[..9])].into())
            .unwrap();
        let late = accept(near, Instant::now() + Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);

        let (near, mut far) = pair(1024);
        far.writer
            .write(&mut [Buf::copy_of(&HEADER[..9])].into())
            .unwrap();
        far.writer.close().unwrap();
        let cut = accept(near, later()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_header_is_told_from_its_first_byte() {
        let (near, mut far) = pair(1024);
        far.writer.write(&mut [Buf::copy_of(b"G")].into()).unwrap();
        let missing = accept(near, later()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::InvalidData);
    }
}
