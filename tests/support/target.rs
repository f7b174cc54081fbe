//! Services behind the tunnel: each on a port of its own, joined on drop.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{
    PATIENCE,
    bytes::{expect_keyed, send_keyed},
};

/// First line of [`TcpTarget::banner`].
pub const BANNER: &[u8] = b"220 speak when you are spoken to\r\n";

/// A TCP service with a thread for each visitor.
pub struct TcpTarget {
    address: SocketAddr,
    visitors: Arc<Visitors>,
    acceptor: Option<JoinHandle<()>>,
}

impl TcpTarget {
    /// Sends back what comes.
    pub fn echo() -> Self {
        Self::start(echo)
    }

    /// Serves [`Order`]s.
    pub fn known_bytes() -> Self {
        Self::start(serve_order)
    }

    /// Says [`BANNER`] first, then sends back what comes.
    pub fn banner() -> Self {
        Self::start(|mut visitor| {
            visitor.write_all(BANNER)?;
            echo(visitor)
        })
    }

    pub fn start(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a TCP target");
        let address = listener.local_addr().expect("address of a TCP target");
        let visitors = Arc::new(Visitors::default());
        let acceptor = {
            let visitors = Arc::clone(&visitors);
            thread::spawn(move || visitors.accept_all(&listener, &serve))
        };
        Self {
            address,
            visitors,
            acceptor: Some(acceptor),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TcpTarget {
    fn drop(&mut self) {
        self.visitors.dismiss();
        // Wakes the acceptor, which then sees that nobody is served any more.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// What a client asks of [`TcpTarget::known_bytes`]: both send their keyed
/// stream at the same time, then the service says in one byte whether what it
/// got was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub key: u64,
    pub upload: u64,
    pub download: u64,
}

impl Order {
    pub const RIGHT: u8 = b'Y';
    pub const WRONG: u8 = b'N';

    pub fn upload_key(&self) -> u64 {
        self.key
    }

    pub fn download_key(&self) -> u64 {
        !self.key
    }

    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.key.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.upload.to_be_bytes());
        bytes[16..].copy_from_slice(&self.download.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: [u8; 24]) -> Self {
        let field =
            |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self {
            key: field(0),
            upload: field(8),
            download: field(16),
        }
    }
}

/// A UDP service that sends each datagram back to its sender.
pub struct UdpEcho {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a UDP target");
        let address = socket.local_addr().expect("address of a UDP target");
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopping = Arc::clone(&stopping);
            thread::spawn(move || echo_datagrams(&socket, &stopping))
        };
        Self {
            address,
            stopping,
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Ok(waker) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = waker.send_to(&[], self.address);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connections being served; `None` once the service is stopping.
struct Visitors {
    open: Mutex<Option<HashMap<u64, TcpStream>>>,
}

impl Default for Visitors {
    fn default() -> Self {
        Self {
            open: Mutex::new(Some(HashMap::new())),
        }
    }
}

impl Visitors {
    fn accept_all(
        &self,
        listener: &TcpListener,
        serve: &(impl Fn(TcpStream) -> io::Result<()> + Sync),
    ) {
        thread::scope(|threads| {
            for (number, visitor) in (0..).zip(listener.incoming()) {
                let Ok(visitor) = visitor else { continue };
                if !self.enter(number, &visitor) {
                    break;
                }
                threads.spawn(move || {
                    // A visitor that goes away is its own test's business.
                    let _ = serve(visitor);
                    self.leave(number);
                });
            }
        });
    }

    fn enter(&self, number: u64, visitor: &TcpStream) -> bool {
        let mut open = self.open.lock().expect("visitors");
        let (Some(open), Ok(handle)) = (open.as_mut(), visitor.try_clone()) else {
            return false;
        };
        open.insert(number, handle);
        true
    }

    fn leave(&self, number: u64) {
        if let Some(open) = self.open.lock().expect("visitors").as_mut() {
            open.remove(&number);
        }
    }

    fn dismiss(&self) {
        let open = self.open.lock().expect("visitors").take();
        for visitor in open.unwrap_or_default().into_values() {
            let _ = visitor.shutdown(Shutdown::Both);
        }
    }
}

fn echo(mut visitor: TcpStream) -> io::Result<()> {
    let mut answers = visitor.try_clone()?;
    io::copy(&mut visitor, &mut answers).map(drop)
}

fn serve_order(mut visitor: TcpStream) -> io::Result<()> {
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.set_write_timeout(Some(PATIENCE))?;
    let mut head = [0; 24];
    visitor.read_exact(&mut head)?;
    let order = Order::decode(head);

    let sent_and_got = thread::scope(|threads| {
        let sender = threads.spawn(|| send_keyed(&visitor, order.download_key(), order.download));
        let got = expect_keyed(&visitor, order.upload_key(), order.upload);
        (sender.join().expect("sender"), got)
    });
    let verdict = match sent_and_got {
        (Ok(()), Ok(())) => Order::RIGHT,
        _ => Order::WRONG,
    };
    visitor.write_all(&[verdict])?;
    drain(visitor)
}

/// Waits for the visitor's end: closing first would race with its reading.
fn drain(mut visitor: TcpStream) -> io::Result<()> {
    io::copy(&mut visitor, &mut io::sink()).map(drop)
}

fn echo_datagrams(socket: &UdpSocket, stopping: &AtomicBool) {
    let mut datagram = [0; 65_535];
    while let Ok((length, sender)) = socket.recv_from(&mut datagram) {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let _ = socket.send_to(&datagram[..length], sender);
    }
}
