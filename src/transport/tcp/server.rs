use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};

use log::{debug, warn};
use parking_lot::Mutex;
use socket2::SockRef;

use super::cut::cut;
use super::dial::tune;
use super::guard::{Guard, Negotiation, Place};
use super::options::ServerLimits;
use crate::limits::{ACCEPT_PAUSE, JOIN_DEADLINE};
use crate::sync::{Crew, Done};

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

    /// Stops accepting; connections go on.
    pub fn stop_accepting(&self) {
        if self.shared.stopped.signal() {
            // Linux wakes an accept that waits when its socket is shut down.
            let _ = SockRef::from(&self.shared.listener).shutdown(Shutdown::Both);
        }
    }

    /// Stops accepting, ends all connections, and waits for their threads.
    pub fn close(&self) {
        self.stop_accepting();
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
    fn accept_loop(self: Arc<Self>) {
        while !self.stopped.is_done() {
            match self.listener.accept() {
                Ok((stream, source)) => self.admit(Arc::new(stream), source),
                Err(e) => self.pause(&e),
            }
        }
    }

    /// Without descriptors or memory, accepting again at once would only spin.
    fn pause(&self, cause: &io::Error) {
        if !self.stopped.is_done() {
            warn!("[{}] cannot accept: {cause}", self.tag);
            self.stopped.wait_timeout(ACCEPT_PAUSE);
        }
    }

    fn admit(self: &Arc<Self>, stream: Arc<TcpStream>, source: SocketAddr) {
        let id = self.live.lock().next_id();
        // Without a place the connection is closed here.
        if let Some((place, negotiation)) = self.guard.admit(id, &stream, source.ip()) {
            let visitor = Visitor {
                stream,
                source,
                negotiation,
            };
            if let Err(e) = self.serve(id, visitor, place) {
                debug!("[{}] {source} was not served: {e}", self.tag);
            }
        }
    }

    fn serve(self: &Arc<Self>, id: u64, visitor: Visitor, place: Place) -> io::Result<()> {
        tune(&visitor.stream)?;
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
    use crate::link::{LinkError, Reader};
    use crate::transport::tcp::split;

    const PATIENCE: Duration = Duration::from_secs(10);

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
