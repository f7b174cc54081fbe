use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Handle, LinkError, Reader, Writer};
use crate::buf::Buf;
use crate::sync::Done;

/// Delivers first what was read of a link and belongs to who reads next, and
/// then what follows.
pub struct Ahead {
    first: Option<Buf>,
    inner: Box<dyn Reader>,
}

impl Ahead {
    /// `inner` behind `first`; just `inner` if that is nothing.
    pub fn of(first: Option<Buf>, inner: Box<dyn Reader>) -> Box<dyn Reader> {
        match first.filter(|first| !first.is_empty()) {
            None => inner,
            first => Box::new(Self { first, inner }),
        }
    }
}

impl Reader for Ahead {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        match self.first.take() {
            None => self.inner.read(),
            first => Ok(first),
        }
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        match self.first.take() {
            None => self.inner.read_timeout(wait),
            first => Ok(first),
        }
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> Result<Option<Buf>, LinkError> {
        match self.first.take() {
            None => self.inner.read_idling(idle),
            first => Ok(first),
        }
    }

    fn prefer(&mut self, len: usize) {
        if self.first.is_none() {
            self.inner.prefer(len);
        }
    }

    fn conclude(&mut self) {
        self.inner.conclude();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.inner.peer()
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }

    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        match self.first {
            None => self.inner.forward(sink, other),
            Some(_) => Err(sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::pair;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn what_was_read_too_much_comes_first_and_once() {
        let (near, mut far) = pair(1024);
        far.writer
            .write(&mut [Buf::copy_of(b"rest")].into())
            .unwrap();
        far.writer.close().unwrap();
        let mut reader = Ahead::of(Some(Buf::copy_of(b"first")), near.reader);
        let mut next = || reader.read_timeout(PATIENCE).unwrap();
        assert_eq!(next().unwrap().as_slice(), b"first");
        assert_eq!(next().unwrap().as_slice(), b"rest");
        assert!(next().is_none());
    }

    #[test]
    fn nothing_read_too_much_is_no_layer() {
        let (near, _far) = pair(1024);
        let inner: *const dyn Reader = near.reader.as_ref();
        let reader = Ahead::of(Some(Buf::with_capacity(1)), near.reader);
        assert!(std::ptr::addr_eq(inner, reader.as_ref()));
    }
}
