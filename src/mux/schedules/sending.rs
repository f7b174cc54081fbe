//! The send path: who takes the pump, what is left to the writer thread, and
//! that nothing queued is left unsent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shuttle::thread::{self, JoinHandle};

use super::below;
use crate::buf::Buf;
use crate::limits::{CARRIER_PIPE, DIRECT_SIZE};
use crate::link::{Handle, LinkError, Nowhere, Writer, try_write_each};
use crate::mux::frame::{end_frame, keep_header};
use crate::mux::outgoing::Outgoing;
use crate::pipe::{PipeError, Turn};
use crate::sync::shim::{Condvar, Mutex};
use crate::sync::{Time, explore};

/// Frames with payload of one session.
const FRAMES: u8 = 3;

/// What has left by a link.
#[derive(Default)]
struct Left {
    state: Mutex<LeftState>,
    more: Condvar,
}

#[derive(Default)]
struct LeftState {
    bytes: Vec<u8>,
    /// Takes no more than that.
    capacity: Option<usize>,
    closed: bool,
    aborted: bool,
}

impl Left {
    fn take(&self, data: &[u8]) -> Result<(), LinkError> {
        let mut state = self.state.lock();
        assert!(!state.closed && !state.aborted, "written to after its end");
        if state.capacity.is_some_and(|most| state.bytes.len() >= most) {
            return Err(LinkError::Reset);
        }
        state.bytes.extend(data);
        drop(state);
        self.more.notify_all();
        Ok(())
    }

    /// Waits until so many bytes have left.
    fn wait_for(&self, len: usize) {
        let mut state = self.state.lock();
        while state.bytes.len() < len {
            self.more.wait(&mut state);
        }
        assert_eq!(state.bytes.len(), len);
    }

    /// Payloads of a session that have left, by the first byte, and whether
    /// its End has followed.
    fn sessions(&self) -> BTreeMap<u16, (Vec<u8>, bool)> {
        let state = self.state.lock();
        let mut sessions: BTreeMap<u16, (Vec<u8>, bool)> = BTreeMap::new();
        let mut rest = state.bytes.as_slice();
        while let [_, _, id_hi, id_lo, status, option, ..] = *rest {
            let (payloads, ended) = sessions
                .entry(u16::from_be_bytes([id_hi, id_lo]))
                .or_default();
            assert!(!*ended, "something follows an End");
            let mut len = 6;
            match (status, option) {
                (2, 1) => {
                    payloads.push(rest[8]);
                    len = 8 + usize::from(u16::from_be_bytes([rest[6], rest[7]]));
                }
                (3, _) => *ended = true,
                other => panic!("nobody has sent {other:?}"),
            }
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        sessions
    }
}

/// A link that takes as much as chance has it, and may keep some of that back.
struct Link {
    left: Arc<Left>,
    kept: VecDeque<Buf>,
}

impl Link {
    fn new(left: Arc<Left>) -> Self {
        Self {
            left,
            kept: VecDeque::new(),
        }
    }
}

impl Writer for Link {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(buf) = self.kept.pop_front().or_else(|| batch.pop_front()) {
            thread::yield_now();
            self.left.take(buf.as_slice())?;
        }
        Ok(())
    }

    fn start_write(&mut self, batch: &mut VecDeque<Buf>) -> Result<bool, LinkError> {
        if self.kept.is_empty() && below(2) == 0 {
            self.try_write_batch(batch)?;
            return Ok(true);
        }
        self.kept.append(batch);
        let mut kept = std::mem::take(&mut self.kept);
        let tried = try_write_each(self, &mut kept);
        self.kept = kept;
        tried.map(|()| self.kept.is_empty())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let len = [0, data.len() / 2, data.len()][below(3)];
        if len == 0 {
            return Err(LinkError::WouldBlock);
        }
        self.left.take(&data[..len]).map(|()| len)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        assert!(self.kept.is_empty(), "closed before what was kept has left");
        self.left.state.lock().closed = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.left.state.lock().aborted = true;
    }

    fn handle(&self) -> Handle {
        Nowhere::handle()
    }
}

/// A carrier's sending side and its writer thread.
struct Scene {
    outgoing: Arc<Outgoing>,
    left: Arc<Left>,
    writer: JoinHandle<Result<(), LinkError>>,
}

impl Scene {
    /// With a link that fails after `capacity` bytes, if there is one.
    fn new(capacity: Option<usize>) -> Self {
        let left = Arc::new(Left::default());
        left.state.lock().capacity = capacity;
        let outgoing = Arc::new(Outgoing::new(Box::new(Link::new(left.clone()))));
        let sending = outgoing.clone();
        let writer = thread::spawn(move || {
            let outcome = sending.run();
            if outcome.is_err() {
                // As a carrier does that has failed.
                sending.interrupt();
                sending.discard();
            }
            outcome
        });
        Self {
            outgoing,
            left,
            writer,
        }
    }

    /// A session that sends frames of `len` bytes and its End. Returns how many
    /// frames were accepted.
    fn session(&self, id: u16, len: usize) -> JoinHandle<u8> {
        let outgoing = self.outgoing.clone();
        thread::spawn(move || {
            let turn = Turn::default();
            let accepted = (0..FRAMES)
                .take_while(|number| {
                    let frame = frame(id, *number, len);
                    outgoing.data(frame, &turn, None, false).is_ok()
                })
                .count();
            outgoing.end_after_data(id);
            accepted as u8
        })
    }
}

fn frame(id: u16, number: u8, len: usize) -> Buf {
    let mut frame = Buf::copy_of(&vec![number; len]);
    frame.prepend(&keep_header(id, len));
    frame
}

/// Bytes of a session on the wire.
fn whole(id: u16, len: usize) -> usize {
    let frames = usize::from(FRAMES) * (keep_header(id, len).len() + len);
    frames + end_frame(id, false).len()
}

/// Nobody sends anything else, and the carrier is not closed: who queued last
/// has either sent all, or has seen to it that somebody does.
#[test]
fn nothing_that_is_queued_is_left_unsent() {
    explore(Time::StandsStill, || {
        let scene = Scene::new(None);
        let lens = [(1, 1), (2, DIRECT_SIZE), (3, 2)];
        let sessions = lens.map(|(id, len)| scene.session(id, len));
        scene.outgoing.end_now(9, true);
        let all: usize = lens.iter().map(|(id, len)| whole(*id, *len)).sum();
        scene.left.wait_for(all + end_frame(9, true).len());
        for session in sessions {
            assert_eq!(session.join().unwrap(), FRAMES);
        }
        for (id, (payloads, ended)) in scene.left.sessions() {
            assert!(ended);
            assert!(id == 9 || payloads == [0, 1, 2], "{id}: {payloads:?}");
        }
        scene.outgoing.close();
        scene.writer.join().unwrap().unwrap();
        assert!(scene.left.state.lock().closed);
    });
}

#[test]
fn what_was_accepted_before_a_close_leaves_before_the_end() {
    explore(Time::StandsStill, || {
        let scene = Scene::new(None);
        let sessions = [(1, 1), (2, DIRECT_SIZE)].map(|(id, len)| scene.session(id, len));
        scene.outgoing.close();
        let accepted = sessions.map(|session| session.join().unwrap());
        scene.writer.join().unwrap().unwrap();
        assert!(scene.left.state.lock().closed);
        let sessions = scene.left.sessions();
        for (id, count) in [1, 2].into_iter().zip(accepted) {
            let left = sessions.get(&id).map(|(payloads, _)| payloads.len());
            assert_eq!(left.unwrap_or_default(), usize::from(count));
        }
    });
}

/// More than the lane holds, so that senders wait.
#[test]
fn a_full_lane_empties_without_another_push() {
    explore(Time::StandsStill, || {
        let scene = Scene::new(None);
        let len = CARRIER_PIPE / 2;
        let sessions = [1, 2, 3].map(|id| scene.session(id, len));
        for session in sessions {
            assert_eq!(session.join().unwrap(), FRAMES);
        }
        scene.left.wait_for(3 * whole(1, len));
        scene.outgoing.close();
        scene.writer.join().unwrap().unwrap();
    });
}

#[test]
fn a_link_that_fails_is_noticed_and_nobody_waits_for_it() {
    explore(Time::StandsStill, || {
        let len = CARRIER_PIPE / 2;
        let scene = Scene::new(Some(below(2 * whole(1, len))));
        let sessions = [1, 2, 3].map(|id| scene.session(id, len));
        for session in sessions {
            session.join().unwrap();
        }
        assert!(scene.writer.join().unwrap().is_err());
        scene.outgoing.discard(); // a session may have had the link before
        assert!(scene.left.state.lock().aborted);
        let refused = scene
            .outgoing
            .data(frame(1, 0, 1), &Turn::default(), None, false);
        assert_eq!(refused, Err(PipeError::Interrupted));
    });
}

#[test]
fn an_interrupt_ends_it_at_any_time() {
    explore(Time::StandsStill, || {
        let scene = Scene::new(None);
        let len = CARRIER_PIPE / 2;
        let sessions = [1, 2, 3].map(|id| scene.session(id, len));
        scene.outgoing.interrupt();
        for session in sessions {
            session.join().unwrap();
        }
        assert!(scene.writer.join().unwrap().is_err());
        assert!(!scene.left.state.lock().closed);
    });
}
