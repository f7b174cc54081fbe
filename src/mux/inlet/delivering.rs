//! What a session's inlet does with what the carrier's reader brings: writes
//! it to the consumer, or parks it.

use std::time::Instant;

use super::{Consumer, ConsumerGone, Inlet, State, Step, Written, write_now};
use crate::buf::Buf;
use crate::limits::PARKED_DATAGRAMS;
use crate::link::Writer;
use crate::mux::parked::Piece;
use crate::mux::wakes::Wakes;
use crate::net::Network;
use crate::sync::shim::MutexGuard;

/// The consumer, and the piece that is to be written to it.
type Claimed<P> = (Box<dyn Writer>, P);

impl Inlet {
    /// Takes `data` from the carrier's reader: all of it, or one datagram. A
    /// thread that waits for it in this process is woken with `wakes`.
    ///
    /// Waits only when as much is parked as may be; tells `held_up` when that
    /// begins and ends.
    pub(in crate::mux) fn deliver(
        &self,
        data: &[u8],
        consumed: &dyn Fn(usize),
        held_up: &dyn Fn(bool),
        wakes: &Wakes,
    ) -> Result<Step, ConsumerGone> {
        match self.claim_consumer(data, held_up)? {
            Some((writer, data)) => self.write_or_park(writer, data, consumed, wakes),
            None => Ok(Step::None),
        }
    }

    /// As [`deliver`](Self::deliver), but a consumer that keeps what it gets
    /// gets the buffer.
    pub(in crate::mux) fn deliver_buf(
        &self,
        buf: Buf,
        consumed: &dyn Fn(usize),
        held_up: &dyn Fn(bool),
        wakes: &Wakes,
    ) -> Result<Step, ConsumerGone> {
        let Some((mut writer, buf)) = self.claim_consumer(buf, held_up)? else {
            return Ok(Step::None);
        };
        let len = buf.len();
        match writer.try_keep(buf) {
            Ok(wake) => {
                wakes.add(wake);
                let step = self.give_back(writer);
                consumed(len);
                Ok(step)
            }
            Err(buf) => self.write_or_park(writer, buf, consumed, wakes),
        }
    }

    /// Takes the consumer, to write `piece` to it; parks `piece` if there is none
    /// or another thread has it.
    fn claim_consumer<P: Piece>(
        &self,
        piece: P,
        held_up: &dyn Fn(bool),
    ) -> Result<Option<Claimed<P>>, ConsumerGone> {
        let mut state = self.state.lock();
        if state.ending.is_none() && self.is_full(&state) {
            self.bounds.count_hold_up();
            held_up(true);
            let room = self.wait_for_room(&mut state);
            held_up(false);
            if !room {
                self.bounds.count_stalled();
                return Err(ConsumerGone::Stalled);
            }
        }
        if state.ending.is_some() {
            return Ok(None);
        }
        // Only now, for whoever had it may have given it back meanwhile.
        match std::mem::replace(&mut state.consumer, Consumer::Busy) {
            Consumer::Ready(writer) => Ok(Some((writer, piece))),
            other => {
                state.consumer = other;
                self.park(&mut state, piece, 0);
                Ok(None)
            }
        }
    }

    fn write_or_park(
        &self,
        mut writer: Box<dyn Writer>,
        piece: impl Piece,
        consumed: &dyn Fn(usize),
        wakes: &Wakes,
    ) -> Result<Step, ConsumerGone> {
        match write_now(writer.as_mut(), piece.as_ref(), &|wake| wakes.add(wake)) {
            Ok(Written::All) => {
                let step = self.give_back(writer);
                consumed(piece.as_ref().len());
                Ok(step)
            }
            Ok(Written::Only(len)) => {
                self.park(&mut self.state.lock(), piece, len);
                consumed(len);
                Ok(Step::Drain(writer))
            }
            Err(_) => self.lose(),
        }
    }

    /// Backpressure of last resort (section 12): the carrier's reader waits
    /// for this session. Returns whether it may go on; not if the consumer has
    /// taken nothing for too long.
    fn wait_for_room(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let begun = Instant::now();
        while self.is_full(state) && state.ending.is_none() {
            let deadline = self.bounds.deadline(begun, state.parked.progress());
            if Instant::now() >= deadline {
                return false;
            }
            self.room.wait_until(state, deadline);
        }
        true
    }

    /// Streams of plain peers wait for room; datagrams are dropped.
    fn is_full(&self, state: &State) -> bool {
        self.network == Network::Tcp && !state.has_credit && self.has_its_share(state)
    }

    fn has_its_share(&self, state: &State) -> bool {
        self.bounds.are_reached(state.parked.bytes())
    }

    /// Of `piece` the first `written` bytes need not be parked.
    fn park(&self, state: &mut State, piece: impl Piece, written: usize) {
        let is_kept = match self.network {
            Network::Tcp => true,
            Network::Udp => state.parked.len() < PARKED_DATAGRAMS && !self.has_its_share(state),
        };
        if is_kept {
            piece.park(written, &mut state.parked);
        } else {
            state.dropped += 1;
            self.bounds.count_dropped();
        }
    }
}
