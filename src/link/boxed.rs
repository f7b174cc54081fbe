//! Boxed halves are halves, so that layers can stand on any.

use std::collections::VecDeque;

use super::{Handle, Layer, LinkError, ReadResult, Reader, Writer};
use crate::buf::Buf;
use crate::pipe::Wake;

impl<R: Reader + ?Sized> Layer for Box<R> {
    type Below = R;

    fn below(&self) -> &R {
        self
    }

    fn below_mut(&mut self) -> &mut R {
        self
    }

    fn next(&mut self, mut more: impl FnMut(&mut R) -> ReadResult) -> ReadResult {
        more(self)
    }

    fn is_clear(&self) -> bool {
        true
    }
}

#[deny(clippy::missing_trait_methods)]
impl<W: Writer + ?Sized> Writer for Box<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        (**self).write(batch)
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        (**self).try_write(data)
    }

    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        (**self).try_write_quietly(data)
    }

    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        (**self).try_write_batch(batch)
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        (**self).start_write(batch)
    }

    fn try_write_pieces(&mut self, pieces: &[&[u8]]) -> Result<usize, LinkError> {
        (**self).try_write_pieces(pieces)
    }

    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        (**self).try_keep(buf)
    }

    fn hold_little(&mut self) {
        (**self).hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        (**self).flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        (**self).close()
    }

    fn abort(&mut self) {
        (**self).abort();
    }

    fn handle(&self) -> Handle {
        (**self).handle()
    }
}
