use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};

use super::cut::{cut, is_cut, promise_reset};
use super::idle::{Activity, Expire, IdleTimes};
use crate::link::LinkError;
use crate::sync::Periodic;

/// What the two halves share.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: Arc<TcpStream>,
    /// Set by force: reads and writes fail from then on.
    reset: AtomicBool,
    /// The reader was interrupted: the end that it sees is not the peer's.
    interrupted: AtomicBool,
    /// A write is inside the system and may be told that the connection is lost.
    sending: AtomicBool,
    pub(super) activity: Activity,
    /// Bound of the negotiation, until it is settled.
    deadline: Option<Instant>,
    settled: AtomicBool,
    watch: OnceLock<(IdleTimes, Periodic)>,
}

impl Socket {
    /// To be negotiated on until `deadline`, if there is one.
    pub(super) fn new(stream: Arc<TcpStream>, deadline: Option<Instant>) -> Self {
        Self {
            stream,
            reset: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            activity: Activity::default(),
            deadline,
            settled: AtomicBool::new(deadline.is_none()),
            watch: OnceLock::new(),
        }
    }

    /// The negotiation is over: from now on something is lost if the connection
    /// does not end in order.
    pub(super) fn settle(&self) {
        let _ = promise_reset(&self.stream);
        self.settled.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst)
    }

    /// Keeps `watch`, which expires by `times`.
    pub(super) fn watch(&self, times: IdleTimes, watch: Periodic) {
        let _ = self.watch.set((times, watch));
    }

    /// Wakes a reader and, through the hang-up that `poll` reports, a writer;
    /// nothing is sent to the peer.
    fn stop_reading(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    /// Makes the reader fail without disturbing the writer.
    pub(super) fn interrupt_reading(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.stop_reading();
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Runs `send`, a system call that does not wait, and judges its outcome.
    pub(super) fn sending(
        &self,
        send: impl FnOnce(&TcpStream) -> io::Result<usize>,
    ) -> Result<usize, LinkError> {
        self.sending.store(true, Ordering::SeqCst);
        let sent = send(&self.stream);
        let checked = self.check();
        let sent = checked.and_then(|()| sent.map_err(|e| self.failed(e)));
        self.sending.store(false, Ordering::SeqCst);
        if sent.is_ok() {
            self.activity.touch();
        }
        sent
    }

    /// Ends the connection for both halves and the peer, none of which takes it
    /// for an end in order.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        cut(&self.stream);
    }

    /// Fails once the connection was reset from here.
    pub(super) fn check(&self) -> Result<(), LinkError> {
        match self.reset.load(Ordering::SeqCst) {
            true => Err(LinkError::Reset),
            false => Ok(()),
        }
    }

    /// Until when something may be waited for; for ever once the negotiation
    /// is over.
    pub(super) fn time_left(&self) -> Result<Option<Duration>, LinkError> {
        let Some(deadline) = self.deadline.filter(|_| !self.is_settled()) else {
            return Ok(None);
        };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(LinkError::TimedOut),
            left => Ok(Some(left)),
        }
    }

    /// Whether the end of the incoming stream is the peer's own FIN.
    ///
    /// The system reports a lost connection once, and to a read after that it
    /// shows an end: so a write under way is waited for, which takes no longer
    /// than a system call. A server that closes leaves its mark on the socket.
    pub(super) fn is_orderly_end(&self) -> bool {
        while self.sending.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        !self.reset.load(Ordering::SeqCst) && !is_cut(&self.stream)
    }

    /// Keeps in mind that the connection is lost. A broken pipe does not say
    /// so: the peer has ended its direction first, and that may still be read.
    pub(super) fn failed(&self, e: io::Error) -> LinkError {
        match e.kind() {
            io::ErrorKind::WouldBlock => LinkError::WouldBlock,
            io::ErrorKind::BrokenPipe if is_cut(&self.stream) => LinkError::Reset,
            io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted => LinkError::Io(e),
            kind => {
                self.reset.store(true, Ordering::SeqCst);
                match kind {
                    io::ErrorKind::TimedOut => LinkError::Io(e), // nothing is usable after it
                    io::ErrorKind::NotConnected => LinkError::Reset,
                    _ => e.into(),
                }
            }
        }
    }

    /// Nothing that anybody reads will come.
    pub(super) fn read_ended(&self) {
        self.activity.end_read();
        self.direction_ended();
    }

    /// One direction has ended, so another idle time applies from now on.
    pub(super) fn direction_ended(&self) {
        if let Some((times, watch)) = self.watch.get() {
            self.activity.touch();
            watch.reschedule(self.activity.limit(times));
        }
    }
}

impl Expire for Socket {
    fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Once our direction has ended in an orderly way the peer has all there
    /// is: then closing is enough. Else it must see that data is missing.
    fn expire(&self) {
        if self.activity.write_ended() {
            self.stop_reading();
        } else {
            self.reset();
        }
    }
}

/// Polls, again if a signal came in between. Returns how many are ready.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<usize> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    loop {
        match poll(fds, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
