//! Connections over loopback: inputs for whole inbounds and outbounds.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use muxcool::link::{DispatchError, Dispatcher, Link, Reader, Request};
use muxcool::net::{Destination, Network};
use muxcool::proxy::{Inbound, InboundContext};
use muxcool::sync::Timer;
use muxcool::transport::stream::Connection;
use muxcool::transport::tcp::{Idle, IdleTimes};
use parking_lot::Mutex;

use super::memory::End;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an input that are sent: they wait in the sockets' buffers.
pub const MOST: usize = 16 * 1024;

/// What every target says.
pub const ANSWER: &[u8] = b"answer";

thread_local! {
    static LISTENER: TcpListener = listener();
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback address")
}

/// Both ends of a connection, the first of which has connected.
fn pair() -> (TcpStream, TcpStream) {
    LISTENER.with(|listener| {
        let near = TcpStream::connect(listener.local_addr().expect("bound"));
        let (far, _) = listener.accept().expect("a connection");
        (near.expect("a connection"), far)
    })
}

pub fn idle() -> Idle {
    let times = IdleTimes {
        both: PATIENCE,
        after_read: PATIENCE,
        after_write: PATIENCE,
    };
    let timer = Timer::global().expect("a timer");
    Idle { timer, times }
}

/// For an inbound that lets in the visitors of [`visit`].
pub fn context(dispatcher: Arc<dyn Dispatcher>) -> InboundContext {
    InboundContext {
        tag: "in".into(),
        dispatcher,
        handshake: PATIENCE,
        idle: idle(),
        access: None,
    }
}

/// What a visitor heard, and how it ended.
pub struct Visit {
    pub heard: Vec<u8>,
    pub end: End,
    /// Whether the inbound found nothing wrong.
    pub fine: bool,
}

/// A visitor who says `words`, and nothing more.
pub fn visit(inbound: &dyn Inbound, words: &[u8]) -> Visit {
    let (mut visitor, served) = pair();
    visitor.write_all(words).expect("room in the buffers");
    visitor.shutdown(Shutdown::Write).expect("a connection");
    let served = Connection::dialled(Arc::new(served), PATIENCE);
    let fine = inbound.serve(served).is_ok();
    let (heard, end) = hear(visitor);
    Visit { heard, end, fine }
}

/// All that comes. Closes the connection so that no trace of it stays.
fn hear(mut stream: TcpStream) -> (Vec<u8>, End) {
    let mut heard = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let end = match stream.read_to_end(&mut heard) {
        Ok(_) => End::Orderly,
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no end in sight"),
        Err(_) => End::Broken,
    };
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    (heard, end)
}

/// A server that says `words` to who connects. `meet` connects; returned is
/// what the server heard, too.
pub fn serve<T>(words: &[u8], meet: impl FnOnce(SocketAddr) -> T) -> (T, Vec<u8>) {
    let listener = listener();
    let addr = listener.local_addr().expect("bound");
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            // A client that has heard enough may be gone.
            let _ = stream.write_all(words);
            let _ = stream.shutdown(Shutdown::Write);
            hear(stream).0
        });
        let met = meet(addr);
        (met, server.join().expect("a server"))
    })
}

/// A dispatcher whose targets say [`ANSWER`], and that notes what they get.
#[derive(Default)]
pub struct Targets {
    pub met: Mutex<Vec<Met>>,
}

/// One connection.
pub struct Met {
    pub request: Request,
    pub got: Vec<Vec<u8>>,
    pub end: End,
}

impl Dispatcher for Targets {
    fn dispatch(&self, request: &Request, mut link: Link) -> Result<(), DispatchError> {
        let answer = muxcool::buf::Buf::copy_of(ANSWER);
        link.writer.write(&mut [answer].into())?;
        let (got, end) = drain(link.reader.as_mut());
        let ended = link.writer.close();
        self.met.lock().push(Met {
            request: request.clone(),
            got,
            end,
        });
        Ok(ended?)
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("dispatched only"))
    }
}

/// All that a link delivers, and how that ends.
pub fn drain(reader: &mut dyn Reader) -> (Vec<Vec<u8>>, End) {
    let mut got = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(buf)) => got.push(buf.as_slice().to_vec()),
            Ok(None) => return (got, End::Orderly),
            Err(_) => return (got, End::Broken),
        }
    }
}

/// Where outbounds are asked to go.
pub fn destination(network: Network) -> Destination {
    Destination::new(network, Ipv4Addr::new(192, 0, 2, 1).into(), 80)
}

/// No more of an input than is sent.
pub fn bounded(data: &[u8]) -> &[u8] {
    &data[..data.len().min(MOST)]
}
