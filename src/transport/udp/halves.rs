use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use log::debug;
use rustix::event::{PollFd, PollFlags};
use socket2::SockRef;

use super::socket::{Sent, Wait, is_passing, receive, send_connected};
use crate::buf::Buf;
use crate::limits::{HALF_OPEN_IDLE, UDP_IDLE};
use crate::link::{Handle, Interrupt, LinkError, ReadResult, Reader, Writer};
use crate::sync::{Periodic, deadline_in};
use crate::transport::tcp::{Activity, Expire, Idle, IdleTimes, poll_for};

/// A datagram link to `target`, from the local address `local` if given.
///
/// The socket is connected, so packets of strangers are not taken for replies.
/// The link ends in an orderly way when no packet has gone either way for
/// [`UDP_IDLE`], or for `idle.times.both` if that is shorter; once our side is
/// closed, for `idle.times.after_write`. That a datagram was refused on its
/// way ends nothing.
///
/// # Errors
/// When the socket cannot be made, bound or connected.
pub fn connect(
    target: SocketAddr,
    local: Option<IpAddr>,
    idle: &Idle,
) -> io::Result<(UdpReader, UdpWriter)> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let udp = UdpSocket::bind((local.unwrap_or(any), 0))?;
    udp.connect(target)?;
    let idle = datagram_idle(idle);
    let socket = Arc::new(Socket {
        udp,
        target,
        read_end: OnceLock::new(),
        write_end: OnceLock::new(),
        dropped: AtomicU64::new(0),
        activity: Activity::default(),
        times: idle.times,
        watch: OnceLock::new(),
    });
    let _ = socket.watch.set(idle.watch(Arc::downgrade(&socket)));
    let reader = UdpReader {
        socket: socket.clone(),
    };
    Ok((reader, UdpWriter { socket }))
}

/// The policy's idle times, within what a datagram flow may have: there is no
/// half-close, so once either side has ended nothing is waited for.
pub(super) fn datagram_idle(idle: &Idle) -> Idle {
    let times = IdleTimes {
        both: idle.times.both.min(UDP_IDLE),
        after_read: idle.times.after_read.min(HALF_OPEN_IDLE),
        after_write: idle.times.after_write.min(HALF_OPEN_IDLE),
    };
    Idle {
        timer: idle.timer.clone(),
        times,
    }
}

/// How a direction ended. What is set first stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

/// What the two halves share.
#[derive(Debug)]
struct Socket {
    udp: UdpSocket,
    target: SocketAddr,
    /// Set before the socket is shut down: the wake-up that this makes looks
    /// like an empty datagram.
    read_end: OnceLock<End>,
    write_end: OnceLock<End>,
    dropped: AtomicU64,
    activity: Activity,
    times: IdleTimes,
    watch: OnceLock<Periodic>,
}

impl Socket {
    fn end_reading(&self, how: End) {
        let _ = self.read_end.set(how);
        let _ = SockRef::from(&self.udp).shutdown(Shutdown::Read);
    }

    fn end_both(&self, how: End) {
        let _ = self.write_end.set(how);
        let _ = self.read_end.set(how);
        let _ = SockRef::from(&self.udp).shutdown(Shutdown::Both);
    }

    fn send(&self, data: &[u8], wait: Wait) -> Result<(), LinkError> {
        let sent = send_connected(&self.udp, data, wait);
        match self.write_end.get() {
            Some(End::Orderly) => return Err(LinkError::Closed),
            Some(End::Reset) => return Err(LinkError::Reset),
            None => {}
        }
        match sent? {
            Sent::Whole => self.activity.touch(),
            Sent::Dropped => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

impl Expire for Socket {
    fn activity(&self) -> &Activity {
        &self.activity
    }

    fn expire(&self) {
        self.end_both(End::Orderly);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            debug!("{dropped} datagrams to {} could not be sent", self.target);
        }
    }
}

/// The receiving half of a [`connect`]ed socket.
#[derive(Debug)]
pub struct UdpReader {
    socket: Arc<Socket>,
}

impl UdpReader {
    /// As [`read`](Reader::read), without waiting.
    ///
    /// # Errors
    /// [`LinkError::WouldBlock`], and as `read`.
    pub fn try_read(&mut self) -> ReadResult {
        self.receive(Wait::No)
    }

    /// Our address, and the target's.
    ///
    /// # Errors
    /// What the system says.
    pub fn ends(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.socket.udp.local_addr()?, self.socket.target))
    }

    /// What lives as long as the socket.
    pub fn life(&self) -> Weak<dyn Any + Send + Sync> {
        let socket: Weak<Socket> = Arc::downgrade(&self.socket);
        socket
    }

    fn receive(&self, wait: Wait) -> ReadResult {
        loop {
            let received = receive(&self.socket.udp, wait);
            match self.socket.read_end.get() {
                Some(End::Orderly) => return Ok(None),
                Some(End::Reset) => return Err(LinkError::Reset),
                None => {}
            }
            match received {
                Ok(buf) => {
                    self.socket.activity.touch();
                    return Ok(Some(buf));
                }
                Err(e) if wait == Wait::No && e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(LinkError::WouldBlock);
                }
                Err(e) if is_passing(&e) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Reader for UdpReader {
    fn read(&mut self) -> ReadResult {
        self.receive(Wait::Yes)
    }

    fn read_timeout(&mut self, wait: Duration) -> ReadResult {
        let deadline = deadline_in(wait);
        loop {
            match self.try_read() {
                Err(LinkError::WouldBlock) => {}
                other => return other,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.socket.udp, PollFlags::IN)];
            if poll_for(&mut fds, Some(left))? == 0 {
                return Err(LinkError::TimedOut);
            }
        }
    }

    fn handle(&self) -> Handle {
        Arc::new(StopReading(self.socket.clone()))
    }
}

/// For those who wait for more than this socket.
impl AsFd for UdpReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.udp.as_fd()
    }
}

struct StopReading(Arc<Socket>);

impl Interrupt for StopReading {
    fn interrupt(&self) {
        self.0.end_reading(End::Reset);
    }
}

/// The sending half of a [`connect`]ed socket.
///
/// After [`close`](Writer::close) replies still arrive, for as long as the
/// idle time then allows.
#[derive(Debug)]
pub struct UdpWriter {
    socket: Arc<Socket>,
}

impl UdpWriter {
    /// How many datagrams found no room or no way and were dropped.
    pub fn dropped(&self) -> u64 {
        self.socket.dropped.load(Ordering::Relaxed)
    }
}

impl Writer for UdpWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(buf) = batch.front() {
            self.socket.send(buf.as_slice(), Wait::Yes)?;
            batch.pop_front();
        }
        Ok(())
    }

    /// Never [`LinkError::WouldBlock`]: a datagram that finds no room is gone.
    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        self.socket.send(data, Wait::No)?;
        Ok(data.len())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        let _ = self.socket.write_end.set(End::Orderly);
        if self.socket.write_end.get() == Some(&End::Reset) {
            return Err(LinkError::Reset);
        }
        self.socket.activity.end_write();
        self.socket.activity.touch();
        if let Some(watch) = self.socket.watch.get() {
            watch.reschedule(self.socket.activity.limit(&self.socket.times));
        }
        Ok(())
    }

    fn abort(&mut self) {
        self.socket.end_both(End::Reset);
    }

    fn handle(&self) -> Handle {
        Arc::new(Reset(self.socket.clone()))
    }
}

impl Drop for UdpWriter {
    fn drop(&mut self) {
        if self.socket.write_end.get().is_none() {
            self.abort();
        }
    }
}

struct Reset(Arc<Socket>);

impl Interrupt for Reset {
    fn interrupt(&self) {
        self.0.end_both(End::Reset);
    }
}
