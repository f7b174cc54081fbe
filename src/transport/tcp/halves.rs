use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::SockRef;

use super::cut::{cut, is_cut, promise_end, promise_reset};
use super::idle::{Activity, Expire, Idle, IdleTimes};
use crate::buf::{Buf, drop_front};
use crate::limits::{BUFFER_CLASSES, FRAME_PAYLOAD, STALLED_WRITE_CHECK, UNSENT};
use crate::link::{Handle, Interrupt, Link, LinkError, ReadResult, Reader, Writer};
use crate::sync::Periodic;

const LITTLE_READ: usize = BUFFER_CLASSES[0];
const SMALL_READ: usize = BUFFER_CLASSES[1];
/// What one frame can carry on.
const LARGE_READ: usize = FRAME_PAYLOAD;
/// A frame with all that carriers put around it.
const LARGEST_READ: usize = BUFFER_CLASSES[4];

/// Most buffers in one vectored write.
const MAX_SLICES: usize = 64;

/// Makes `stream` a link, watched for idleness if `idle` says so.
///
/// The socket stays in blocking mode. It is closed when both halves are gone,
/// with a reset unless the writer was closed.
pub fn split(stream: Arc<TcpStream>, idle: Option<&Idle>) -> (TcpReader, TcpWriter) {
    let (reader, writer, base) = open(stream, None);
    base.settle(idle);
    (reader, writer)
}

/// As [`split`], for a connection that may still be negotiated: until its base
/// is settled nothing that is written waits past `deadline`.
pub(in crate::transport) fn open(
    stream: Arc<TcpStream>,
    deadline: Option<Instant>,
) -> (TcpReader, TcpWriter, Base) {
    let socket = Arc::new(Socket {
        stream,
        reset: AtomicBool::new(false),
        interrupted: AtomicBool::new(false),
        sending: AtomicBool::new(false),
        activity: Activity::default(),
        deadline,
        settled: AtomicBool::new(deadline.is_none()),
        watch: OnceLock::new(),
    });
    let reader = TcpReader {
        socket: socket.clone(),
        coming: Coming::Some,
        preferred: LARGE_READ,
        early: None,
    };
    let writer = TcpWriter {
        socket: socket.clone(),
        closed: false,
        read_side_gone: false,
    };
    (reader, writer, Base { socket })
}

/// The socket under a connection's layers.
#[derive(Debug)]
pub(in crate::transport) struct Base {
    socket: Arc<Socket>,
}

impl Base {
    pub(in crate::transport) fn stream(&self) -> &Arc<TcpStream> {
        &self.socket.stream
    }

    /// The negotiation is over: its deadline is lifted, and the connection is
    /// watched for idleness if `idle` says so. From now on something is lost
    /// if it does not end in order.
    pub(in crate::transport) fn settle(&self, idle: Option<&Idle>) {
        let _ = promise_reset(&self.socket.stream);
        self.socket.settled.store(true, Ordering::SeqCst);
        if let Some(idle) = idle {
            let watch = idle.watch(Arc::downgrade(&self.socket));
            let _ = self.socket.watch.set((idle.times, watch));
        }
    }
}

/// Without an idle time. See [`split`].
impl From<Arc<TcpStream>> for Link {
    fn from(stream: Arc<TcpStream>) -> Self {
        let (reader, writer) = split(stream, None);
        Link::new(reader, writer)
    }
}

/// Without an idle time. See [`split`].
impl From<TcpStream> for Link {
    fn from(stream: TcpStream) -> Self {
        Arc::new(stream).into()
    }
}

/// What the two halves share.
#[derive(Debug)]
struct Socket {
    stream: Arc<TcpStream>,
    /// Set by force: reads and writes fail from then on.
    reset: AtomicBool,
    /// The reader was interrupted: the end that it sees is not the peer's.
    interrupted: AtomicBool,
    /// A write is inside the system and may be told that the connection is lost.
    sending: AtomicBool,
    activity: Activity,
    /// Bound of the negotiation, until it is settled.
    deadline: Option<Instant>,
    settled: AtomicBool,
    watch: OnceLock<(IdleTimes, Periodic)>,
}

impl Socket {
    /// Wakes a reader and, through the hang-up that `poll` reports, a writer;
    /// nothing is sent to the peer.
    fn stop_reading(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }

    fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        cut(&self.stream);
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.reset.load(Ordering::SeqCst) {
            true => Err(LinkError::Reset),
            false => Ok(()),
        }
    }

    /// Until when something may be waited for; for ever once the negotiation
    /// is over.
    fn time_left(&self) -> Result<Option<Duration>, LinkError> {
        let settled = || self.settled.load(Ordering::SeqCst);
        let Some(deadline) = self.deadline.filter(|_| !settled()) else {
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
    fn is_orderly_end(&self) -> bool {
        while self.sending.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        !self.reset.load(Ordering::SeqCst) && !is_cut(&self.stream)
    }

    /// Keeps in mind that the connection is lost. A broken pipe does not say
    /// so: the peer has ended its direction first, and that may still be read.
    fn failed(&self, e: io::Error) -> LinkError {
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
    fn read_ended(&self) {
        self.activity.end_read();
        self.direction_ended();
    }

    /// One direction has ended, so another idle time applies from now on.
    fn direction_ended(&self) {
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

/// The receiving half of a TCP connection.
#[derive(Debug)]
pub struct TcpReader {
    socket: Arc<Socket>,
    coming: Coming,
    /// How much a large read asks for.
    preferred: usize,
    /// What a handshake has read too much.
    early: Option<Buf>,
}

/// What the last read had, and the next is expected to have. Where much is
/// coming it takes as much as goes in a frame; else it waits with a small buffer,
/// so that an idle connection pins little memory and a small exchange is one
/// call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    Little,
    Some,
    Much,
}

impl Coming {
    /// After `len` bytes have come into a small buffer of `room`.
    fn after(len: usize, room: usize) -> Self {
        match len {
            _ if len == room => Self::Much,
            ..=LITTLE_READ => Self::Little,
            _ => Self::Some,
        }
    }
}

impl TcpReader {
    /// Makes `bytes` what the next read delivers.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.early = (!bytes.is_empty()).then(|| Buf::copy_of(bytes));
    }

    /// Waits with a small buffer.
    fn read_small(&mut self) -> Result<Buf, LinkError> {
        self.read_small_with(|stream, room| (&*stream).read(room))
    }

    fn try_read_small(&mut self) -> Result<Buf, LinkError> {
        self.read_small_with(|stream, room| Ok(recv(stream, room, RecvFlags::DONTWAIT)?.0))
    }

    fn read_small_with(
        &mut self,
        read: impl FnOnce(&TcpStream, &mut [u8]) -> io::Result<usize>,
    ) -> Result<Buf, LinkError> {
        let mut buf = Buf::with_capacity(match self.coming {
            Coming::Little => LITTLE_READ,
            _ => SMALL_READ,
        });
        let received = read(&self.socket.stream, buf.spare());
        let len = self.received(received)?;
        self.coming = Coming::after(len, buf.spare().len());
        buf.advance_end(len);
        Ok(buf)
    }

    /// Waits without a buffer, after a call of `idle`.
    fn read_large(&mut self, idle: &mut dyn FnMut()) -> Result<Buf, LinkError> {
        loop {
            match self.try_read_large() {
                Err(LinkError::WouldBlock) => {
                    idle();
                    self.wait_readable(None)?;
                }
                other => return other,
            }
        }
    }

    fn try_read_large(&mut self) -> Result<Buf, LinkError> {
        let mut buf = Buf::with_capacity(self.preferred);
        let room = buf.spare();
        let wanted = room.len().min(self.preferred);
        let flags = RecvFlags::DONTWAIT;
        let received = recv(&*self.socket.stream, &mut room[..wanted], flags).map(|(len, _)| len);
        let len = self.received(received.map_err(io::Error::from))?;
        self.preferred = LARGE_READ;
        self.coming = match len >= wanted.min(SMALL_READ) {
            true => Coming::Much,
            false => Coming::Some, // of which a part may have come before
        };
        buf.advance_end(len);
        Ok(buf)
    }

    /// Returns whether something is there, for a read to find out what.
    fn wait_readable(&self, limit: Option<Duration>) -> Result<bool, LinkError> {
        let mut fds = [PollFd::new(&*self.socket.stream, PollFlags::IN)];
        Ok(poll_for(&mut fds, limit)? > 0)
    }

    fn received(&self, received: io::Result<usize>) -> Result<usize, LinkError> {
        self.socket.check()?;
        match received {
            Ok(_) if self.socket.interrupted.load(Ordering::SeqCst) => Err(LinkError::Reset),
            Ok(0) if !self.socket.is_orderly_end() => Err(LinkError::Reset),
            Ok(0) => {
                self.socket.read_ended();
                Ok(0)
            }
            Ok(len) => {
                self.socket.activity.touch();
                Ok(len)
            }
            Err(e) => Err(self.socket.failed(e)),
        }
    }
}

impl Reader for TcpReader {
    fn read(&mut self) -> ReadResult {
        self.read_idling(&mut || ())
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        if self.early.is_some() {
            return self.read();
        }
        // What is expected is mostly there already.
        let at_hand = match self.coming {
            Coming::Much => self.try_read_large(),
            _ => self.try_read_small(),
        };
        match at_hand {
            Err(LinkError::WouldBlock) => {}
            other => return other.map(or_end),
        }
        match self.wait_readable(Some(wait))? {
            true => self.read(),
            false => Err(LinkError::TimedOut),
        }
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> ReadResult {
        if let Some(early) = self.early.take() {
            return Ok(Some(early));
        }
        let buf = if self.coming == Coming::Much {
            self.read_large(idle)?
        } else {
            idle();
            self.read_small()?
        };
        Ok(or_end(buf))
    }

    fn prefer(&mut self, len: usize) {
        self.preferred = len.clamp(1, LARGEST_READ);
    }

    fn conclude(&mut self) {
        self.socket.read_ended();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.socket.stream.peer_addr().ok()
    }

    fn handle(&self) -> Handle {
        Arc::new(StopReading(self.socket.clone()))
    }
}

/// A read of nothing is the end.
fn or_end(buf: Buf) -> Option<Buf> {
    (!buf.is_empty()).then_some(buf)
}

/// Makes the reader fail without disturbing the writer.
struct StopReading(Arc<Socket>);

impl Interrupt for StopReading {
    fn interrupt(&self) {
        self.0.interrupted.store(true, Ordering::SeqCst);
        self.0.stop_reading();
    }
}

/// The sending half of a TCP connection.
#[derive(Debug)]
pub struct TcpWriter {
    socket: Arc<Socket>,
    closed: bool,
    /// The peer has ended its direction, so that a hang-up tells nothing new.
    read_side_gone: bool,
}

impl TcpWriter {
    fn send_some<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Result<usize, LinkError> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            used += 1;
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut control = SendAncillaryBuffer::default();
        self.send_with(|stream| sendmsg(stream, &slices[..used], &mut control, flags))
    }

    fn send_with(
        &self,
        send: impl FnOnce(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Result<usize, LinkError> {
        self.socket.sending.store(true, Ordering::SeqCst);
        let sent = send(&self.socket.stream).map_err(io::Error::from);
        let checked = self.socket.check();
        let sent = checked.and_then(|()| sent.map_err(|e| self.socket.failed(e)));
        self.socket.sending.store(false, Ordering::SeqCst);
        if sent.is_ok() {
            self.socket.activity.touch();
        }
        sent
    }

    /// Waits until the socket takes data or was reset from elsewhere.
    ///
    /// Not by a write that blocks in the system: where [`cut`] falls back to
    /// the read side, only a `poll` is woken, by the hang-up. Once the peer has
    /// ended its own direction the hang-up is always there: then the flag is
    /// looked at in intervals instead.
    fn wait_writable(&mut self) -> Result<(), LinkError> {
        loop {
            let hang_up = match self.read_side_gone {
                true => PollFlags::empty(),
                false => PollFlags::RDHUP,
            };
            let interval = self.read_side_gone.then_some(STALLED_WRITE_CHECK);
            let limits = [interval, self.socket.time_left()?];
            let limit = limits.into_iter().flatten().min();
            let mut fds = [PollFd::new(&*self.socket.stream, PollFlags::OUT | hang_up)];
            poll_for(&mut fds, limit)?;
            let ready = fds[0].revents();
            self.socket.check()?;
            if ready.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP) {
                return Ok(());
            }
            if is_cut(&self.socket.stream) {
                return Err(LinkError::Reset);
            }
            self.read_side_gone |= ready.contains(PollFlags::RDHUP);
        }
    }
}

impl Writer for TcpWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        while !batch.is_empty() {
            match self.send_some(batch.iter().map(Buf::as_slice)) {
                Ok(sent) => drop_front(batch, sent),
                Err(LinkError::WouldBlock) => self.wait_writable()?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.send_with(|stream| send(stream, data, flags))
    }

    fn try_write_pieces(&mut self, pieces: &[&[u8]]) -> Result<usize, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        self.send_some(pieces.iter().copied())
    }

    fn try_write_batch(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        drop_front(batch, 0);
        while !batch.is_empty() {
            match self.send_some(batch.iter().map(Buf::as_slice)) {
                Ok(sent) => drop_front(batch, sent),
                Err(LinkError::WouldBlock) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn hold_little(&mut self) {
        // Without it what is urgent comes later, and nothing else.
        let _ = SockRef::from(&*self.socket.stream).set_tcp_notsent_lowat(UNSENT);
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        self.socket.check()?;
        self.socket.activity.end_write();
        self.socket.direction_ended();
        promise_end(&self.socket.stream)?;
        match self.socket.stream.shutdown(Shutdown::Write) {
            // The peer has closed already: it wants nothing more.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => Ok(other?),
        }
    }

    fn abort(&mut self) {
        self.socket.reset();
    }

    fn handle(&self) -> Handle {
        Arc::new(Reset(self.socket.clone()))
    }
}

/// Before the negotiation is over nothing is missing: then it is an end.
impl Drop for TcpWriter {
    fn drop(&mut self) {
        if !self.closed && self.socket.settled.load(Ordering::SeqCst) {
            self.socket.reset();
        }
    }
}

struct Reset(Arc<Socket>);

impl Interrupt for Reset {
    fn interrupt(&self) {
        self.0.reset();
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pair() -> (TcpStream, TcpReader, TcpWriter) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (reader, writer) = split(Arc::new(stream), None);
        (peer, reader, writer)
    }

    fn write_until_refused(writer: &mut TcpWriter) {
        let deadline = Instant::now() + PATIENCE;
        while writer.try_write(b"x").is_ok() {
            assert!(Instant::now() < deadline, "the peer has gone");
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_who_asks_for_it_lets_little_wait_in_the_system() {
        let (_peer, reader, mut writer) = pair();
        let waits = || {
            let socket = SockRef::from(&*reader.socket.stream);
            socket.tcp_notsent_lowat().unwrap()
        };
        assert_ne!(waits(), UNSENT);
        writer.hold_little();
        assert_eq!(waits(), UNSENT);
    }

    #[test]
    fn a_reset_that_a_write_noticed_is_no_end_to_the_reader() {
        let (peer, mut reader, mut writer) = pair();
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        write_until_refused(&mut writer);
        assert!(matches!(reader.read(), Err(LinkError::Reset)));
        assert!(matches!(reader.read(), Err(LinkError::Reset)));
    }

    #[test]
    fn what_came_before_an_end_is_read_although_writing_fails() {
        let (mut peer, mut reader, mut writer) = pair();
        peer.write_all(b"bye").unwrap();
        drop(peer);
        write_until_refused(&mut writer);
        assert_eq!(reader.read().unwrap().unwrap().as_slice(), b"bye");
        assert!(matches!(reader.read(), Ok(None)));
    }

    #[test]
    fn an_interrupted_read_fails_and_the_writer_goes_on() {
        let (mut peer, mut reader, mut writer) = pair();
        let handle = reader.handle();
        let waiting = std::thread::spawn(move || reader.read());
        handle.interrupt();
        assert!(matches!(waiting.join().unwrap(), Err(LinkError::Reset)));
        writer.write(&mut [Buf::copy_of(b"still")].into()).unwrap();
        writer.close().unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still");
    }
}
