use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};

use log::warn;
use parking_lot::Mutex;

use super::cut::cut;
use super::guard::{Guard, Negotiation, Place};
use super::listen::listen_beside;
use super::options::ServerLimits;
use super::port::{Host, Port};
use crate::limits::JOIN_DEADLINE;
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

/// Where a [`Server`] listens.
pub enum Seat<'a> {
    /// On a socket of its own.
    New(TcpListener),
    /// On that of another server, whose visitors stay its own.
    Of(&'a Server),
}

/// A listener with a thread `in-TAG` that accepts, and a thread `in-TAG-n` for
/// each connection. Closing it, or dropping it, ends all of them.
pub struct Server {
    shared: Arc<Shared>,
    port: Arc<Port>,
}

struct Shared {
    tag: String,
    handler: Box<Handler>,
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
        let server = Self::prepare(Seat::New(listener), tag, limits, handler)?;
        server.open();
        Ok(server)
    }

    /// As [`start_with`](Self::start_with), but nobody is served until the
    /// server is [opened](Self::open), which cannot fail.
    ///
    /// # Errors
    /// As `start`.
    pub fn prepare(
        seat: Seat<'_>,
        tag: &str,
        limits: ServerLimits,
        handler: impl Fn(Visitor) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let port = match seat {
            Seat::New(listener) => Port::start(listener, tag)?,
            Seat::Of(other) => other.port.clone(),
        };
        let shared = Arc::new(Shared {
            tag: tag.to_owned(),
            handler: Box::new(handler),
            closed: Done::new(),
            crew: Crew::new(),
            guard: Guard::new(tag, limits),
            live: Mutex::default(),
        });
        Ok(Self { shared, port })
    }

    /// Serves whoever comes from now on. Another server on the same socket
    /// goes on with those whom it has.
    pub fn open(&self) {
        self.port.put_in_charge(self.shared.clone());
    }

    /// Listens on `address`, although `others` have its port on addresses that
    /// overlap: one of its own, or all. A visitor comes to who has the closest.
    ///
    /// # Errors
    /// What the system says, such as [`io::ErrorKind::AddrInUse`].
    pub fn listen_beside(address: SocketAddr, others: &[&Self]) -> io::Result<TcpListener> {
        let others: Vec<_> = others.iter().map(|other| other.port.listener()).collect();
        listen_beside(address, &others)
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
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

    /// Stops accepting, unless another server does so on the same socket by
    /// now. Connections go on, also those that the system has made and nobody
    /// has accepted yet.
    pub fn stop_accepting(&self) {
        if !self.port.is_of_another(&self.shared) {
            self.port.stop();
        }
    }

    /// Stops accepting, likewise, ends all connections, and waits for their
    /// threads.
    pub fn close(&self) {
        let mut left = match self.port.is_of_another(&self.shared) {
            true => Vec::new(),
            false => self.port.close(),
        };
        if !self.shared.closed.signal() {
            return;
        }
        self.shared.live.lock().cut_all();
        left.extend(self.shared.crew.join(JOIN_DEADLINE));
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

impl Host for Shared {
    /// A visitor for whom there is no thread is reset: to him it is no end.
    fn admit(self: Arc<Self>, stream: TcpStream, source: SocketAddr) -> io::Result<()> {
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
}

impl Shared {
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

    use socket2::SockRef;

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
