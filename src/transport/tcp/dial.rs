use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::turns::Turns;
use crate::limits::{DIAL_TIMEOUT, DIALS, DIALS_PER_SOURCE, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL};
use crate::sync::deadline_in;

/// Whose turn it is to dial.
pub(crate) static TURNS: LazyLock<Arc<Turns>> =
    LazyLock::new(|| Turns::new(DIALS, DIALS_PER_SOURCE));

/// How to dial.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// Bound of all attempts together.
    pub timeout: Duration,
    /// Local address to dial from (`sendThrough`).
    pub local: Option<IpAddr>,
    /// The visitor on whose behalf. No source takes everybody's turn.
    pub source: Option<IpAddr>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            timeout: DIAL_TIMEOUT,
            local: None,
            source: None,
        }
    }
}

/// Connects to the first of `targets` that answers, in order.
///
/// The connection sends small writes at once, and while it is quiet it notices
/// by keepalives that its peer has gone without a word.
///
/// [`DIALS`] go on at once in this process, and of one source
/// [`DIALS_PER_SOURCE`]; others wait for their turn, which counts as time of
/// theirs.
///
/// # Errors
/// That of the last attempt, or [`io::ErrorKind::TimedOut`] without a turn.
pub fn dial(targets: &[SocketAddr], options: &DialOptions) -> io::Result<TcpStream> {
    dial_in_turn(&TURNS, targets, options)
}

fn dial_in_turn(
    turns: &Arc<Turns>,
    targets: &[SocketAddr],
    options: &DialOptions,
) -> io::Result<TcpStream> {
    let deadline = deadline_in(options.timeout);
    let turn = turns.take(options.source, options.timeout);
    let _turn = turn.ok_or_else(|| {
        let what = "too many connections are being made";
        io::Error::new(io::ErrorKind::TimedOut, what)
    })?;
    let mut outcome = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for (tried, target) in targets.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (targets.len() - tried) as u32;
        if share.is_zero() {
            break;
        }
        outcome = dial_one(*target, share, options.local);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn dial_one(target: SocketAddr, limit: Duration, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let Some(ip) = local {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect_timeout(&target.into(), limit)?;
    let stream = TcpStream::from(socket);
    tune(&stream)?;
    Ok(stream)
}

/// Sets the options that every connection of ours has; on a listener, for all
/// that it will accept.
///
/// Without a bound on unacknowledged data: Linux counts for it the time in
/// which the peer's window is shut as well, and so would end a connection whose
/// peer reads nothing for a while. What is idle has bounds of its own, and what
/// is a carrier is probed.
pub(super) fn tune(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::limits::JOIN_DEADLINE;

    #[test]
    fn dials_take_turns_within_their_own_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = [listener.local_addr().unwrap()];
        let turns = Turns::new(1, 1);
        let dial = |timeout| {
            let options = DialOptions {
                timeout,
                ..DialOptions::default()
            };
            dial_in_turn(&turns, &target, &options)
        };
        let held = turns.take(None, JOIN_DEADLINE);
        let late = dial(Duration::from_millis(1)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            let patient = scope.spawn(|| dial(JOIN_DEADLINE).is_ok());
            drop(held);
            assert!(patient.join().unwrap());
        });
        let connected: Vec<_> = (0..3).map(|_| dial(JOIN_DEADLINE).unwrap()).collect();
        assert_eq!(turns.taken(), 0, "{connected:?} are dialled no more");
    }
}
