use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::dial::tune;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on `address`. The unspecified IPv4 address means IPv6 as well, as
/// in V2Ray, where the system has it.
///
/// # Errors
/// What the system says, such as [`io::ErrorKind::AddrInUse`].
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_with(address, false)
}

/// As [`listen`], on a port that `others` of this process have on addresses
/// that overlap. Nobody else can have it meanwhile but who shares it on
/// purpose.
pub(super) fn listen_beside(
    address: SocketAddr,
    others: &[&TcpListener],
) -> io::Result<TcpListener> {
    let share = |shared: bool| {
        let mut others = others.iter();
        others.try_for_each(|other| SockRef::from(*other).set_reuse_port(shared))
    };
    let listener = share(true).and_then(|()| listen_with(address, !others.is_empty()));
    share(false)?;
    let listener = listener?;
    SockRef::from(&listener).set_reuse_port(false)?;
    Ok(listener)
}

fn listen_with(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        match listen_on(both, shared) {
            Err(e) if e.kind() != io::ErrorKind::AddrInUse => {} // no IPv6 here
            other => return other,
        }
    }
    listen_on(address, shared)
}

fn listen_on(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    socket.bind(&address.into())?;
    tune(&socket)?; // before the first connection comes
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn everywhere_takes_ipv4_too_and_a_port_is_taken_once() {
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let listener = listen(everywhere).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let again = listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
