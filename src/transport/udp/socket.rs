//! Sockets that receive from anyone; one datagram in, one datagram out; and
//! which errors are only news about an earlier one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, recvfrom, send, sendto};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::buf::Buf;

/// A socket that receives at `address`. As with
/// [`listen`](crate::transport::tcp::listen), the unspecified IPv4 address
/// means IPv6 as well where the system has it, and so does that of IPv6.
///
/// # Errors
/// What the system says, such as [`io::ErrorKind::AddrInUse`].
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_with(address, false)
}

/// As [`bind`], on a port that `others` of this process have on addresses that
/// overlap. Nobody else can have it meanwhile but who shares it on purpose.
pub(super) fn bind_beside(address: SocketAddr, others: &[&UdpSocket]) -> io::Result<UdpSocket> {
    let share = |shared: bool| {
        let mut others = others.iter();
        others.try_for_each(|other| SockRef::from(*other).set_reuse_port(shared))
    };
    let socket = share(true).and_then(|()| bind_with(address, !others.is_empty()));
    share(false)?;
    let socket = socket?;
    SockRef::from(&socket).set_reuse_port(false)?;
    Ok(socket)
}

fn bind_with(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        match bind_to(both, shared) {
            Err(e) if e.kind() != io::ErrorKind::AddrInUse => {} // no IPv6 here
            other => return other,
        }
    }
    bind_to(address, shared)
}

fn bind_to(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whether a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    No,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The system took it.
    Whole,
    /// Lost, as UDP may lose it: no room, too large, no way there.
    Dropped,
}

/// The next datagram, in a buffer of its size.
///
/// Its length is asked for first: so a flow that waits pins no buffer, and no
/// datagram is cut. An empty one and a socket that was shut down look alike
/// here; the caller knows whether it was.
pub(super) fn receive(socket: &UdpSocket, wait: Wait) -> io::Result<Buf> {
    let peek = RecvFlags::PEEK | RecvFlags::TRUNC | wait.recv_flags();
    let (_, len) = recv(socket, &mut [0u8; 1][..], peek)?;
    Buf::read_with(len, |space| {
        let (_, len) = recv(socket, space, RecvFlags::DONTWAIT)?;
        Ok(len)
    })
}

/// Waits for a datagram from anyone, cut to `space`. `None` when the socket
/// has been shut down.
///
/// Without a sender there was no datagram. The standard library's own
/// `recv_from` panics then, on an IPv6 socket.
pub(super) fn receive_from(
    socket: &UdpSocket,
    space: &mut [u8],
) -> io::Result<Option<(usize, SocketAddr)>> {
    let (len, _, source) = recvfrom(socket, space, RecvFlags::empty())?;
    let Some(source) = source else {
        return Ok(None);
    };
    Ok(Some((len, SocketAddr::try_from(source)?)))
}

/// Whether [`receive`] may simply be called again: nothing is there after
/// all, or an earlier datagram of ours was refused on its way.
pub(super) fn is_passing(e: &io::Error) -> bool {
    Errno::from_io_error(e).is_some_and(|errno| is_retry(errno) || is_network_news(errno))
}

fn is_retry(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::INTR)
}

/// What routers and hosts say (ICMP) about one datagram. The system reports
/// it once, to whichever call comes next.
fn is_network_news(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNREFUSED
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::PROTO
            | Errno::MSGSIZE
            | Errno::ACCESS
    )
}

/// What our own system says of a datagram that it will not send: no room, or
/// a packet filter's verdict.
fn is_lost_here(errno: Errno) -> bool {
    matches!(errno, Errno::NOBUFS | Errno::NOMEM | Errno::PERM)
}

/// Sends to the peer of a connected socket.
pub(super) fn send_connected(socket: &UdpSocket, data: &[u8], wait: Wait) -> io::Result<Sent> {
    outcome(twice(|| send(socket, data, wait.send_flags())))
}

/// Sends to `target`.
pub(super) fn send_to(
    socket: &UdpSocket,
    data: &[u8],
    target: SocketAddr,
    wait: Wait,
) -> io::Result<Sent> {
    outcome(twice(|| sendto(socket, data, wait.send_flags(), &target)))
}

/// A refusal of an earlier datagram is reported to the next call, which then
/// sends nothing; so a call that failed is made once more.
fn twice(mut call: impl FnMut() -> rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    match call() {
        Err(errno) if errno == Errno::INTR || is_network_news(errno) => call(),
        other => other,
    }
}

fn outcome(sent: rustix::io::Result<usize>) -> io::Result<Sent> {
    match sent {
        Ok(_) => Ok(Sent::Whole),
        Err(e) if is_retry(e) || is_network_news(e) || is_lost_here(e) => Ok(Sent::Dropped),
        Err(errno) => Err(errno.into()),
    }
}

impl Wait {
    fn recv_flags(self) -> RecvFlags {
        match self {
            Wait::Yes => RecvFlags::empty(),
            Wait::No => RecvFlags::DONTWAIT,
        }
    }

    fn send_flags(self) -> SendFlags {
        match self {
            Wait::Yes => SendFlags::NOSIGNAL,
            Wait::No => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn everywhere_takes_ipv4_too_and_a_port_is_taken_once() {
        let everywhere = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let socket = bind(everywhere(0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let port = socket.local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", ("127.0.0.1", port)).unwrap();
        let (len, from) = socket.recv_from(&mut [0; 8]).unwrap();
        assert_eq!((len, from.port()), (1, client.local_addr().unwrap().port()));
        let again = bind(everywhere(port));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_shutdown_wakes_a_receive_on_any_socket() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let socket = bind(address.parse().unwrap()).unwrap();
            std::thread::scope(|scope| {
                let received = scope.spawn(|| receive_from(&socket, &mut [0; 8]));
                // An unconnected socket cannot be shut down, says the system,
                // and does so.
                let _ = socket2::SockRef::from(&socket).shutdown(std::net::Shutdown::Both);
                let received = received.join().unwrap();
                assert!(matches!(received, Ok(None)), "{address}: {received:?}");
            });
        }
    }
}
