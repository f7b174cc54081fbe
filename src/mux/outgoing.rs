//! What leaves by a carrier: three lanes and the thread that empties them.
//!
//! - *data*: frames with payload, in a pipe that blocks its writers;
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, bounded};
use parking_lot::Mutex;

use super::extension::{Hello, MAX_CREDITS, Message};
use super::frame::{SessionStatus, end_frame, keep_alive_header, keep_header};
use super::peer::PENDING_PROBES;
use super::stats::Counter;
use crate::buf::Buf;
use crate::limits::{CARRIER_PIPE, CONTROL_PIPE, PONGS, PROBE_SESSION};
use crate::link::{LinkError, Writer};
use crate::pipe::{PipeError, PipeReader, PipeWriter, pipe};

/// The queueing side, shared by everyone who sends on the carrier.
#[derive(Debug)]
pub(super) struct Outgoing {
    data: PipeWriter,
    control: PipeWriter,
    ends: Mutex<Ends>,
    signals: Mutex<Signals>,
    nudge: Sender<()>,
    writing: AtomicBool,
    /// Bytes that the link has taken.
    sent: Counter,
}

/// The emptying side, for the writer thread.
#[derive(Debug)]
pub(super) struct Lanes {
    data: PipeReader,
    control: PipeReader,
    nudged: Receiver<()>,
}

#[derive(Debug, Default)]
struct Ends {
    /// Before queued data: id, error bit.
    now: BTreeMap<u16, bool>,
    /// After the data that is queued.
    after_data: BTreeSet<u16>,
}

#[derive(Debug, Default)]
struct Signals {
    /// Leaves in front of the first frame, and does not make one by itself.
    greeting: Option<Hello>,
    hello: Option<Hello>,
    pings: VecDeque<u64>,
    pongs: VecDeque<u64>,
    credits: BTreeMap<u16, u64>,
    drain: bool,
    /// Frames that a plain peer answers with End, each.
    probes: usize,
}

/// Both sides of a carrier's lanes.
pub(super) fn lanes() -> (Outgoing, Lanes) {
    let (data_reader, data) = pipe(CARRIER_PIPE);
    let (control_reader, control) = pipe(CONTROL_PIPE);
    let (nudge, nudged) = bounded(1);
    let outgoing = Outgoing {
        data,
        control,
        ends: Mutex::default(),
        signals: Mutex::default(),
        writing: AtomicBool::new(false),
        sent: Counter::default(),
        nudge,
    };
    let lanes = Lanes {
        data: data_reader,
        control: control_reader,
        nudged,
    };
    (outgoing, lanes)
}

impl Outgoing {
    /// Queues a frame with payload; waits while the pipe is full, for `limit`
    /// if there is one.
    pub(super) fn data(&self, frame: Buf, limit: Option<Duration>) -> Result<(), PipeError> {
        match limit {
            Some(limit) => self.data.write_timeout(frame, limit),
            None => self.data.write(frame),
        }
    }

    /// Queues a frame on the control lane, or fails at once.
    pub(super) fn control(&self, frame: Buf) -> Result<(), PipeError> {
        self.control.try_write(frame).map_err(|(e, _)| e)
    }

    /// Queues an End that leaves before queued data.
    pub(super) fn end_now(&self, id: u16, error: bool) {
        let mut ends = self.ends.lock();
        *ends.now.entry(id).or_default() |= error;
        if error {
            ends.after_data.remove(&id);
        }
        drop(ends);
        self.nudge();
    }

    /// Queues an End that leaves after what is queued.
    pub(super) fn end_after_data(&self, id: u16) {
        self.ends.lock().after_data.insert(id);
        self.nudge();
    }

    /// Makes HELLO leave in one write with the first frame, in front of it.
    pub(super) fn greet(&self, hello: Hello) {
        self.signals.lock().greeting = Some(hello);
    }

    /// Answers a peer's HELLO.
    pub(super) fn hello(&self, hello: Hello) {
        self.signal(|signals| signals.hello = Some(hello));
    }

    /// Asks a muxcool peer for a PONG. Each question leaves, for each has
    /// somebody who waits for its answer; the oldest is forgotten when there
    /// are too many.
    pub(super) fn ping(&self, nonce: u64) {
        self.signal(|signals| {
            if signals.pings.len() >= PENDING_PROBES {
                signals.pings.pop_front();
            }
            signals.pings.push_back(nonce);
        });
    }

    /// Answers a PING. A peer that asks faster than it reads gets fewer.
    pub(super) fn pong(&self, nonce: u64) {
        self.signal(|signals| {
            if signals.pongs.len() < PONGS {
                signals.pongs.push_back(nonce);
            }
        });
    }

    /// Grants a session's payload up to `offset`.
    pub(super) fn credit(&self, id: u16, offset: u64) {
        self.signal(|signals| {
            signals.credits.insert(id, offset);
        });
    }

    /// Asks for no more sessions.
    pub(super) fn drain(&self) {
        self.signal(|signals| signals.drain = true);
    }

    /// Asks a plain peer for an End (section 14).
    pub(super) fn probe(&self) {
        self.signal(|signals| signals.probes = (signals.probes + 1).min(PENDING_PROBES));
    }

    /// Whether the carrier's link is taking a write at this moment, or lets it
    /// wait.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Bytes that the carrier's link has taken.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    fn signal(&self, note: impl FnOnce(&mut Signals)) {
        note(&mut self.signals.lock());
        self.nudge();
    }

    /// The frames that the signals make, but for the greeting.
    fn take_signals(&self) -> Vec<Buf> {
        let mut signals = self.signals.lock();
        let greeting = signals.greeting.take();
        let taken = std::mem::take(&mut *signals);
        signals.greeting = greeting;
        drop(signals);
        taken.into_frames()
    }

    fn take_greeting(&self) -> Option<Buf> {
        let hello = self.signals.lock().greeting.take()?;
        signals_frame(&[Message::Hello(hello)])
    }

    /// Lets the writer send what is queued, and then end the carrier.
    pub(super) fn close(&self) {
        self.data.close();
        self.control.close();
        self.nudge();
    }

    /// Drops what is queued; the writer ends at once.
    pub(super) fn interrupt(&self) {
        self.data.interrupt();
        self.control.interrupt();
        self.nudge();
    }

    fn nudge(&self) {
        let _ = self.nudge.try_send(());
    }

    /// Which orderly Ends may follow the data that is queued at this moment.
    fn take_orderly(&self) -> BTreeSet<u16> {
        std::mem::take(&mut self.ends.lock().after_data)
    }

    fn has_ends(&self) -> bool {
        let ends = self.ends.lock();
        !ends.now.is_empty() || !ends.after_data.is_empty()
    }

    fn take_urgent(&self) -> BTreeMap<u16, bool> {
        std::mem::take(&mut self.ends.lock().now)
    }
}

impl Lanes {
    /// Body of the carrier's writer thread: sends all that is queued in one
    /// go, until the lanes end.
    ///
    /// # Errors
    /// The writer's, or [`LinkError::Reset`] after an interrupt.
    pub(super) fn run(self, outgoing: &Outgoing, writer: &mut dyn Writer) -> Result<(), LinkError> {
        let mut batch = VecDeque::new();
        while self.next_batch(outgoing, &mut batch)? {
            let len = batch.iter().map(Buf::len).sum();
            outgoing.writing.store(true, Ordering::Relaxed);
            writer.write(&mut batch)?;
            outgoing.writing.store(false, Ordering::Relaxed);
            outgoing.sent.add(len);
        }
        writer.close()
    }

    /// Waits for something to send; `false` is the orderly end.
    fn next_batch(
        &self,
        outgoing: &Outgoing,
        batch: &mut VecDeque<Buf>,
    ) -> Result<bool, PipeError> {
        loop {
            let over = self.collect(outgoing, batch)?;
            if !batch.is_empty() {
                return Ok(true);
            }
            if !over {
                self.wait();
            } else if !outgoing.has_ends() {
                return Ok(false);
            } // else they were queued after this round had looked
        }
    }

    /// Takes what is queued now, in the order in which it has to leave.
    /// Returns whether the lanes have ended.
    fn collect(&self, outgoing: &Outgoing, batch: &mut VecDeque<Buf>) -> Result<bool, PipeError> {
        // Taken before the data is counted: what these sessions had queued
        // before their End is then among it.
        let orderly = outgoing.take_orderly();
        batch.extend(outgoing.take_signals());
        let mut urgent = outgoing.take_urgent();
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
            && let Some(greeting) = outgoing.take_greeting()
        {
            batch.push_front(greeting);
        }
        Ok(control_over && data_over)
    }

    /// Both pipes are closed together, so neither stays ready for long while
    /// the other is open.
    fn wait(&self) {
        let mut select = Select::new();
        select.recv(self.data.readiness());
        select.recv(self.control.readiness());
        let nudged = select.recv(&self.nudged);
        if select.ready() == nudged {
            let _ = self.nudged.try_recv();
        }
    }
}

impl Signals {
    fn into_frames(self) -> Vec<Buf> {
        let mut messages: Vec<Message> = Vec::new();
        messages.extend(self.hello.map(Message::Hello));
        messages.extend(self.pongs.into_iter().map(Message::Pong));
        messages.extend(self.pings.into_iter().map(Message::Ping));
        if self.drain {
            messages.push(Message::Drain);
        }
        let credits: Vec<(u16, u64)> = self.credits.into_iter().collect();
        let mut frames: Vec<Buf> = signals_frame(&messages).into_iter().collect();
        for some in credits.chunks(MAX_CREDITS) {
            frames.extend(signals_frame(&[Message::Credit(some.to_vec())]));
        }
        let probe = keep_header(PROBE_SESSION, 0);
        frames.extend((0..self.probes).map(|_| Buf::copy_of(&probe)));
        frames
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
    let mut frame = Buf::copy_of(&data);
    frame.prepend(&keep_alive_header(data.len()));
    Some(frame)
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
        let (outgoing, lanes) = lanes();
        outgoing.data(Buf::copy_of(b"data"), None).unwrap();
        outgoing.end_after_data(1);
        outgoing.end_now(2, true);
        outgoing.control(Buf::copy_of(b"beat")).unwrap();
        let mut batch = VecDeque::new();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(true));
        let expected: [&[u8]; 4] = [&end_frame(2, true), b"beat", b"data", &end_frame(1, false)];
        assert_eq!(frames(&batch), expected);
    }

    #[test]
    fn a_failed_session_takes_back_what_it_had_queued() {
        let (outgoing, lanes) = lanes();
        let keep = |id| {
            let mut frame = Buf::copy_of(b"x");
            frame.prepend(&keep_header(id, 1));
            frame
        };
        for id in [1, 2, 3] {
            outgoing.data(keep(id), None).unwrap();
        }
        let target = Destination::tcp("example.com", 80).unwrap();
        for id in [4, 5] {
            let new = Buf::copy_of(&new_header(id, &target, None));
            outgoing.data(new, None).unwrap();
        }
        outgoing.end_after_data(1);
        outgoing.end_now(1, true);
        outgoing.end_now(3, false);
        outgoing.end_now(4, true);
        let mut batch = VecDeque::new();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(true));
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
        let (outgoing, lanes) = lanes();
        for _ in 0..1000 {
            outgoing.end_now(9, false);
        }
        outgoing.close();
        let mut batch = VecDeque::new();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(true));
        assert_eq!(frames(&batch), [end_frame(9, false)]);
        batch.clear();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(false));
    }

    #[test]
    fn no_question_takes_the_place_of_another() {
        let (outgoing, lanes) = lanes();
        for nonce in 0..3 {
            outgoing.ping(nonce);
            outgoing.probe();
        }
        let mut batch = VecDeque::new();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(true));
        let pings = signals_frame(&[0, 1, 2].map(Message::Ping)).unwrap();
        let probe = keep_header(PROBE_SESSION, 0).to_vec();
        let expected = [vec![pings.as_slice().to_vec()], vec![probe; 3]].concat();
        assert_eq!(frames(&batch), expected);

        for nonce in 0..1000 {
            outgoing.ping(nonce);
            outgoing.probe();
        }
        batch.clear();
        assert_eq!(lanes.next_batch(&outgoing, &mut batch), Ok(true));
        assert_eq!(batch.len(), 1 + PENDING_PROBES);
    }

    #[test]
    fn a_full_control_lane_refuses_at_once() {
        let (outgoing, _lanes) = lanes();
        let refused = (0..CONTROL_PIPE).find(|_| outgoing.control(Buf::copy_of(b"beat")).is_err());
        assert!(refused.is_some());
    }
}
