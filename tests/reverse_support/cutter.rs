//! A relay on loopback whose connections can be cut, so that both ends see a
//! reset, or frozen, so that neither sees anything any more. Orderly ends pass
//! through it otherwise.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

/// The relay. Dropping it cuts its connections and joins its threads.
pub struct Cutter {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    /// `None` once the relay is stopping.
    open: Mutex<Option<Vec<Arc<Pair>>>>,
    made: AtomicUsize,
}

/// One connection's sockets on both sides.
struct Pair {
    near: TcpStream,
    far: TcpStream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flowing,
    Frozen,
    Cut,
}

impl Cutter {
    /// Listens, and connects each visitor to `target`.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a relay");
        let address = listener.local_addr().expect("address of a relay");
        let shared = Arc::new(Shared {
            target,
            open: Mutex::new(Some(Vec::new())),
            made: AtomicUsize::new(0),
        });
        let inner = shared.clone();
        let acceptor = thread::spawn(move || inner.accept_all(&listener));
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were made through it so far.
    pub fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// Cuts the connections that are open. Returns how many that were.
    pub fn cut(&self) -> usize {
        let mut open = self.shared.open.lock().expect("open connections");
        let pairs = open.as_mut().map(std::mem::take).unwrap_or_default();
        pairs.iter().for_each(|pair| pair.cut());
        pairs.len()
    }

    /// From now on nothing passes on the connections that are open, not even
    /// an end: as if one side's address were no more. Those that are made later
    /// are not concerned. Returns how many were open.
    pub fn freeze(&self) -> usize {
        let open = self.shared.open.lock().expect("open connections");
        let open = open.as_deref().unwrap_or_default();
        open.iter().for_each(|pair| pair.freeze());
        open.len()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.cut();
        *self.shared.open.lock().expect("open connections") = None;
        let _ = TcpStream::connect(self.address); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept_all(&self, listener: &TcpListener) {
        thread::scope(|threads| {
            for near in listener.incoming() {
                let Some(pair) = near.and_then(|near| self.admit(near)).transpose() else {
                    break;
                };
                let Ok(pair) = pair else { continue };
                threads.spawn(move || self.carry(&pair));
            }
        });
    }

    /// `None` if the relay is stopping.
    fn admit(&self, near: TcpStream) -> io::Result<Option<Arc<Pair>>> {
        let mut open = self.open.lock().expect("open connections");
        let Some(open) = open.as_mut() else {
            return Ok(None);
        };
        let far = TcpStream::connect(self.target)?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let pair = Arc::new(Pair {
            near,
            far,
            state: Mutex::new(State::Flowing),
            changed: Condvar::new(),
        });
        open.push(pair.clone());
        self.made.fetch_add(1, Ordering::SeqCst);
        Ok(Some(pair))
    }

    fn carry(&self, pair: &Arc<Pair>) {
        thread::scope(|threads| {
            threads.spawn(|| pair.copy(&pair.near, &pair.far));
            pair.copy(&pair.far, &pair.near);
        });
        let mut open = self.open.lock().expect("open connections");
        if let Some(open) = open.as_mut() {
            open.retain(|other| !Arc::ptr_eq(other, pair));
        }
    }
}

impl Pair {
    /// Closing both sockets sends a reset then; to shut down their sending
    /// sides would send an orderly end before it.
    fn cut(&self) {
        *self.state.lock().expect("state") = State::Cut;
        self.changed.notify_all();
        for socket in [&self.near, &self.far] {
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    fn freeze(&self) {
        let mut state = self.state.lock().expect("state");
        if *state == State::Flowing {
            *state = State::Frozen;
        }
    }

    /// Whether what has come may go on; waits while it is frozen.
    fn passes(&self) -> bool {
        let state = self.state.lock().expect("state");
        let frozen = |state: &mut State| *state == State::Frozen;
        let state = self.changed.wait_while(state, frozen).expect("state");
        *state == State::Flowing
    }

    fn copy(&self, from: &TcpStream, to: &TcpStream) {
        let copied = self.copy_to_end(from, to);
        if copied.is_err() {
            self.cut();
        }
    }

    fn copy_to_end(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut bytes);
            if !self.passes() {
                return Ok(());
            }
            let length = read?;
            if length == 0 {
                return to.shutdown(Shutdown::Write);
            }
            to.write_all(&bytes[..length])?;
        }
    }
}
