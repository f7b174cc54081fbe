use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::connect_unspec;
use socket2::SockRef;

/// Resets a connection from any thread: who waits on its socket is woken and
/// fails, and the peer gets RST.
///
/// `shutdown` of the write side would wake them too, but sends FIN, which the
/// peer takes for an orderly end; `shutdown` of the read side does not stop a
/// reader whose peer keeps sending. To dissolve the association, as Linux
/// calls it, has neither flaw. Some of its versions refuse that while a thread
/// waits; then the linger option makes the closing of the descriptor send RST,
/// and those who wait are woken by the end of the read side.
pub(super) fn cut(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    if connect_unspec(stream).is_err() {
        let _ = stream.shutdown(Shutdown::Read);
    }
}

/// Whether [`cut`] was called.
pub(super) fn is_cut(stream: &TcpStream) -> bool {
    matches!(SockRef::from(stream).linger(), Ok(Some(wait)) if wait.is_zero())
}
