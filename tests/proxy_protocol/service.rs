//! A service that is told in PROXY headers who visits it, and its visitors. What
//! it reads, and what they say, is made here and not by the crate.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::support::PATIENCE;
use crate::support::client::{Entry, echo};
use crate::support::target::TcpTarget;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Source and destination.
pub type Ends = (SocketAddr, SocketAddr);

/// What the service was told of a visitor.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub source: Option<Ends>,
    /// The visitor's own address, as he knows it.
    pub visitor: SocketAddr,
}

impl Named {
    /// The visitor himself, who has connected to `door`.
    pub fn ends(visitor: SocketAddr, door: SocketAddr) -> Self {
        Self {
            source: Some((visitor, door)),
            visitor,
        }
    }
}

/// Reads a header and then a line, which it sends back.
pub struct Service {
    target: TcpTarget,
    told: Mutex<Receiver<Option<Ends>>>,
}

impl Service {
    /// One that takes headers of this version alone.
    pub fn start(version: u8) -> Self {
        Self::speaking(version, b"")
    }

    pub fn start_speaking_first(version: u8) -> Self {
        Self::speaking(version, b"220 hello\n")
    }

    fn speaking(version: u8, first: &'static [u8]) -> Self {
        let (tell, told) = channel();
        let tell: Mutex<Sender<Option<Ends>>> = Mutex::new(tell);
        let target = TcpTarget::start(move |mut visitor| {
            let ends = match version {
                1 => read_line_header(&mut visitor)?,
                _ => read_binary_header(&mut visitor)?,
            };
            let _ = tell.lock().unwrap().send(ends);
            visitor.write_all(first)?;
            io::copy(&mut visitor.try_clone()?, &mut visitor).map(drop)
        });
        Self {
            target,
            told: Mutex::new(told),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// What it was told of the next visitor, who is taken for whom it was told.
    pub fn next(&self) -> Named {
        let source = self.told.lock().unwrap().recv_timeout(PATIENCE);
        let source = source.expect("a visitor with a header");
        let visitor = source.expect("somebody who is named").0;
        Named { source, visitor }
    }

    fn told(&self) -> Option<Ends> {
        let told = self.told.lock().unwrap();
        told.recv_timeout(PATIENCE)
            .expect("a visitor with a header")
    }
}

/// Visits the service by `door`; it echoes, and says who came.
pub fn visit(door: SocketAddr, service: &Service) -> Named {
    visit_from(door, b"", service)
}

/// The same behind somebody who says this first.
pub fn visit_from(door: SocketAddr, first: &[u8], service: &Service) -> Named {
    try_visit(door, first, service).expect("a visit")
}

/// The same where there may be no way yet.
pub fn try_visit(door: SocketAddr, first: &[u8], service: &Service) -> io::Result<Named> {
    let mut visitor = Entry::Door(door).connect()?;
    visitor.write_all(first)?;
    echo(&mut visitor, b"a line\n")?;
    Ok(Named {
        source: service.told(),
        visitor: visitor.local_addr()?,
    })
}

/// Whether who says this is ended without an answer.
pub fn is_sent_away(door: SocketAddr, first: &[u8]) -> bool {
    let mut visitor = Entry::Door(door).connect().expect("a way in");
    let _ = visitor.write_all(first);
    let mut answer = Vec::new();
    match visitor.read_to_end(&mut answer) {
        Ok(_) => answer.is_empty(),
        Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// A line of text without its end.
pub fn line(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a line");
        bytes.extend(byte);
    }
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// A header of this version.
pub fn header(version: u8, ends: Option<Ends>) -> Vec<u8> {
    match (version, ends) {
        (1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (1, Some((from, to))) => {
            let (hosts, ports) = ((from.ip(), to.ip()), (from.port(), to.port()));
            let kind = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = hosts;
            format!("PROXY {kind} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
        }
        (_, None) => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
        (_, Some((from, to))) => {
            let octets = |ip| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let (kind, len) = if from.is_ipv4() {
                (0x11, 12)
            } else {
                (0x21, 36)
            };
            let hosts = [octets(from.ip()), octets(to.ip())].concat();
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            [&SIGNATURE[..], &[0x21, kind, 0, len], &hosts, &ports].concat()
        }
    }
}

fn read_line_header(stream: &mut TcpStream) -> io::Result<Option<Ends>> {
    let text = line(stream);
    let words: Vec<&str> = text.split(' ').collect();
    Ok(match words[..] {
        ["PROXY", "UNKNOWN"] => None,
        ["PROXY", kind, from, to, from_port, to_port] => {
            let host = |text: &str| -> IpAddr { text.parse().expect("an address") };
            let ends = (
                (host(from), from_port.parse().unwrap()).into(),
                (host(to), to_port.parse().unwrap()).into(),
            );
            let is_v4 = |end: SocketAddr| end.is_ipv4() == (kind == "TCP4");
            assert!(is_v4(ends.0) && is_v4(ends.1), "{text}");
            Some(ends)
        }
        _ => panic!("no header: {text:?}"),
    })
}

fn read_binary_header(stream: &mut TcpStream) -> io::Result<Option<Ends>> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed)?;
    assert_eq!(fixed[..12], *SIGNATURE);
    let mut body = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut body)?;
    let hosts = match (fixed[12], fixed[13]) {
        (0x20, 0) => return Ok(None),
        (0x21, 0x11) => (ip::<4>(&body, 0), ip::<4>(&body, 4)),
        (0x21, 0x21) => (ip::<16>(&body, 0), ip::<16>(&body, 16)),
        other => panic!("no header: {other:x?}"),
    };
    let ports = body.split_off(body.len() - 4);
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Ok(Some(((hosts.0, port(0)).into(), (hosts.1, port(2)).into())))
}

fn ip<const N: usize>(body: &[u8], at: usize) -> IpAddr
where
    IpAddr: From<[u8; N]>,
{
    let octets: [u8; N] = body[at..at + N].try_into().unwrap();
    octets.into()
}
