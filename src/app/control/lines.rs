//! One line each way, within a time.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use super::super::timed::Timed;

/// Reads up to the end of a line, which is not part of what is returned, or of
/// all that comes.
///
/// # Errors
/// [`ErrorKind::TimedOut`] after `limit`, [`ErrorKind::InvalidData`] for more
/// than `most` bytes, and what the system says.
pub(super) fn read(stream: &UnixStream, most: usize, limit: Duration) -> io::Result<Vec<u8>> {
    let bounded = Timed::new(stream, limit).take(most as u64 + 1);
    let mut line = Vec::new();
    BufReader::new(bounded).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    match line.len() <= most {
        true => Ok(line),
        false => Err(ErrorKind::InvalidData.into()),
    }
}

/// Writes `value` and the end of the line.
///
/// # Errors
/// [`ErrorKind::TimedOut`] after `limit`, and what the system says.
pub(super) fn write(stream: &UnixStream, value: &Value, limit: Duration) -> io::Result<()> {
    Timed::new(stream, limit).write_all(format!("{value}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_line_ends_with_its_end_or_the_streams() {
        for (sent, read_back) in [("abc\ndef", "abc"), ("abc", "abc"), ("", ""), ("\n", "")] {
            let (near, mut far) = UnixStream::pair().unwrap();
            far.write_all(sent.as_bytes()).unwrap();
            drop(far);
            assert_eq!(read(&near, 3, PATIENCE).unwrap(), read_back.as_bytes());
        }
    }

    #[test]
    fn neither_length_nor_silence_is_without_bounds() {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"abcd").unwrap();
        let long = read(&near, 3, PATIENCE).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidData);
        let silent = read(&near, 3, Duration::from_millis(1)).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
        let much = Value::from("x".repeat(8 << 20));
        let stalled = write(&near, &much, Duration::from_millis(20)).unwrap_err();
        assert_eq!(stalled.kind(), ErrorKind::TimedOut);
    }
}
