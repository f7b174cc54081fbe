//! A link that keeps what each single write put in.

use std::collections::VecDeque;
use std::sync::Arc;

use muxcool::buf::Buf;
use muxcool::link::{Handle, Link, LinkError, Writer};
use parking_lot::Mutex;

use super::frames::{Frame, parse};

/// The writes so far, each as the frames in it.
#[derive(Clone, Default)]
pub struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Writes {
    pub fn all(&self) -> Vec<Vec<Frame>> {
        self.0.lock().iter().map(|bytes| parse(bytes)).collect()
    }
}

/// `link`, and what is written to it.
pub fn recorded(link: Link) -> (Link, Writes) {
    let writes = Writes::default();
    let writer = Recorder {
        inner: link.writer,
        writes: writes.clone(),
    };
    let link = Link {
        reader: link.reader,
        writer: Box::new(writer),
    };
    (link, writes)
}

struct Recorder {
    inner: Box<dyn Writer>,
    writes: Writes,
}

impl Writer for Recorder {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let bytes = batch.iter().flat_map(|buf| buf.as_slice().to_vec());
        self.writes.0.lock().push(bytes.collect());
        self.inner.write(batch)
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
