//! A socket that receives, and whose datagrams those are that come to it.

use std::io;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::Arc;

use log::warn;
use parking_lot::Mutex;
use socket2::SockRef;

use super::socket::receive_from;
use crate::limits::{ACCEPT_PAUSE, JOIN_DEADLINE, MAX_DATAGRAM};
use crate::sync::{Crew, Done};

/// What takes a port's datagrams.
pub(super) trait Host: Send + Sync {
    /// Takes a datagram.
    fn take(self: Arc<Self>, source: SocketAddr, datagram: &[u8]);

    /// Takes a datagram of a flow that there is; returns whether it did.
    fn goes_on_with(&self, source: SocketAddr, datagram: &[u8]) -> bool;
}

/// Who was put in charge last is the first.
type Hosts = Arc<Vec<Arc<dyn Host>>>;

/// A socket that receives, and the thread `in-TAG-udp` that does so. Datagrams
/// are the host's who was put in charge last, unless one before it has a flow
/// for them.
pub(super) struct Port {
    tag: String,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    hosts: Mutex<Hosts>,
    opened: Done,
    closed: Done,
    crew: Crew,
}

impl Port {
    /// A port that receives as soon as somebody is in charge.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(socket: UdpSocket, tag: &str) -> io::Result<Arc<Self>> {
        let port = Arc::new(Self {
            tag: tag.to_owned(),
            local: socket.local_addr()?,
            socket: Arc::new(socket),
            hosts: Mutex::default(),
            opened: Done::new(),
            closed: Done::new(),
            crew: Crew::new(),
        });
        let inner = port.clone();
        let name = format!("in-{tag}-udp");
        port.crew.spawn(&name, move || inner.receive_loop())?;
        Ok(port)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn socket(&self) -> &Arc<UdpSocket> {
        &self.socket
    }

    /// Whatever belongs to no flow is `host`'s from now on.
    pub(super) fn put_in_charge(&self, host: Arc<dyn Host>) {
        let mut hosts = self.hosts.lock();
        *hosts = [host]
            .iter()
            .chain(hosts.iter())
            .cloned()
            .collect::<Vec<_>>()
            .into();
        drop(hosts);
        self.opened.signal();
    }

    /// Nothing is `host`'s any more. If nobody was put in charge after it,
    /// nothing is received any more.
    pub(super) fn leave<H: Host>(&self, host: &Arc<H>) -> Vec<String> {
        let is_it = |other: &Arc<dyn Host>| {
            std::ptr::eq(Arc::as_ptr(other).cast::<()>(), Arc::as_ptr(host).cast())
        };
        let mut hosts = self.hosts.lock();
        let was_last = hosts.first().is_none_or(is_it);
        let others = hosts.iter().filter(|other| !is_it(other));
        let others: Hosts = others.cloned().collect::<Vec<_>>().into();
        let before = std::mem::replace(&mut *hosts, others);
        drop(hosts);
        drop(before);
        match was_last {
            true => self.close(),
            false => Vec::new(),
        }
    }

    fn close(&self) -> Vec<String> {
        self.closed.signal();
        self.opened.signal();
        // Linux wakes a receive that waits when its socket is shut down, and
        // then says that an unconnected one cannot be.
        let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Both);
        let left = self.crew.join(JOIN_DEADLINE);
        self.stand_aside();
        left
    }

    /// As long as somebody still has the socket it is in the way of no other
    /// [beside](super::socket::bind_beside) it: it gets datagrams from nobody
    /// but itself, and shares its port.
    fn stand_aside(&self) {
        let _ = self.socket.connect(self.local);
        let _ = SockRef::from(&*self.socket).set_reuse_port(true);
    }

    fn receive_loop(&self) {
        self.opened.wait();
        let mut space = vec![0; MAX_DATAGRAM];
        while !self.closed.is_done() {
            match receive_from(&self.socket, &mut space) {
                Ok(Some((len, source))) => self.take(source, &space[..len]),
                Ok(None) => {} // the wake-up at the close
                Err(e) => self.pause(&e),
            }
        }
    }

    fn take(&self, source: SocketAddr, datagram: &[u8]) {
        let hosts = self.hosts.lock().clone();
        let Some((last, others)) = hosts.split_first() else {
            return;
        };
        let mut others = others.iter();
        if !others.any(|host| host.goes_on_with(source, datagram)) {
            last.clone().take(source, datagram);
        }
    }

    /// Without memory, receiving again at once would only spin.
    fn pause(&self, cause: &io::Error) {
        if !self.closed.is_done() && cause.kind() != io::ErrorKind::Interrupted {
            warn!("[{}] cannot receive: {cause}", self.tag);
            self.closed.wait_timeout(ACCEPT_PAUSE);
        }
    }
}
