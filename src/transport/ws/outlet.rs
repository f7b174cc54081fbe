use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Encoder;
use super::wire::Opcode;
use crate::buf::Buf;
use crate::limits::END_QUIET;
use crate::link::{Handle, LinkError, Writer};
use crate::sync::{Next, Periodic, Spawned, Timer, spawn};

/// The code of a normal end.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// How frames are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub encoder: Encoder,
    /// Whether the peer knows an empty message for the end of a direction.
    pub marks: bool,
}

/// The writing half of the link below, which goes from hand to hand: whoever
/// writes takes it out meanwhile, and before it puts it back sends what others
/// have left to be said.
pub(super) struct Outlet {
    style: Style,
    /// Of the half below.
    handle: Handle,
    state: Mutex<State>,
    /// The half is back.
    back: Condvar,
    /// Something came from the peer since the last look.
    moved: AtomicBool,
}

/// The half below, with the frames, or the part of one, that it has not taken:
/// whoever has it sends them before anything else.
struct Below {
    writer: Box<dyn Writer>,
    left: VecDeque<Buf>,
}

struct State {
    below: Option<Below>,
    /// The writing half waits for it.
    wanted: bool,
    /// A thread is under way to say what is left.
    on_its_way: bool,
    errand: Option<Spawned<()>>,
    writer_is_gone: bool,
    pong: Option<Buf>,
    /// Our direction has ended, for our side.
    closing: bool,
    mark_is_sent: bool,
    /// The peer has ended its direction, or was quiet for long enough.
    peer_is_done: bool,
    /// Nothing can be sent any more.
    is_over: bool,
    quiet: Option<Periodic>,
}

/// What is to be said.
enum Words {
    /// Others may follow.
    Some(VecDeque<Buf>),
    /// The end of our direction, where the peer has had no other of it.
    End(VecDeque<Buf>),
    /// That of the connection, to a peer that has had the ends of both
    /// directions and may have left.
    Farewell(VecDeque<Buf>),
}

impl Outlet {
    pub(super) fn new(inner: Box<dyn Writer>, style: Style) -> Self {
        let handle = inner.handle();
        let below = Below {
            writer: inner,
            left: VecDeque::new(),
        };
        let state = State {
            below: Some(below),
            wanted: false,
            on_its_way: false,
            errand: None,
            writer_is_gone: false,
            pong: None,
            closing: false,
            mark_is_sent: false,
            peer_is_done: false,
            is_over: false,
            quiet: None,
        };
        Self {
            style,
            handle,
            state: Mutex::new(state),
            back: Condvar::new(),
            moved: AtomicBool::new(false),
        }
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    // What the writing half does.

    /// Sends a batch in frames, and what is left of those before.
    pub(super) fn send(&self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.style.encoder.put_in_frames(batch);
        let mut below = self.take();
        let sent = below.write(batch);
        self.put_back(below, sent)
    }

    /// The same without waiting; returns whether all has left. Nothing is taken
    /// of the batch while something is left of those before, or somebody else
    /// has the half below.
    pub(super) fn start_send(
        self: &Arc<Self>,
        batch: &mut VecDeque<Buf>,
    ) -> Result<bool, LinkError> {
        let Some(mut below) = self.state.lock().below.take() else {
            return Ok(false);
        };
        let started = below.start_send(batch, self.style.encoder);
        let mut state = self.state.lock();
        state.is_over |= started.is_err();
        self.leave(state, below);
        self.send_somebody();
        started
    }

    pub(super) fn flush(&self) -> Result<(), LinkError> {
        let mut below = self.take();
        let sent = below.write(&mut VecDeque::new());
        let flushed = sent.and_then(|()| below.writer.flush());
        self.put_back(below, flushed)
    }

    pub(super) fn hold_little(&self) {
        let mut below = self.take();
        below.writer.hold_little();
        let _ = self.put_back(below, Ok(()));
    }

    /// Our direction has ended: says so, as soon as that does no harm.
    pub(super) fn close(self: &Arc<Self>) -> Result<(), LinkError> {
        let below = self.take();
        let waits = {
            let mut state = self.state.lock();
            state.closing = true;
            !state.peer_is_done && !self.style.marks
        };
        let closed = match waits {
            true => self.wait_for_quiet(),
            false => Ok(()),
        };
        self.put_back(below, closed)
    }

    pub(super) fn abort(&self) {
        let below = {
            let mut state = self.state.lock();
            state.is_over = true;
            state.below.take()
        };
        match below {
            Some(mut below) => {
                below.writer.abort();
                self.state.lock().below = Some(below);
            }
            None => self.handle.interrupt(),
        }
    }

    /// The writing half has gone: waits for the thread that says what is left,
    /// if there is one.
    pub(super) fn writer_left(&self) {
        self.state.lock().writer_is_gone = true;
        self.join();
    }

    fn join(&self) {
        let errand = self.state.lock().errand.take();
        if let Some(errand) = errand {
            let _ = errand.join();
        }
    }

    // What the reading half does.

    /// Answers a ping, instead of those before if they wait.
    pub(super) fn pong(self: &Arc<Self>, payload: &[u8]) {
        let frame = self.style.encoder.frame(Opcode::Pong, payload);
        self.state.lock().pong = Some(frame);
        self.send_somebody();
    }

    /// Bytes have come.
    pub(super) fn note_bytes(&self) {
        if !self.moved.load(Ordering::Relaxed) {
            self.moved.store(true, Ordering::Relaxed);
        }
    }

    /// The reading half has gone. It waits for that thread only if it is the last:
    /// a peer that reads nothing holds the thread up, until the writing half goes.
    pub(super) fn reader_left(&self) {
        let is_last = self.state.lock().writer_is_gone;
        if is_last {
            self.join();
        }
    }

    /// The peer has ended its direction.
    pub(super) fn note_end(&self) {
        self.state.lock().peer_is_done = true;
    }

    /// Says what is left, when nothing more is to be read: then it does no harm
    /// to wait.
    pub(super) fn say_the_rest(&self) {
        let below = self.state.lock().take_to_speak(self.style);
        if let Some(below) = below {
            let _ = self.put_back(below, Ok(()));
        }
    }

    // Who has the half below.

    fn take(&self) -> Below {
        let mut state = self.state.lock();
        loop {
            if let Some(below) = state.below.take() {
                return below;
            }
            state.wanted = true;
            self.back.wait(&mut state);
            state.wanted = false;
        }
    }

    /// Puts it back after it did what it did, and after what was left to be
    /// said; the writing half says that if it waits.
    fn put_back(&self, mut below: Below, mut done: Result<(), LinkError>) -> Result<(), LinkError> {
        loop {
            let mut state = self.state.lock();
            state.is_over |= done.is_err();
            let words = match state.wanted {
                true => None,
                false => state.words(self.style),
            };
            let Some(words) = words else {
                self.leave(state, below);
                return done;
            };
            drop(state);
            done = below.say(words);
        }
    }

    fn leave(&self, mut state: MutexGuard<'_, State>, below: Below) {
        state.below = Some(below);
        drop(state);
        self.back.notify_one();
    }

    // What happens by itself.

    /// Has a thread say what is left, unless somebody has the half below and
    /// will do so. Without a thread it goes with what is written next.
    fn send_somebody(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.on_its_way || state.below.is_none() || !state.has_words(self.style) {
                return;
            }
            state.on_its_way = true;
        }
        let outlet = self.clone();
        let errand = spawn("ws-out", move || outlet.run_errand());
        let mut state = self.state.lock();
        match errand {
            Ok(errand) => state.errand = Some(errand),
            Err(_) => state.on_its_way = false,
        }
    }

    fn run_errand(&self) {
        while let Some(below) = self.take_for_errand() {
            let _ = self.put_back(below, Ok(()));
        }
    }

    /// The half below, or the errand is done.
    fn take_for_errand(&self) -> Option<Below> {
        let mut state = self.state.lock();
        let below = state.take_to_speak(self.style);
        state.on_its_way = below.is_some();
        below
    }

    fn wait_for_quiet(self: &Arc<Self>) -> Result<(), LinkError> {
        let timer = Timer::global()?;
        self.moved.store(false, Ordering::Relaxed);
        let outlet = Arc::downgrade(self);
        let quiet = timer.schedule(END_QUIET, move || match outlet.upgrade() {
            Some(outlet) if outlet.moved.swap(false, Ordering::Relaxed) => Next::After(END_QUIET),
            Some(outlet) => {
                outlet.note_end();
                outlet.send_somebody();
                Next::Stop
            }
            None => Next::Stop,
        });
        self.state.lock().quiet = Some(quiet);
        Ok(())
    }
}

impl Below {
    fn write(&mut self, frames: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.left.append(frames);
        self.writer.write(&mut self.left)
    }

    fn start_send(
        &mut self,
        batch: &mut VecDeque<Buf>,
        encoder: Encoder,
    ) -> Result<bool, LinkError> {
        if !self.start_rest()? {
            return Ok(false);
        }
        encoder.put_in_frames(batch);
        self.left.append(batch);
        self.start_rest()
    }

    fn say(&mut self, words: Words) -> Result<(), LinkError> {
        match words {
            Words::Some(mut frames) => self.write(&mut frames),
            Words::End(mut frames) => self.write_last(&mut frames),
            Words::Farewell(mut frames) => {
                let _ = self.write_last(&mut frames); // nothing of ours is lost with it
                Ok(())
            }
        }
    }

    fn write_last(&mut self, frames: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        self.write(frames)?;
        self.writer.close()
    }

    /// Returns whether all that is left has left.
    fn start_rest(&mut self) -> Result<bool, LinkError> {
        Ok(self.writer.start_write(&mut self.left)? && self.left.is_empty())
    }
}

impl State {
    /// Whether [`words`](Self::words) would be some.
    fn has_words(&self, style: Style) -> bool {
        let ends = self.peer_is_done || style.marks && !self.mark_is_sent;
        !self.is_over && (self.pong.is_some() || self.closing && ends)
    }

    /// The half below, if it is there, nobody waits for it who will say what is
    /// left, and something is.
    fn take_to_speak(&mut self, style: Style) -> Option<Below> {
        match self.wanted || !self.has_words(style) {
            true => None,
            false => self.below.take(),
        }
    }

    /// What is to be said now. The end of our direction goes before the
    /// farewell: whoever has read it may leave, and that is no failure of ours.
    fn words(&mut self, style: Style) -> Option<Words> {
        if !self.has_words(style) {
            return None;
        }
        let mut frames: VecDeque<Buf> = self.pong.take().into_iter().collect();
        if self.closing && style.marks && !self.mark_is_sent {
            self.mark_is_sent = true;
            frames.push_back(style.encoder.frame(Opcode::Binary, &[]));
            return Some(Words::Some(frames));
        }
        if !(self.closing && self.peer_is_done) {
            return Some(Words::Some(frames));
        }
        self.is_over = true;
        frames.push_back(style.encoder.frame(Opcode::Close, &NORMAL));
        Some(match style.marks {
            true => Words::Farewell(frames),
            false => Words::End(frames),
        })
    }
}
