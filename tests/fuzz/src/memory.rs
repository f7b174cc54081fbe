//! Links' halves without sockets: one that delivers an input, one that keeps
//! what it takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use muxcool::buf::Buf;
use muxcool::link::{Handle, Interrupt, LinkError, Reader, Writer};
use parking_lot::Mutex;

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Orderly,
    Broken,
}

/// Delivers pieces, and ends. Never waits, but for its gate.
pub struct Feed {
    pieces: VecDeque<Buf>,
    end: End,
    stopped: Arc<AtomicBool>,
    /// Nothing is delivered before the other side of it is dropped.
    gate: Option<Receiver<()>>,
}

impl Feed {
    pub fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, end: End) -> Self {
        Self {
            pieces: pieces.into_iter().map(Buf::copy_of).collect(),
            end,
            stopped: Arc::default(),
            gate: None,
        }
    }

    pub fn behind(mut self, gate: Receiver<()>) -> Self {
        self.gate = Some(gate);
        self
    }
}

impl Reader for Feed {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        if let Some(gate) = self.gate.take() {
            let _ = gate.recv();
        }
        if self.stopped.load(Ordering::SeqCst) {
            return Err(LinkError::Reset);
        }
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Ok(Some(piece)),
            (None, End::Orderly) => Ok(None),
            (None, End::Broken) => Err(LinkError::Reset),
        }
    }

    fn read_timeout(&mut self, _: Duration) -> Result<Option<Buf>, LinkError> {
        self.read()
    }

    fn handle(&self) -> Handle {
        Arc::new(Stop(self.stopped.clone()))
    }
}

struct Stop(Arc<AtomicBool>);

impl Interrupt for Stop {
    fn interrupt(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a [`Sink`] has taken.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    writes: Vec<Vec<u8>>,
    end: Option<End>,
}

impl Kept {
    /// Each write by itself.
    pub fn writes(&self) -> Vec<Vec<u8>> {
        self.0.lock().writes.clone()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().writes.concat()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.0.lock().end
    }

    /// Whether nobody has the sink any more.
    pub fn is_let_go(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn take(&self, data: &[u8]) -> Result<(), LinkError> {
        let mut taken = self.0.lock();
        match taken.end {
            Some(_) => Err(LinkError::Reset),
            None => {
                taken.writes.push(data.to_vec());
                Ok(())
            }
        }
    }

    fn finish(&self, end: End) {
        self.0.lock().end.get_or_insert(end);
    }
}

/// Takes everything, at once or only from who can wait.
pub struct Sink {
    kept: Kept,
    waits: bool,
}

impl Sink {
    pub fn new(waits: bool) -> (Self, Kept) {
        let kept = Kept::default();
        let sink = Self {
            kept: kept.clone(),
            waits,
        };
        (sink, kept)
    }
}

impl Writer for Sink {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(buf) = batch.pop_front() {
            self.kept.take(buf.as_slice())?;
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        match self.waits {
            true => Err(LinkError::WouldBlock),
            false => self.kept.take(data).map(|()| data.len()),
        }
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.kept.finish(End::Orderly);
        Ok(())
    }

    fn abort(&mut self) {
        self.kept.finish(End::Broken);
    }

    fn handle(&self) -> Handle {
        Arc::new(Break(self.kept.clone()))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.kept.finish(End::Broken);
    }
}

struct Break(Kept);

impl Interrupt for Break {
    fn interrupt(&self) {
        self.0.finish(End::Broken);
    }
}
