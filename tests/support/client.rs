//! Visitors: how they get in, and what they do there.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use super::{
    PATIENCE,
    bytes::{KeyedBytes, expect_keyed, send_keyed},
    target::Order,
};

/// A way in.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A port that stands for its target.
    Door(SocketAddr),
    /// A SOCKS5 proxy, and the host and port to ask it for.
    Socks {
        proxy: SocketAddr,
        host: String,
        port: u16,
    },
}

impl Entry {
    pub fn socks(proxy: SocketAddr, target: SocketAddr) -> Self {
        Self::Socks {
            proxy,
            host: target.ip().to_string(),
            port: target.port(),
        }
    }

    /// A TCP connection whose every read and write waits [`PATIENCE`] at most.
    pub fn connect(&self) -> io::Result<TcpStream> {
        self.connect_within(PATIENCE)
    }

    /// As [`Entry::connect`], with another bound for each step.
    pub fn connect_within(&self, patience: Duration) -> io::Result<TcpStream> {
        match self {
            Self::Door(door) => dial(*door, patience),
            Self::Socks { proxy, host, port } => socks_connect(*proxy, host, *port, patience),
        }
    }

    /// A UDP flow.
    pub fn datagrams(&self) -> io::Result<Datagrams> {
        self.datagrams_within(PATIENCE)
    }

    /// As [`Entry::datagrams`], with another bound for each answer.
    pub fn datagrams_within(&self, patience: Duration) -> io::Result<Datagrams> {
        let flow = match self {
            Self::Door(door) => Datagrams::plain(*door),
            Self::Socks { proxy, host, port } => Datagrams::associated(*proxy, host, *port),
        }?;
        flow.socket.set_read_timeout(Some(patience))?;
        Ok(flow)
    }
}

/// A UDP flow, behind SOCKS with the association that it belongs to.
pub struct Datagrams {
    socket: UdpSocket,
    /// What stands before the payload, both ways.
    header: Vec<u8>,
    _association: Option<TcpStream>,
}

impl Datagrams {
    pub fn send(&self, payload: &[u8]) -> io::Result<()> {
        let datagram = [&self.header, payload].concat();
        self.socket.send(&datagram).map(drop)
    }

    /// The next datagram from the flow's target.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        let mut datagram = vec![0; 65_535];
        let length = self.socket.recv(&mut datagram)?;
        datagram.truncate(length);
        match datagram.strip_prefix(self.header.as_slice()) {
            Some(payload) => Ok(payload.to_vec()),
            None => Err(invalid("datagram of another target")),
        }
    }

    fn plain(door: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: udp_towards(door)?,
            header: Vec::new(),
            _association: None,
        })
    }

    fn associated(proxy: SocketAddr, host: &str, port: u16) -> io::Result<Self> {
        let mut control = dial(proxy, PATIENCE)?;
        greet(&mut control)?;
        let relay = ask(&mut control, UDP_ASSOCIATE, "0.0.0.0", 0)?;
        Ok(Self {
            socket: udp_towards(relay)?,
            header: [&[0, 0, 0], socks_address(host, port).as_slice()].concat(),
            _association: Some(control),
        })
    }
}

/// Sends `payload` to an echo service and reads it back.
pub fn echo(stream: &mut TcpStream, payload: &[u8]) -> io::Result<()> {
    stream.write_all(payload)?;
    let mut answer = vec![0; payload.len()];
    stream.read_exact(&mut answer)?;
    if answer == payload {
        return Ok(());
    }
    Err(invalid("echo differs"))
}

/// One short connection: in, a few keyed bytes there and back, out.
pub fn visit(entry: &Entry, key: u64, patience: Duration) -> io::Result<()> {
    let mut stream = entry.connect_within(patience)?;
    echo(&mut stream, &KeyedBytes::vec(key, 64))
}

/// Has an order filled and judges both streams.
///
/// It reads all before it closes: V2Ray does not carry a half-close, so an
/// early FIN would cost the rest of the answer.
pub fn place(order: Order, mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(&order.encode())?;
    thread::scope(|threads| {
        let sender = threads.spawn(|| send_keyed(&stream, order.upload_key(), order.upload));
        let received = expect_keyed(&stream, order.download_key(), order.download);
        received.and(sender.join().expect("sender"))
    })?;
    let mut verdict = [0];
    stream.read_exact(&mut verdict)?;
    match verdict {
        [Order::RIGHT] => Ok(()),
        _ => Err(invalid("the service got wrong bytes")),
    }
}

const CONNECT: u8 = 1;
const UDP_ASSOCIATE: u8 = 3;

fn dial(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn udp_towards(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address)?;
    Ok(socket)
}

fn socks_connect(
    proxy: SocketAddr,
    host: &str,
    port: u16,
    patience: Duration,
) -> io::Result<TcpStream> {
    let mut stream = dial(proxy, patience)?;
    greet(&mut stream)?;
    ask(&mut stream, CONNECT, host, port)?;
    Ok(stream)
}

/// Agrees on "no authentication" (RFC 1928, section 3).
fn greet(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[5, 1, 0])?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice)?;
    match choice {
        [5, 0] => Ok(()),
        _ => Err(invalid("proxy wants authentication")),
    }
}

/// Sends a request and returns the address in the answer (RFC 1928, section 4
/// to 6).
fn ask(stream: &mut TcpStream, command: u8, host: &str, port: u16) -> io::Result<SocketAddr> {
    let request = [&[5, command, 0], socks_address(host, port).as_slice()].concat();
    stream.write_all(&request)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    match answer {
        [5, 0, 0, 1, a, b, c, d, high, low] => {
            Ok((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
        }
        _ => Err(invalid("proxy refused")),
    }
}

fn socks_address(host: &str, port: u16) -> Vec<u8> {
    let mut bytes = match host.parse::<Ipv4Addr>() {
        Ok(address) => [&[1], address.octets().as_slice()].concat(),
        Err(_) => [&[3, host.len() as u8], host.as_bytes()].concat(),
    };
    bytes.extend(port.to_be_bytes());
    bytes
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
