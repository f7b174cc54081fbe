//! Boxed halves are halves, so that layers can stand on any.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Handle, LinkError, Reader, Writer};
use crate::buf::Buf;
use crate::pipe::Wake;
use crate::sync::Done;

impl<R: Reader + ?Sized> Reader for Box<R> {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        (**self).read()
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        (**self).read_timeout(wait)
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> Result<Option<Buf>, LinkError> {
        (**self).read_idling(idle)
    }

    fn prefer(&mut self, len: usize) {
        (**self).prefer(len);
    }

    fn conclude(&mut self) {
        (**self).conclude();
    }

    fn peer(&self) -> Option<SocketAddr> {
        (**self).peer()
    }

    fn handle(&self) -> Handle {
        (**self).handle()
    }

    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        (**self).forward(sink, other)
    }
}

impl<W: Writer + ?Sized> Writer for Box<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        (**self).write(batch)
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        (**self).try_write(data)
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
