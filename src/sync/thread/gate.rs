//! How many threads there may be.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::MAX_THREADS;

/// Threads that have a ticket.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// One live thread's place in the count. Dropping it gives the place back.
pub(super) struct Ticket;

impl Ticket {
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when all are taken.
    pub(super) fn take() -> io::Result<Self> {
        let ticket = Ticket; // from here on, dropping gives the place back
        if LIVE.fetch_add(1, Ordering::Relaxed) >= MAX_THREADS {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("all {MAX_THREADS} threads are in use"),
            ));
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}
