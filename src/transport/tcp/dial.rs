use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::limits::{DIAL_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, UNSENT};
use crate::net::Address;

/// How to dial.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// Bound of all attempts together.
    pub timeout: Duration,
    /// Local address to dial from (`sendThrough`).
    pub local: Option<IpAddr>,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            timeout: DIAL_TIMEOUT,
            local: None,
        }
    }
}

/// The socket addresses of a host, by the system's resolver.
///
/// # Errors
/// What the resolver says, or [`io::ErrorKind::NotFound`] for an empty answer.
pub fn resolve(address: &Address, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = match address {
        Address::Ip(ip) => vec![SocketAddr::new(*ip, port)],
        Address::Domain(name) => (name.as_str(), port).to_socket_addrs()?.collect(),
    };
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "name has no address",
        ));
    }
    Ok(found)
}

/// Connects to the first of `targets` that answers, in order.
///
/// The connection sends small writes at once, and while it is quiet it notices
/// by keepalives that its peer has gone without a word.
///
/// # Errors
/// That of the last attempt.
pub fn dial(targets: &[SocketAddr], options: &DialOptions) -> io::Result<TcpStream> {
    let deadline = Instant::now() + options.timeout;
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
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_notsent_lowat(UNSENT)
}
