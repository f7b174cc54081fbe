//! What leaves by a session, from New to End.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;

use super::{Failure, Session};
use crate::buf::Buf;
use crate::limits::{DIRECT_SIZE, FRAME_PAYLOAD};
use crate::link::LinkError;
use crate::mux::frame::{keep_header, new_header, new_header_from};
use crate::net::Network;
use crate::sync::shim::atomic::Ordering;
use crate::sync::{Next, deadline_in};

impl Session {
    /// Sends New, with `payload` if there is one.
    pub(in crate::mux) fn send_new(&self, payload: Option<Buf>) -> Result<(), LinkError> {
        let (first, rest) = match payload {
            Some(payload) if !self.goes_with_new(&payload) => (None, Some(payload)),
            payload => (payload, None),
        };
        self.announce(|| self.queue(self.new_frame(first), None))?;
        match rest {
            Some(rest) => self.send(rest),
            None => Ok(()),
        }
    }

    fn goes_with_new(&self, payload: &Buf) -> bool {
        let has_credit = || self.network() == Network::Udp || self.flow.take_whole(payload.len());
        self.fits(payload) && has_credit()
    }

    /// Queues New. If the session fails meanwhile, its End follows then: before,
    /// it would be for an id that the peer does not know (A12).
    fn announce(&self, queue: impl FnOnce() -> Result<(), LinkError>) -> Result<(), LinkError> {
        self.ends.lock().is_announcing = true;
        let queued = queue();
        let mut ends = self.ends.lock();
        ends.is_announcing = false;
        ends.announced = queued.is_ok();
        let failed = ends.announced && ends.failure == Some(Failure::Local);
        drop(ends);
        if failed {
            self.carrier.outgoing().end_now(self.id, true);
        }
        self.settle();
        queued
    }

    fn new_frame(&self, payload: Option<Buf>) -> Buf {
        let len = payload.as_ref().map(Buf::len);
        if self.network() == Network::Udp {
            self.datagrams.sent.add(len.unwrap_or_default());
        }
        let wanted = self.carrier.peer().wants_origins();
        let origin = self.origin().filter(|_| wanted);
        let header = new_header_from(self.id, &self.target, origin, len);
        let mut frame = payload.unwrap_or_else(|| Buf::with_capacity(header.len()));
        frame.prepend(&header);
        frame
    }

    /// Sends New with `payload`, or Keep, on the control lane; fails at once if
    /// that is full.
    pub(in crate::mux) fn send_control(
        &self,
        first: bool,
        payload: &[u8],
    ) -> Result<(), LinkError> {
        if self.is_over() {
            return Err(LinkError::Reset);
        }
        let mut frame = Buf::copy_of(payload);
        if !first {
            frame.prepend(&keep_header(self.id, payload.len()));
            return Ok(self.carrier.outgoing().control(frame)?);
        }
        frame.prepend(&new_header(self.id, &self.target, Some(payload.len())));
        self.announce(|| Ok(self.carrier.outgoing().control(frame)?))
    }

    /// Sends one buffer: bytes of the stream, or one datagram. Waits while
    /// there is no credit, or the carrier's pipe is full.
    pub(in crate::mux) fn send(&self, payload: Buf) -> Result<(), LinkError> {
        match self.network() {
            Network::Tcp => self.send_stream(payload),
            Network::Udp => self.send_datagram(payload, None),
        }
    }

    /// In frames of at most [`FRAME_PAYLOAD`], as credit allows.
    fn send_stream(&self, mut payload: Buf) -> Result<(), LinkError> {
        while !payload.is_empty() {
            let len = self.flow.take(payload.len().min(FRAME_PAYLOAD), None)?;
            if len == payload.len() {
                return self.send_keep(payload, None);
            }
            let piece = Buf::copy_of(payload.as_slice().get(..len).unwrap_or_default());
            payload.advance(len);
            self.send_keep(piece, None)?;
        }
        Ok(())
    }

    /// Sends the first bytes of `data`, as many as go in one frame and credit
    /// allows, and says how many. Waits as [`send`](Self::send) does, for
    /// `limit` if there is one; nothing has been sent then.
    pub(in crate::mux) fn send_some(
        &self,
        data: &[u8],
        limit: Option<Duration>,
    ) -> Result<usize, LinkError> {
        if data.is_empty() {
            return Ok(0);
        }
        let until = limit.map(deadline_in);
        let len = self.flow.take(data.len().min(FRAME_PAYLOAD), until)?;
        let piece = data.get(..len).unwrap_or_default();
        if self.send_directly(piece) {
            return Ok(len);
        }
        let piece = Buf::copy_of(piece);
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let sent = self.send_keep(piece, left);
        if sent.is_err() {
            self.flow.give_back(len);
        }
        sent.map(|()| len)
    }

    /// Sends a large piece from where it is, if that is possible now.
    fn send_directly(&self, piece: &[u8]) -> bool {
        let head = keep_header(self.id, piece.len());
        piece.len() >= DIRECT_SIZE
            && !self.is_over()
            && self.carrier.outgoing().data_directly(&head, piece)
    }

    /// Sends one datagram. Waits while the carrier's pipe is full, for `limit`
    /// if there is one.
    pub(in crate::mux) fn send_datagram(
        &self,
        payload: Buf,
        limit: Option<Duration>,
    ) -> Result<(), LinkError> {
        self.datagram_moves();
        match self.fits(&payload) {
            true => {
                self.datagrams.sent.add(payload.len());
                self.send_keep(payload, limit)
            }
            false => {
                self.drop_datagram(&payload);
                Ok(())
            }
        }
    }

    /// As UDP may: a plain peer would end the whole carrier (section 8.3).
    fn drop_datagram(&self, payload: &Buf) {
        self.carrier.counters().dropped.add(1);
        debug!("session {}: dropped {} bytes", self.name(), payload.len());
    }

    fn send_keep(&self, mut payload: Buf, limit: Option<Duration>) -> Result<(), LinkError> {
        payload.prepend(&keep_header(self.id, payload.len()));
        self.queue(payload, limit)
    }

    /// Whether it goes in one frame, and the peer takes it.
    fn fits(&self, payload: &Buf) -> bool {
        let largest = match self.network() {
            Network::Tcp => FRAME_PAYLOAD,
            Network::Udp => self.carrier.peer().largest_datagram(),
        };
        payload.len() <= largest
    }

    fn queue(&self, frame: Buf, limit: Option<Duration>) -> Result<(), LinkError> {
        if self.is_over() {
            return Err(LinkError::Reset);
        }
        self.carrier
            .outgoing()
            .data(frame, &self.turn, limit, self.answers())
            .map_err(|e| match LinkError::from(e) {
                LinkError::TimedOut => LinkError::TimedOut,
                _ => LinkError::Reset,
            })
    }

    /// Whether what is sent now is the first, or something has arrived since the
    /// last: then the peer mostly waits for it, and nothing follows soon.
    fn answers(&self) -> bool {
        let arrived = self.arrived();
        self.answered.swap(arrived, Ordering::Relaxed) != arrived
    }

    /// No more comes from this side: sends End behind what was sent.
    pub(in crate::mux) fn end_local(self: &Arc<Self>) -> Result<(), LinkError> {
        let mut ends = self.ends.lock();
        if ends.over {
            return match ends.failure {
                Some(_) => Err(LinkError::Reset),
                None => Ok(()),
            };
        }
        if std::mem::replace(&mut ends.local, true) {
            return Ok(());
        }
        let (announced, remote) = (ends.announced, ends.remote);
        ends.end_is_due = announced;
        drop(ends);
        self.flow.end(); // another handle's write may wait for credit
        if !announced {
            self.inlet.finish();
        } else if remote || !self.waits_with_end() {
            self.send_due_end();
        } else {
            self.send_end_when_quiet();
        }
        if remote || !announced {
            self.finish(None);
        }
        Ok(())
    }

    /// Whether the peer would take End for more than a half-close: a plain
    /// server cuts its answer soon after it (section 13).
    fn waits_with_end(&self) -> bool {
        let waits = !self.carrier.options().end_quiet.is_zero();
        waits && self.network() == Network::Tcp && self.carrier.peers_end_cuts_answers()
    }

    /// Sends End once nothing has arrived for the quiet time.
    fn send_end_when_quiet(self: &Arc<Self>) {
        self.carrier
            .with_sessions(|table| table.end_is_due(self.id));
        let session = Arc::downgrade(self);
        let quiet = self.carrier.options().end_quiet;
        let mut seen = self.arrived();
        let timer = self.carrier.timer().schedule(quiet, move || {
            let Some(session) = session.upgrade() else {
                return Next::Stop;
            };
            let now = session.arrived();
            if std::mem::replace(&mut seen, now) != now {
                return Next::After(quiet);
            }
            session.send_end_after(now);
            Next::Stop
        });
        *self.end_timer.lock() = Some(timer);
    }

    /// Sends the End that is still due after so many pieces of an answer.
    fn send_end_after(&self, pieces: u64) {
        let mut ends = self.ends.lock();
        ends.quiet_after = ends.end_is_due.then_some(pieces);
        drop(ends);
        self.send_due_end();
    }

    /// Sends the End that is due, if one is.
    pub(in crate::mux) fn send_due_end(&self) {
        let mut ends = self.ends.lock();
        let due = std::mem::take(&mut ends.end_is_due) && ends.failure.is_none();
        drop(ends);
        if due {
            self.carrier.outgoing().end_after_data(self.id);
        }
    }
}
