//! A service for thousands of visitors in one thread.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
};

use socket2::SockRef;

use super::readiness::{For, Readiness};
use crate::common::service::BLOCK;

/// What a visitor orders by a byte of its own; other bytes are sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Bytes without end.
    Endless,
    /// [`ANSWER`] bytes, and then the visitor may order again.
    Answer,
}

/// Bytes of an answer: thousands of them fit into the memory that the system
/// has for sockets.
pub const ANSWER: u64 = 128 * 1024;

/// Send buffer of a visitor's socket, in bytes, for the same reason.
const SEND_BUFFER: usize = 128 * 1024;

/// Bytes of one read; visitors say little.
const QUESTION: usize = 4096;

const LISTENER: u64 = 0;
const STOP: u64 = 1;
const FIRST_VISITOR: u64 = 2;

/// Serves until it is dropped.
pub struct Crowd {
    address: SocketAddr,
    /// Its end is the signal.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // Visitors' sockets inherit these.
        SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let hall = Hall::new(listener, stopped)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread::spawn(|| hall.serve())),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the visitors are.
struct Hall {
    readiness: Readiness,
    listener: TcpListener,
    _stopped: UnixStream,
    visitors: HashMap<u64, Visitor>,
    next: u64,
}

struct Visitor {
    stream: TcpStream,
    /// Bytes that it has ordered and not got.
    due: u64,
}

impl Order {
    pub const fn byte(self) -> u8 {
        match self {
            Self::Endless => 0xff,
            Self::Answer => 0xfe,
        }
    }

    fn among(bytes: &[u8]) -> Option<Self> {
        let orders = [Self::Endless, Self::Answer];
        orders
            .into_iter()
            .find(|order| bytes.contains(&order.byte()))
    }

    const fn length(self) -> u64 {
        match self {
            Self::Endless => u64::MAX,
            Self::Answer => ANSWER,
        }
    }
}

impl Hall {
    fn new(listener: TcpListener, stopped: UnixStream) -> io::Result<Self> {
        let readiness = Readiness::new()?;
        readiness.add(&listener, LISTENER)?;
        readiness.add(&stopped, STOP)?;
        Ok(Self {
            readiness,
            listener,
            _stopped: stopped,
            visitors: HashMap::new(),
            next: FIRST_VISITOR,
        })
    }

    fn serve(mut self) {
        let block = vec![0; BLOCK];
        while let Ok(ready) = self.readiness.wait() {
            for number in ready {
                match number {
                    STOP => return,
                    // One that cannot be let in has to see to it itself.
                    LISTENER => drop(self.let_in()),
                    visitor => self.attend(visitor, &block),
                }
            }
        }
    }

    fn let_in(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let number = self.next;
        self.next += 1;
        self.readiness.add(&stream, number)?;
        let visitor = Visitor { stream, due: 0 };
        self.visitors.insert(number, visitor);
        Ok(())
    }

    fn attend(&mut self, number: u64, block: &[u8]) {
        let Some(visitor) = self.visitors.get_mut(&number) else {
            return;
        };
        let attended = match visitor.due {
            0 => visitor.answer(&self.readiness, number),
            _ => visitor.deliver(&self.readiness, number, block),
        };
        match attended {
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                self.visitors.remove(&number);
            }
            _ => {}
        }
    }
}

impl Visitor {
    fn answer(&mut self, readiness: &Readiness, number: u64) -> io::Result<()> {
        let mut question = [0; QUESTION];
        let count = self.stream.read(&mut question)?;
        let question = &question[..count];
        if question.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if let Some(order) = Order::among(question) {
            self.due = order.length();
            return readiness.change(&self.stream, number, For::Writing);
        }
        self.stream.write_all(question)
    }

    fn deliver(&mut self, readiness: &Readiness, number: u64, block: &[u8]) -> io::Result<()> {
        let wanted = usize::try_from(self.due).map_or(BLOCK, |due| due.min(BLOCK));
        self.due -= self.stream.write(&block[..wanted])? as u64;
        match self.due {
            0 => readiness.change(&self.stream, number, For::Reading),
            _ => Ok(()),
        }
    }
}
