//! One line each way, within a time.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Reads up to the end of a line, which is not part of what is returned, or of
/// all that comes.
///
/// # Errors
/// [`ErrorKind::TimedOut`] after `limit`, [`ErrorKind::InvalidData`] for more
/// than `most` bytes, and what the system says.
pub(super) fn read(mut stream: &UnixStream, most: usize, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let mut line = Vec::new();
    let mut piece = [0; 4096];
    while line.len() <= most {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let bytes = match stream.read(&mut piece) {
            Ok(0) => return Ok(line),
            Ok(count) => piece.get(..count).unwrap_or_default(),
            Err(e) => goes_on(e).map(|()| &[][..])?,
        };
        match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                line.extend_from_slice(bytes.get(..end).unwrap_or_default());
                return Ok(line);
            }
            None => line.extend_from_slice(bytes),
        }
    }
    Err(ErrorKind::InvalidData.into())
}

/// Writes `value` and the end of the line.
///
/// # Errors
/// [`ErrorKind::TimedOut`] after `limit`, and what the system says.
pub(super) fn write(mut stream: &UnixStream, value: &Value, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let line = format!("{value}\n");
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(e) => goes_on(e)?,
        }
    }
    Ok(())
}

/// Whether the deadline decides, or it was another failure.
fn goes_on(e: io::Error) -> io::Result<()> {
    match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
        _ => Err(e),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
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
