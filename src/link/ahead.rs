use super::{Layer, ReadResult, Reader};
use crate::buf::Buf;

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

impl Layer for Ahead {
    type Below = dyn Reader;

    fn below(&self) -> &Self::Below {
        self.inner.as_ref()
    }

    fn below_mut(&mut self) -> &mut Self::Below {
        self.inner.as_mut()
    }

    fn next(&mut self, mut more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult {
        match self.first.take() {
            None => more(self.inner.as_mut()),
            first => Ok(first),
        }
    }

    fn is_clear(&self) -> bool {
        self.first.is_none()
    }

    fn preferred(&self, len: usize) -> Option<usize> {
        self.is_clear().then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
