//! A link's end in a test's hands.

use std::collections::VecDeque;
use std::time::Duration;

use muxcool::buf::Buf;
use muxcool::link::{Link, LinkError, Reader, Writer};

use super::tasks::PATIENCE;

/// Reads and writes with a deadline, and says what it expected.
pub struct Party {
    pub reader: Box<dyn Reader>,
    pub writer: Box<dyn Writer>,
    /// Read but not yet asked for.
    early: Vec<u8>,
}

impl From<Link> for Party {
    fn from(link: Link) -> Self {
        Self {
            reader: link.reader,
            writer: link.writer,
            early: Vec::new(),
        }
    }
}

impl AsMut<Party> for Party {
    fn as_mut(&mut self) -> &mut Party {
        self
    }
}

impl Party {
    pub fn write(&mut self, data: &[u8]) {
        self.try_write(data).expect("the other side takes it");
    }

    pub fn try_write(&mut self, data: &[u8]) -> Result<(), LinkError> {
        self.writer.write(&mut VecDeque::from([Buf::copy_of(data)]))
    }

    pub fn close(&mut self) {
        self.writer.close().expect("an orderly end");
    }

    pub fn abort(&mut self) {
        self.writer.abort();
    }

    /// Exactly `len` bytes.
    pub fn read(&mut self, len: usize) -> Vec<u8> {
        while self.early.len() < len {
            match self.reader.read_timeout(PATIENCE) {
                Ok(Some(buf)) => self.early.extend(buf.as_slice()),
                other => panic!(
                    "{} bytes came, {len} were to come: {other:?}",
                    self.early.len()
                ),
            }
        }
        let rest = self.early.split_off(len);
        std::mem::replace(&mut self.early, rest)
    }

    /// The next buffer as it comes: on a link for datagrams one of them.
    pub fn datagram(&mut self) -> Vec<u8> {
        match self.reader.read_timeout(PATIENCE) {
            Ok(Some(buf)) => buf.as_slice().to_vec(),
            other => panic!("a datagram was to come: {other:?}"),
        }
    }

    /// One that comes without much of a wait, for whoever counts them.
    pub fn datagram_at_hand(&mut self) -> Option<Vec<u8>> {
        match self.reader.read_timeout(Duration::from_millis(200)) {
            Ok(Some(buf)) => Some(buf.as_slice().to_vec()),
            Err(LinkError::TimedOut) => None,
            other => panic!("a datagram or nothing was to come: {other:?}"),
        }
    }

    /// All that comes, and how it ends.
    pub fn drain(&mut self) -> (Vec<u8>, Result<(), LinkError>) {
        loop {
            match self.reader.read_timeout(PATIENCE) {
                Ok(Some(buf)) => self.early.extend(buf.as_slice()),
                Ok(None) => return (std::mem::take(&mut self.early), Ok(())),
                Err(LinkError::TimedOut) => panic!("no end in sight"),
                Err(e) => return (std::mem::take(&mut self.early), Err(e)),
            }
        }
    }

    /// All that comes before the orderly end.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let (bytes, end) = self.drain();
        end.expect("an orderly end");
        bytes
    }

    /// All that comes before the error.
    pub fn read_to_error(&mut self) -> Vec<u8> {
        let (bytes, end) = self.drain();
        end.expect_err("an error, not an orderly end");
        bytes
    }

    /// Nothing is there now, and no end either.
    pub fn is_quiet(&mut self) -> bool {
        self.early.is_empty()
            && matches!(
                self.reader.read_timeout(Duration::ZERO),
                Err(LinkError::TimedOut)
            )
    }
}
