//! Free ports for programs that must be told theirs.
//!
//! V2Ray listens with `SO_REUSEPORT`, so two of them on one port share its
//! visitors and nobody notices. Hence: ports below the range from which the
//! system takes its own, from a stretch that depends on the process id, never
//! handed out twice, looked up in the system's tables; and after the start
//! `Program` makes sure that its child is the port's only listener.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::sockets::{Protocol, listeners};

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// Distance between the first candidates of two consecutive process ids: more
/// than a test file uses at a time.
const STRIDE: u32 = 97;

static HANDED_OUT: AtomicU32 = AtomicU32::new(0);

/// A loopback port that is free for TCP and UDP, different at each call.
pub fn free_port() -> u16 {
    let start = process::id().wrapping_mul(STRIDE) % COUNT;
    loop {
        let taken = HANDED_OUT.fetch_add(1, Ordering::Relaxed);
        assert!(taken < COUNT, "all {COUNT} test ports are used up");
        let port = (FIRST + (start + taken) % COUNT) as u16;
        if is_free(port) {
            return port;
        }
    }
}

/// Address of `port` on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether nobody listens on `port`. To bind it would be no harmless probe: a
/// child that another thread is about to start has all sockets of this process
/// until it runs its program, and so would have the port when it is wanted.
pub fn is_free(port: u16) -> bool {
    let nobody = |protocol| listeners(protocol, port).is_empty();
    nobody(Protocol::Tcp) && nobody(Protocol::Udp)
}
