use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};

use log::warn;
use parking_lot::Mutex;
use socket2::SockRef;

use super::cut::cut;
use super::dial::tune;
use super::guard::{Guard, Negotiation, Place};
use super::options::ServerLimits;
use crate::limits::{ACCEPT_PAUSE, JOIN_DEADLINE};
use crate::sync::{Complaints, Crew, Done};

/// A connection that was accepted.
#[derive(Debug)]
pub struct Visitor {
    /// The socket.
    pub stream: Arc<TcpStream>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// To be dropped when the visitor's handshake is over.
    pub negotiation: Negotiation,
}

type Handler = dyn Fn(Visitor) + Send + Sync;

/// A listener with a thread `in-TAG` that accepts, and a thread `in-TAG-n` for
/// each connection. Closing it, or dropping it, ends all of them.
pub struct Server {
    shared: Arc<Shared>,
    local: SocketAddr,
}

struct Shared {
    tag: String,
    listener: TcpListener,
    handler: Box<Handler>,
    stopped: Done,
    closed: Done,
    crew: Crew,
    guard: Arc<Guard>,
    live: Mutex<Live>,
}

/// The connections' sockets, to wake who waits on them; not kept open by this.
#[derive(Default)]
struct Live {
    next: u64,
    streams: HashMap<u64, Weak<TcpStream>>,
}

impl Server {
    /// Takes over `listener` and calls `handler` for each connection, on a
    /// thread of its own.
    ///
    /// # Errors
    /// When the accepting thread cannot be started.
    pub fn start(
        listener: TcpListener,
        tag: &str,
        handler: impl Fn(Visitor) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(listener, tag, ServerLimits::default(), handler)
    }

    /// As [`start`](Self::start), within limits of the caller's.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        listener: TcpListener,
        tag: &str,
        limits: ServerLimits,
        handler: impl Fn(Visitor) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let local = listener.local_addr()?;
        tune(&listener)?; // what is accepted inherits the options
        let shared = Arc::new(Shared {
            tag: tag.to_owned(),
            listener,
            handler: Box::new(handler),
            stopped: Done::new(),
            closed: Done::new(),
            crew: Crew::new(),
            guard: Guard::new(tag, limits),
            live: Mutex::default(),
        });
        let inner = shared.clone();
        shared
            .crew
            .spawn(&format!("in-{tag}"), move || inner.accept_loop())?;
        Ok(Self { shared, local })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Connections that are past their handshake.
    pub fn connections(&self) -> usize {
        let (all, handshakes) = self.shared.guard.counts();
        all.saturating_sub(handshakes)
    }

    /// Connections that are in their handshake.
    pub fn handshakes(&self) -> usize {
        self.shared.guard.counts().1
    }

    /// Stops accepting; connections go on, also those that the system has made
    /// and nobody has accepted yet.
    pub fn stop_accepting(&self) {
        if self.shared.stopped.signal() {
            self.shared.accept_waiting();
            self.shared.shut();
        }
    }

    /// Stops accepting, ends all connections, and waits for their threads.
    pub fn close(&self) {
        if self.shared.stopped.signal() {
            self.shared.shut();
        }
        if !self.shared.closed.signal() {
            return;
        }
        self.shared.live.lock().cut_all();
        let left = self.shared.crew.join(JOIN_DEADLINE);
        if !left.is_empty() {
            warn!(
                "[{}] threads that did not end: {}",
                self.shared.tag,
                left.join(", ")
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Linux wakes an accept that waits when its socket is shut down.
    fn shut(&self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }

    fn accept_waiting(self: &Arc<Self>) {
        if self.listener.set_nonblocking(true).is_err() {
            return;
        }
        while let Ok((stream, source)) = self.listener.accept() {
            let admitted = stream.set_nonblocking(false);
            let _ = admitted.and_then(|()| self.admit(stream, source));
        }
    }

    fn accept_loop(self: Arc<Self>) {
        let trouble = Complaints::rare();
        while !self.stopped.is_done() {
            let accepted = self.listener.accept();
            match accepted.and_then(|(stream, source)| self.admit(stream, source)) {
                Err(e) if !is_the_visitors(&e) => self.pause(&trouble, &e),
                _ => {}
            }
        }
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

    /// A visitor for whom there is no thread is reset: to him it is no end.
    fn admit(self: &Arc<Self>, stream: TcpStream, source: SocketAddr) -> io::Result<()> {
        let stream = Arc::new(stream);
        let id = self.live.lock().next_id();
        let Some((place, negotiation)) = self.guard.admit(id, &stream, source.ip()) else {
            return Ok(()); // it is closed here
        };
        let visitor = Visitor {
            stream: stream.clone(),
            source,
            negotiation,
        };
        let served = self.serve(id, visitor, place);
        if served.is_err() {
            cut(&stream);
        }
        served
    }

    fn serve(self: &Arc<Self>, id: u64, visitor: Visitor, place: Place) -> io::Result<()> {
        self.live.lock().add(id, &visitor.stream);
        let entry = Entry {
            server: self.clone(),
            id,
            _place: place,
        };
        let name = format!("in-{}-{id}", self.tag);
        self.crew.spawn(&name, move || {
            let entry = entry;
            if !entry.server.closed.is_done() {
                (entry.server.handler)(visitor);
            }
        })
    }
}

/// Whether a visitor has gone before he was accepted.
fn is_the_visitors(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::ConnectionAborted
}

/// A connection's place in the list of live ones.
struct Entry {
    server: Arc<Shared>,
    id: u64,
    _place: Place,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.server.live.lock().streams.remove(&self.id);
    }
}

impl Live {
    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, id: u64, stream: &Arc<TcpStream>) {
        self.streams.insert(id, Arc::downgrade(stream));
    }

    fn cut_all(&self) {
        for stream in self.streams.values().filter_map(Weak::upgrade) {
            cut(&stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::time::Duration;

    use super::*;
    use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL};
    use crate::link::{LinkError, Reader};
    use crate::transport::tcp::split;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_accepted_has_the_options_of_every_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tell, told) = crossbeam_channel::bounded(1);
        let server = Server::start(listener, "t", move |visitor| {
            let _ = tell.send(visitor.stream);
        });
        let server = server.unwrap();
        let _peer = TcpStream::connect(server.local_addr()).unwrap();
        let stream = told.recv_timeout(PATIENCE).unwrap();
        let socket = SockRef::from(&*stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    }

    #[test]
    fn closing_is_a_reset_to_both_sides_of_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tell, told) = crossbeam_channel::bounded(2);
        let server = Server::start(listener, "t", move |visitor| {
            let (mut reader, _writer) = split(visitor.stream, None);
            let _ = tell.send(reader.read().map(|_| "data"));
            let _ = tell.send(reader.read().map(|_| "data"));
        });
        let server = server.unwrap();
        let mut peer = TcpStream::connect(server.local_addr()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Write::write_all(&mut peer, b"x").unwrap();
        assert!(told.recv_timeout(PATIENCE).unwrap().is_ok());
        server.close();
        assert!(matches!(
            told.recv_timeout(PATIENCE).unwrap(),
            Err(LinkError::Reset)
        ));
        let read = peer.read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
