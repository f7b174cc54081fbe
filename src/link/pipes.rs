use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Handle, Interrupt, Link, LinkError, ReadResult, Reader, Writer};
use crate::buf::Buf;
use crate::pipe::{PipeHandle, PipeReader, PipeWriter, Wake, pipe};

/// Two links, each one the other's far side, over two pipes of `limit` bytes.
pub fn pair(limit: usize) -> (Link, Link) {
    let (near_reader, far_writer) = pipe(limit);
    let (far_reader, near_writer) = pipe(limit);
    let end = |reader, writer| Link::new(PipeLinkReader::new(reader), PipeLinkWriter::new(writer));
    (end(near_reader, near_writer), end(far_reader, far_writer))
}

impl Interrupt for PipeHandle {
    fn interrupt(&self) {
        PipeHandle::interrupt(self);
    }
}

/// A pipe's receiving end as a link's half.
#[derive(Debug)]
pub struct PipeLinkReader {
    pipe: PipeReader,
}

impl PipeLinkReader {
    /// Reads from `pipe`.
    pub fn new(pipe: PipeReader) -> Self {
        Self { pipe }
    }
}

impl Reader for PipeLinkReader {
    fn read(&mut self) -> ReadResult {
        Ok(self.pipe.read()?)
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        Ok(self.pipe.read_timeout(wait)?)
    }

    fn handle(&self) -> Handle {
        Arc::new(self.pipe.handle())
    }
}

/// A pipe's sending end as a link's half.
#[derive(Debug)]
pub struct PipeLinkWriter {
    pipe: PipeWriter,
    closed: bool,
}

impl PipeLinkWriter {
    /// Writes to `pipe`, and ends it.
    pub fn new(pipe: PipeWriter) -> Self {
        Self {
            pipe,
            closed: false,
        }
    }
}

impl Writer for PipeLinkWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(buf) = batch.pop_front() {
            self.pipe.write(buf)?;
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let (len, wake) = self.try_write_quietly(data)?;
        drop(wake);
        Ok(len)
    }

    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        if !self.pipe.has_room() {
            return Err(LinkError::WouldBlock);
        }
        match self.pipe.try_write_quietly(Buf::copy_of(data)) {
            Ok(wake) => Ok((data.len(), wake)),
            Err((e, _)) => Err(e.into()),
        }
    }

    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        self.pipe.try_write_quietly(buf).map_err(|(_, buf)| buf)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        self.pipe.close();
        Ok(())
    }

    fn abort(&mut self) {
        self.pipe.interrupt();
    }

    fn handle(&self) -> Handle {
        Arc::new(self.pipe.handle())
    }
}

impl Drop for PipeLinkWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.pipe.interrupt();
        }
    }
}
