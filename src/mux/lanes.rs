//! What waits to leave by a carrier, in its lanes, and the order in which it
//! leaves:
//!
//! - *data*: frames with payload, in a pipe that blocks its writers, which take
//!   turns;
//! - *control*: heartbeats and the like, in a small pipe of its own, sent
//!   before queued data;
//! - *ends*: End frames, which nobody ever waits to queue, one per session at
//!   the most. Those with the error bit, and answers to unknown ids, leave
//!   before queued data; an orderly one leaves after the data that its session
//!   had queued before;
//! - *signals*: what muxcool peers tell each other (section 11), which nobody
//!   waits to queue either: before everything else, and at the most one of a
//!   kind, or of a kind and session, but for questions and answers, which are
//!   few.
//!
//! What a session had queued when it failed is taken back. If its New is among
//! it, the peer never hears of the session: an End that overtook the New would
//! leave the peer with a session that nobody ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::extension::{Hello, MAX_CREDITS, Message, encode_credit};
use super::frame::{SessionStatus, end_frame, keep_alive_header, keep_header};
use super::peer::PENDING_PROBES;
use crate::buf::Buf;
use crate::limits::{
    CARRIER_PIPE, CARRIER_PIPE_MOST, CONTROL_PIPE, PONGS, PROBE_SESSION, UNKNOWN_ANSWERS,
};
use crate::pipe::{PipeError, PipeReader, PipeWriter, Turn, elastic_pipe, pipe};
use crate::sync::shim::Mutex;

/// The queueing side, shared by everyone who sends on the carrier.
#[derive(Debug)]
pub(super) struct Lanes {
    data: PipeWriter,
    control: PipeWriter,
    ends: Mutex<Ends>,
    signals: Mutex<Signals>,
}

/// The emptying side of the pipes, for the one who sends at the moment.
#[derive(Debug)]
pub(super) struct LaneEnds {
    data: PipeReader,
    control: PipeReader,
}

#[derive(Debug, Default)]
struct Ends {
    /// Before queued data: id, error bit.
    now: BTreeMap<u16, bool>,
    /// After the data that is queued.
    after_data: BTreeSet<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Leaves in front of the first frame, and does not make one by itself.
    pub(super) greeting: Option<Hello>,
    pub(super) hello: Option<Hello>,
    pings: VecDeque<u64>,
    pongs: VecDeque<u64>,
    /// By session. It keeps its memory, as does the next: credit is granted
    /// all the time.
    credits: Vec<(u16, u64)>,
    scratch: Vec<u8>,
    pub(super) drain: bool,
    /// Frames that a plain peer answers with End, each.
    probes: usize,
}

/// Both sides of a carrier's lanes.
pub(super) fn lanes() -> (Lanes, LaneEnds) {
    let (data_reader, data) = elastic_pipe(CARRIER_PIPE, CARRIER_PIPE_MOST);
    let (control_reader, control) = pipe(CONTROL_PIPE);
    let lanes = Lanes {
        data,
        control,
        ends: Mutex::default(),
        signals: Mutex::default(),
    };
    let ends = LaneEnds {
        data: data_reader,
        control: control_reader,
    };
    (lanes, ends)
}

impl Lanes {
    /// Waits while the pipe is full, for `limit` if there is one.
    pub(super) fn data(
        &self,
        frame: Buf,
        turn: &Turn,
        limit: Option<Duration>,
    ) -> Result<(), PipeError> {
        self.data.write_in_turn(frame, turn, limit)
    }

    /// Fails at once if the lane is full.
    pub(super) fn control(&self, frame: Buf) -> Result<(), PipeError> {
        self.control.try_write(frame).map_err(|(e, _)| e)
    }

    /// An End that leaves before queued data.
    pub(super) fn end_now(&self, id: u16, error: bool) {
        let mut ends = self.ends.lock();
        *ends.now.entry(id).or_default() |= error;
        if error {
            ends.after_data.remove(&id);
        }
    }

    /// An End for an id that is not open, unless too many wait already: then
    /// the peer does not read them. A probe is always answered.
    pub(super) fn answer_unknown(&self, id: u16) {
        let mut ends = self.ends.lock();
        if ends.now.len() < UNKNOWN_ANSWERS || id == PROBE_SESSION {
            ends.now.entry(id).or_default();
        }
    }

    /// An End that leaves after what is queued.
    pub(super) fn end_after_data(&self, id: u16) {
        self.ends.lock().after_data.insert(id);
    }

    pub(super) fn signal(&self, note: impl FnOnce(&mut Signals)) {
        note(&mut self.signals.lock());
    }

    /// Lets `len` bytes of data wait, within the lane's bounds.
    pub(super) fn hold(&self, len: usize) {
        self.data.set_limit(len);
    }

    pub(super) fn close(&self) {
        self.data.close();
        self.control.close();
    }

    pub(super) fn interrupt(&self) {
        self.data.interrupt();
        self.control.interrupt();
    }

    /// The frames that the signals make, but for the greeting.
    fn take_signals(&self, batch: &mut VecDeque<Buf>) {
        let mut signals = self.signals.lock();
        if signals.has_some() {
            signals.take_frames(batch);
        }
    }

    fn take_greeting(&self) -> Option<Buf> {
        let hello = self.signals.lock().greeting.take()?;
        signals_frame(&[Message::Hello(hello)])
    }

    /// Which orderly Ends may follow the data that is queued at this moment.
    fn take_orderly(&self) -> BTreeSet<u16> {
        std::mem::take(&mut self.ends.lock().after_data)
    }

    fn take_urgent(&self) -> BTreeMap<u16, bool> {
        std::mem::take(&mut self.ends.lock().now)
    }

    fn has_ends(&self) -> bool {
        let ends = self.ends.lock();
        !ends.now.is_empty() || !ends.after_data.is_empty()
    }

    /// Whether [`collect`](LaneEnds::collect) would find something, the end
    /// included.
    pub(super) fn has_news(&self) -> bool {
        !self.data.is_idle()
            || !self.control.is_idle()
            || self.has_ends()
            || self.signals.lock().has_some()
    }
}

impl LaneEnds {
    /// Takes what is queued now, in the order in which it has to leave.
    /// Returns whether that was the last.
    ///
    /// # Errors
    /// After an interrupt.
    pub(super) fn collect(
        &self,
        lanes: &Lanes,
        batch: &mut VecDeque<Buf>,
    ) -> Result<bool, PipeError> {
        // Taken before the data is counted: what these sessions had queued
        // before their End is then among it.
        let orderly = lanes.take_orderly();
        lanes.take_signals(batch);
        let mut urgent = lanes.take_urgent();
        let control_over = take_queued(&self.control, batch)?;
        let data_over = take_queued(&self.data, batch)?;
        take_back(batch, &mut urgent);
        for (id, error) in urgent.into_iter().rev() {
            batch.push_front(Buf::copy_of(&end_frame(id, error)));
        }
        for id in orderly {
            batch.push_back(Buf::copy_of(&end_frame(id, false)));
        }
        if !batch.is_empty()
            && let Some(greeting) = lanes.take_greeting()
        {
            batch.push_front(greeting);
        }
        // Ends that were queued after this round had looked still leave.
        Ok(control_over && data_over && !lanes.has_ends())
    }
}

impl Signals {
    /// Each question leaves, for each has somebody who waits for its answer;
    /// the oldest is forgotten when there are too many.
    pub(super) fn ping(&mut self, nonce: u64) {
        if self.pings.len() >= PENDING_PROBES {
            self.pings.pop_front();
        }
        self.pings.push_back(nonce);
    }

    /// A peer that asks faster than it reads gets fewer.
    pub(super) fn pong(&mut self, nonce: u64) {
        if self.pongs.len() < PONGS {
            self.pongs.push_back(nonce);
        }
    }

    pub(super) fn probe(&mut self) {
        self.probes = (self.probes + 1).min(PENDING_PROBES);
    }

    /// Several threads grant a session payload, each what it has found: one may
    /// come with less than another has brought before it.
    pub(super) fn credit(&mut self, grants: &[(u16, u64)]) {
        for (id, offset) in grants {
            match self.credits.binary_search_by_key(id, |(id, _)| *id) {
                Ok(at) => self.credits[at].1 = self.credits[at].1.max(*offset),
                Err(at) => self.credits.insert(at, (*id, *offset)),
            }
        }
    }

    fn has_some(&self) -> bool {
        self.hello.is_some()
            || self.drain
            || self.probes > 0
            || !(self.pings.is_empty() && self.pongs.is_empty() && self.credits.is_empty())
    }

    /// Appends what they make, but for the greeting; none is left.
    fn take_frames(&mut self, batch: &mut VecDeque<Buf>) {
        let mut messages: Vec<Message> = Vec::new();
        messages.extend(self.hello.take().map(Message::Hello));
        messages.extend(self.pongs.drain(..).map(Message::Pong));
        messages.extend(self.pings.drain(..).map(Message::Ping));
        messages.extend(std::mem::take(&mut self.drain).then_some(Message::Drain));
        batch.extend(signals_frame(&messages));
        for some in self.credits.chunks(MAX_CREDITS) {
            self.scratch.clear();
            encode_credit(some, &mut self.scratch);
            batch.push_back(frame_around(&self.scratch));
        }
        self.credits.clear();
        let probe = keep_header(PROBE_SESSION, 0);
        let probes = std::mem::take(&mut self.probes);
        batch.extend((0..probes).map(|_| Buf::copy_of(&probe)));
    }
}

/// One frame with these messages; none without any.
fn signals_frame(messages: &[Message]) -> Option<Buf> {
    if messages.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    for message in messages {
        message.encode(&mut data);
    }
    Some(frame_around(&data))
}

fn frame_around(data: &[u8]) -> Buf {
    let mut frame = Buf::copy_of(data);
    frame.prepend(&keep_alive_header(data.len()));
    frame
}

/// Takes as many buffers as are queued at the call. Returns whether the pipe
/// has ended.
fn take_queued(pipe: &PipeReader, batch: &mut VecDeque<Buf>) -> Result<bool, PipeError> {
    for _ in 0..=pipe.queued_buffers() {
        match pipe.try_read() {
            Ok(Some(buf)) => batch.push_back(buf),
            Ok(None) => return Ok(true),
            Err(PipeError::TimedOut) => break,
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

/// Takes back the frames of sessions that failed, and the Ends of those among
/// them of which the peer has not heard.
fn take_back(batch: &mut VecDeque<Buf>, ends: &mut BTreeMap<u16, bool>) {
    if !ends.values().any(|error| *error) {
        return;
    }
    let mut unheard_of = BTreeSet::new();
    batch.retain(|frame| {
        let Some((id, is_new)) = frame_head(frame.as_slice()) else {
            return true;
        };
        let failed = ends.get(&id) == Some(&true);
        if failed && is_new {
            unheard_of.insert(id);
        }
        !failed
    });
    ends.retain(|id, _| !unheard_of.contains(id));
}

/// Id of a frame that we made, and whether it is a New.
fn frame_head(frame: &[u8]) -> Option<(u16, bool)> {
    let (&[_, _, id_hi, id_lo, status], _) = frame.split_first_chunk()?;
    let is_new = status == SessionStatus::New as u8;
    Some((u16::from_be_bytes([id_hi, id_lo]), is_new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::frame::{keep_header, new_header};
    use crate::net::Destination;

    fn frames(batch: &VecDeque<Buf>) -> Vec<Vec<u8>> {
        batch.iter().map(|buf| buf.as_slice().to_vec()).collect()
    }

    #[test]
    fn control_goes_first_and_an_orderly_end_after_its_data() {
        let (lanes, ends) = lanes();
        lanes
            .data(Buf::copy_of(b"data"), &Turn::default(), None)
            .unwrap();
        lanes.end_after_data(1);
        lanes.end_now(2, true);
        lanes.control(Buf::copy_of(b"beat")).unwrap();
        let mut batch = VecDeque::new();
        assert_eq!(ends.collect(&lanes, &mut batch), Ok(false));
        let expected: [&[u8]; 4] = [&end_frame(2, true), b"beat", b"data", &end_frame(1, false)];
        assert_eq!(frames(&batch), expected);
    }

    #[test]
    fn a_grant_that_comes_late_takes_nothing_back() {
        let mut signals = Signals::default();
        signals.credit(&[(1, 20), (2, 5)]);
        signals.credit(&[(1, 10), (2, 6)]);
        let mut expected = Vec::new();
        Message::Credit(vec![(1, 20), (2, 6)]).encode(&mut expected);
        let mut frames = VecDeque::new();
        signals.take_frames(&mut frames);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].as_slice().ends_with(&expected));
    }

    #[test]
    fn a_failed_session_takes_back_what_it_had_queued() {
        let (lanes, ends) = lanes();
        let keep = |id| {
            let mut frame = Buf::copy_of(b"x");
            frame.prepend(&keep_header(id, 1));
            frame
        };
        for id in [1, 2, 3] {
            lanes.data(keep(id), &Turn::default(), None).unwrap();
        }
        let target = Destination::tcp("example.com", 80).unwrap();
        for id in [4, 5] {
            let new = Buf::copy_of(&new_header(id, &target, None));
            lanes.data(new, &Turn::default(), None).unwrap();
        }
        lanes.end_after_data(1);
        lanes.end_now(1, true);
        lanes.end_now(3, false);
        lanes.end_now(4, true);
        let mut batch = VecDeque::new();
        assert_eq!(ends.collect(&lanes, &mut batch), Ok(false));
        let expected = [
            end_frame(1, true).to_vec(),
            end_frame(3, false).to_vec(),
            keep(2).as_slice().to_vec(),
            keep(3).as_slice().to_vec(),
            new_header(5, &target, None),
        ];
        assert_eq!(frames(&batch), expected);
    }

    #[test]
    fn answers_for_one_id_are_one_frame() {
        let (lanes, ends) = lanes();
        for _ in 0..1000 {
            lanes.end_now(9, false);
        }
        lanes.close();
        let mut batch = VecDeque::new();
        assert_eq!(ends.collect(&lanes, &mut batch), Ok(true));
        assert_eq!(frames(&batch), [end_frame(9, false)]);
    }

    #[test]
    fn no_question_takes_the_place_of_another() {
        let (lanes, ends) = lanes();
        for nonce in 0..3 {
            lanes.signal(|signals| signals.ping(nonce));
            lanes.signal(Signals::probe);
        }
        let mut batch = VecDeque::new();
        assert_eq!(ends.collect(&lanes, &mut batch), Ok(false));
        let pings = signals_frame(&[0, 1, 2].map(Message::Ping)).unwrap();
        let probe = keep_header(PROBE_SESSION, 0).to_vec();
        let expected = [vec![pings.as_slice().to_vec()], vec![probe; 3]].concat();
        assert_eq!(frames(&batch), expected);

        for nonce in 0..1000 {
            lanes.signal(|signals| signals.ping(nonce));
            lanes.signal(Signals::probe);
        }
        batch.clear();
        assert_eq!(ends.collect(&lanes, &mut batch), Ok(false));
        assert_eq!(batch.len(), 1 + PENDING_PROBES);
    }

    #[test]
    fn a_full_control_lane_refuses_at_once() {
        let (lanes, _ends) = lanes();
        let refused = (0..CONTROL_PIPE).find(|_| lanes.control(Buf::copy_of(b"beat")).is_err());
        assert!(refused.is_some());
    }
}
