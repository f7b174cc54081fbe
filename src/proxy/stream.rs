//! Small things that several stream protocols need.

use std::time::{Duration, Instant};

use crate::buf::Buf;
use crate::link::{LinkError, ReadResult, Reader, Writer};

/// Reads before `deadline`, or for as long as it takes.
pub(super) fn read_by(
    reader: &mut (impl Reader + ?Sized),
    deadline: Option<Instant>,
) -> ReadResult {
    match deadline {
        None => reader.read(),
        Some(at) => reader.read_timeout(at.saturating_duration_since(Instant::now())),
    }
}

/// Says `last_words` and ends the connection so that they arrive: closing a
/// socket with unread input resets it, which can overtake what was sent. So
/// the peer gets `patience` to end its side first; what it sends is ignored.
///
/// # Errors
/// When the last words cannot be sent.
pub(super) fn part(
    reader: &mut dyn Reader,
    writer: &mut dyn Writer,
    last_words: &[u8],
    patience: Duration,
) -> Result<(), LinkError> {
    writer.write(&mut [Buf::copy_of(last_words)].into())?;
    writer.close()?;
    ignore(reader, Instant::now() + patience);
    Ok(())
}

/// Reads to the end, or until `deadline`, and forgets it.
pub(super) fn ignore(reader: &mut dyn Reader, deadline: Instant) {
    while let Ok(Some(_)) = read_by(reader, Some(deadline)) {}
}
