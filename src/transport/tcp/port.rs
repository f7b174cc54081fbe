//! A socket that listens, and whose visitors those are who come to it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use log::warn;
use parking_lot::Mutex;
use socket2::SockRef;

use super::dial::tune;
use crate::limits::{ACCEPT_PAUSE, JOIN_DEADLINE};
use crate::sync::{Complaints, Crew, Done};

/// What takes a port's visitors.
pub(super) trait Host: Send + Sync {
    /// Serves a visitor, on a thread of its own.
    ///
    /// # Errors
    /// When there is none.
    fn admit(self: Arc<Self>, stream: TcpStream, source: SocketAddr) -> io::Result<()>;
}

/// A socket that listens, and the thread `in-TAG` that accepts. Its visitors
/// are the host's who was put in charge last.
pub(super) struct Port {
    tag: String,
    listener: TcpListener,
    local: SocketAddr,
    host: Mutex<Option<Arc<dyn Host>>>,
    opened: Done,
    stopped: Done,
    crew: Crew,
}

impl Port {
    /// A port that accepts as soon as somebody is in charge.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(listener: TcpListener, tag: &str) -> io::Result<Arc<Self>> {
        tune(&listener)?; // what is accepted inherits the options
        let port = Arc::new(Self {
            tag: tag.to_owned(),
            local: listener.local_addr()?,
            listener,
            host: Mutex::default(),
            opened: Done::new(),
            stopped: Done::new(),
            crew: Crew::new(),
        });
        let inner = port.clone();
        let name = format!("in-{tag}");
        port.crew.spawn(&name, move || inner.accept_loop())?;
        Ok(port)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn listener(&self) -> &TcpListener {
        &self.listener
    }

    /// Whoever comes from now on is `host`'s.
    pub(super) fn put_in_charge(&self, host: Arc<dyn Host>) {
        let before = self.host.lock().replace(host);
        drop(before);
        self.opened.signal();
    }

    /// Whether another one than `host` has been put in charge.
    pub(super) fn is_of_another<H: Host>(&self, host: &Arc<H>) -> bool {
        let in_charge = self.host.lock();
        let in_charge = in_charge
            .as_ref()
            .map(|host| Arc::as_ptr(host).cast::<()>());
        in_charge.is_some_and(|other| other != Arc::as_ptr(host).cast())
    }

    /// Accepts no more, but those still whom the system has let in already.
    pub(super) fn stop(&self) {
        if self.stopped.signal() {
            self.accept_waiting();
            self.shut();
        }
    }

    /// Accepts no more at all, and waits for the thread.
    pub(super) fn close(&self) -> Vec<String> {
        if self.stopped.signal() {
            self.shut();
        }
        self.crew.join(JOIN_DEADLINE)
    }

    /// Linux wakes an accept that waits when its socket is shut down.
    fn shut(&self) {
        self.opened.signal();
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }

    fn accept_waiting(&self) {
        if self.listener.set_nonblocking(true).is_err() {
            return;
        }
        while let Ok((stream, source)) = self.listener.accept() {
            let admitted = stream.set_nonblocking(false);
            let _ = admitted.and_then(|()| self.admit(stream, source));
        }
    }

    fn accept_loop(&self) {
        self.opened.wait();
        let trouble = Complaints::rare();
        while !self.stopped.is_done() {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, source)| self.admit(stream, source)) {
                Err(e) if !is_the_visitors(&e) => self.pause(&trouble, &e),
                _ => {}
            }
        }
    }

    fn admit(&self, stream: TcpStream, source: SocketAddr) -> io::Result<()> {
        let host = self.host.lock().clone();
        host.map_or(Ok(()), |host| host.admit(stream, source))
    }

    /// Without descriptors, threads or memory, accepting again at once would
    /// only spin. Meanwhile some connection may end, and visitors wait in the
    /// system.
    fn pause(&self, trouble: &Complaints, cause: &io::Error) {
        if self.stopped.is_done() {
            return;
        }
        if let Some(unsaid) = trouble.turn() {
            warn!("[{}] cannot accept: {cause}{unsaid}", self.tag);
        }
        self.stopped.wait_timeout(ACCEPT_PAUSE);
    }
}

/// Whether a visitor has gone before he was accepted.
fn is_the_visitors(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::ConnectionAborted
}
