//! Outbounds whose connections are listed for who asks how the program does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::status::{Connections, Row, Way};
use crate::buf::Buf;
use crate::link::{
    DispatchError, Handle, Health, Layer, Link, LinkError, Outbound, ReadResult, Reader, Request,
    Writer,
};
use crate::pipe::Wake;

/// An outbound that makes a connection of its own for each visitor.
pub(super) struct Listed {
    inner: Arc<dyn Outbound>,
    tag: Arc<str>,
    connections: Arc<Connections>,
}

impl Listed {
    pub(super) fn new(inner: Arc<dyn Outbound>, connections: Arc<Connections>) -> Self {
        Self {
            tag: inner.tag().into(),
            inner,
            connections,
        }
    }

    /// The link, counted if it is a visitor's. What it delivers goes `in_by`.
    fn counted(&self, request: &Request, link: Link, in_by: Way) -> Link {
        let Some(row) = self.connections.enter(request, &self.tag) else {
            return link;
        };
        let out_by = match in_by {
            Way::Sent => Way::Received,
            Way::Received => Way::Sent,
        };
        let reader = CountedReader {
            inner: link.reader,
            count: Count(row.clone(), in_by),
        };
        let writer = CountedWriter {
            inner: link.writer,
            count: Count(row, out_by),
        };
        Link::new(reader, writer)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Outbound for Listed {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn heeds_allowed(&self) -> bool {
        self.inner.heeds_allowed()
    }

    fn health(&self) -> Option<Health> {
        self.inner.health()
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let link = self.inner.connect(request)?;
        Ok(self.counted(request, link, Way::Received))
    }

    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let link = self.counted(request, link, Way::Sent);
        self.inner.dispatch(request, link)
    }

    fn close(&self) {
        self.inner.close();
    }
}

/// Where a half's bytes count.
struct Count(Arc<Row>, Way);

impl Count {
    fn add(&self, bytes: usize) {
        self.0.count(self.1, bytes);
    }

    /// What has been taken out of a batch.
    fn taken<T>(&self, batch: &mut VecDeque<Buf>, take: impl FnOnce(&mut VecDeque<Buf>) -> T) -> T {
        let before = bytes(batch);
        let outcome = take(batch);
        self.add(before.saturating_sub(bytes(batch)));
        outcome
    }

    fn written(&self, outcome: Result<usize, LinkError>) -> Result<usize, LinkError> {
        if let Ok(len) = outcome {
            self.add(len);
        }
        outcome
    }
}

fn bytes(batch: &VecDeque<Buf>) -> usize {
    batch.iter().map(Buf::len).sum()
}

/// Does not [forward](Reader::forward), for then nothing would come by here.
struct CountedReader {
    inner: Box<dyn Reader>,
    count: Count,
}

impl Layer for CountedReader {
    type Below = dyn Reader;

    fn below(&self) -> &Self::Below {
        self.inner.as_ref()
    }

    fn below_mut(&mut self) -> &mut Self::Below {
        self.inner.as_mut()
    }

    fn next(&mut self, mut more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult {
        let outcome = more(self.inner.as_mut());
        if let Ok(Some(buf)) = &outcome {
            self.count.add(buf.len());
        }
        outcome
    }
}

struct CountedWriter {
    inner: Box<dyn Writer>,
    count: Count,
}

#[deny(clippy::missing_trait_methods)]
impl Writer for CountedWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.count.taken(batch, |batch| self.inner.write(batch))
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        self.count.written(self.inner.try_write(data))
    }

    fn try_write_quietly(&mut self, data: &[u8]) -> Result<(usize, Wake), LinkError> {
        let (len, wake) = self.inner.try_write_quietly(data)?;
        self.count.add(len);
        Ok((len, wake))
    }

    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.count
            .taken(batch, |batch| self.inner.try_write_batch(batch))
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        self.count
            .taken(batch, |batch| self.inner.start_write(batch))
    }

    fn try_write_pieces(&mut self, pieces: &[&[u8]]) -> Result<usize, LinkError> {
        self.count.written(self.inner.try_write_pieces(pieces))
    }

    fn try_keep(&mut self, buf: Buf) -> Result<Wake, Buf> {
        let len = buf.len();
        let wake = self.inner.try_keep(buf)?;
        self.count.add(len);
        Ok(wake)
    }

    fn hold_little(&mut self) {
        self.inner.hold_little();
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.inner.flush()
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}
