use std::io;
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
    let _ = SockRef::from(stream).set_out_of_band_inline(true);
    let _ = promise_reset(stream);
    if connect_unspec(stream).is_err() {
        let _ = stream.shutdown(Shutdown::Read);
    }
}

/// Whether [`cut`] was called. Its mark is an option that means nothing to us,
/// for nobody here knows of urgent data.
pub(super) fn is_cut(stream: &TcpStream) -> bool {
    matches!(SockRef::from(stream).out_of_band_inline(), Ok(true))
}

/// Makes closing the descriptor a reset, whoever closes it: if the process is
/// killed it is the system, and to the peer nothing must look whole then.
pub(super) fn promise_reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Takes back [`promise_reset`], for all has been sent.
pub(super) fn promise_end(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(None)
}
