//! What a carrier's reader has to grant, on its way to the peer.
//!
//! A grant is a frame, a write, and a wake-up of the peer's reader. So as long
//! as there is more to read the grants wait for each other, within a bound;
//! before the reader waits it sends them, for the peer may have used up its
//! credit.

use super::outgoing::Outgoing;
use crate::limits::GRANTS_TOGETHER;

/// Grants that wait for each other.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Session, offset; the last one of a session counts.
    waiting: Vec<(u16, u64)>,
    /// Bytes that were read since grants were last sent.
    read: usize,
}

impl Grants {
    /// Grants the session's payload up to `offset`, if there is one.
    pub(super) fn add(&mut self, id: u16, offset: Option<u64>) {
        self.waiting.extend(offset.map(|offset| (id, offset)));
    }

    /// So many bytes have been read.
    pub(super) fn received(&mut self, len: usize) {
        self.read += len;
    }

    /// Whether they have waited long enough.
    pub(super) fn are_due(&self) -> bool {
        self.read >= GRANTS_TOGETHER
    }

    /// Sends all that wait; returns whether any did. The calling thread must
    /// hold no lock.
    pub(super) fn send(&mut self, outgoing: &Outgoing) -> bool {
        self.read = 0;
        if self.waiting.is_empty() {
            return false;
        }
        outgoing.credit(&self.waiting);
        self.waiting.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::buf::Buf;
    use crate::link::{Handle, LinkError, Nowhere, Writer};
    use crate::mux::extension::Message;

    /// Keeps the frames that are written.
    #[derive(Default, Clone)]
    struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Writer for Kept {
        fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
            let frames = batch.drain(..).map(|frame| frame.as_slice().to_vec());
            self.0.lock().extend(frames);
            Ok(())
        }

        fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
            self.write(batch)
        }

        fn close(&mut self) -> Result<(), LinkError> {
            Ok(())
        }

        fn abort(&mut self) {}

        fn handle(&self) -> Handle {
            Nowhere::handle()
        }
    }

    #[test]
    fn grants_of_many_sessions_leave_in_one_frame() {
        let kept = Kept::default();
        let outgoing = Outgoing::new(Box::new(kept.clone()));
        let mut grants = Grants::default();
        for (id, offset) in [(1, Some(10)), (2, None), (3, Some(30)), (1, Some(20))] {
            grants.add(id, offset);
            grants.received(GRANTS_TOGETHER / 4 - 1);
        }
        assert!(!grants.are_due());
        grants.received(4);
        assert!(grants.are_due());
        grants.send(&outgoing);
        grants.send(&outgoing);
        assert!(!grants.are_due());
        let mut expected = Vec::new();
        Message::Credit(vec![(1, 20), (3, 30)]).encode(&mut expected);
        let frames = kept.0.lock();
        assert_eq!(frames.len(), 1);
        assert!(frames[0].ends_with(&expected));
    }
}
