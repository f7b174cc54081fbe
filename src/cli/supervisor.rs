//! What the service manager is told that has started the program: systemd, or
//! one that does the same. Nothing happens where there is none.
//!
//! `NOTIFY_SOCKET` names its socket; a datagram there has lines such as
//! `READY=1`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::debug;
use rustix::time::{ClockId, clock_gettime};

use crate::limits::SERVICE_STOP_MARGIN;

const SOCKET: &str = "NOTIFY_SOCKET";

/// All listeners accept, for the first time or after [`reloading`]. `status` is
/// one line for people.
pub(super) fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={status}"));
}

/// The configuration is being read again. [`ready`] follows, whatever comes of
/// it.
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let now = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    tell(&format!(
        "RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reading the configuration again"
    ));
}

/// Connections get `drain` to end in. It may be longer than a service usually
/// gets, so as much is asked for.
pub(super) fn stopping(drain: Duration) {
    let seconds = drain.as_secs();
    let most = drain.saturating_add(SERVICE_STOP_MARGIN).as_micros();
    tell(&format!(
        "STOPPING=1\nEXTEND_TIMEOUT_USEC={most}\n\
         STATUS=Waiting for connections to end, {seconds} s at the most"
    ));
}

/// A manager that does not listen is no reason to stop.
fn tell(state: &str) {
    let Some(place) = env::var_os(SOCKET) else {
        return;
    };
    if let Err(e) = send(&place, state) {
        debug!("the service manager cannot be told: {e}");
    }
}

fn send(place: &OsStr, state: &str) -> io::Result<()> {
    let address = match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn received(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn sockets_with_a_path_and_without_are_reached() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        assert_eq!(received(&socket), "READY=1");

        let name = format!("muxcool-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_ref(), "STOPPING=1").unwrap();
        assert_eq!(received(&socket), "STOPPING=1");
    }

    #[test]
    fn nobody_there_is_an_error_and_no_panic() {
        let long = "x".repeat(200);
        for place in ["", "@", "/nowhere/notify", "vsock:1:2", &long] {
            assert!(send(place.as_ref(), "READY=1").is_err(), "{place}");
        }
    }
}
