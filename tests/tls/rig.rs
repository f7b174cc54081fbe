use std::io;
use std::thread;
use std::time::{Duration, Instant};

use muxcool::buf::Buf;
use muxcool::link::{Link, LinkError, Reader, Writer, pair};
use muxcool::net::Address;
use muxcool::transport::tls::{self, Client, Options, Pem, Server, Usage};

use super::certificate::Certificate;

pub const PATIENCE: Duration = Duration::from_secs(20);

pub const NAME: &str = "portal.example.com";

/// Bytes in a pipe of the link below.
pub const ROOM: usize = 64 * 1024;

pub fn shown(certificate: &Certificate) -> tls::Certificate {
    tls::Certificate {
        usage: Usage::Encipherment,
        chain: Pem::Inline(certificate.chain.clone()),
        key: Some(Pem::Inline(certificate.key.clone())),
    }
}

/// Options of a server that shows `certificate`.
pub fn showing(certificate: &Certificate) -> Options {
    Options {
        certificates: vec![shown(certificate)],
        ..Options::default()
    }
}

/// Options of a client that trusts `certificate` alone.
pub fn trusting(certificate: &Certificate) -> Options {
    let mut listed = shown(certificate);
    (listed.usage, listed.key) = (Usage::Verify, None);
    Options {
        certificates: vec![listed],
        disable_system_root: true,
        ..Options::default()
    }
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// What both sides of a handshake have of it: first the client's link.
pub type Outcome = (io::Result<Link>, io::Result<Link>);

/// A handshake over `near` and `far`, for as long as [`PATIENCE`].
pub fn shake(client: &Client, server: &Server, to: &str, (near, far): (Link, Link)) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|threads| {
        let accepting = threads.spawn(|| server.accept(far, deadline));
        let connected = client.connect(near, &address(to), deadline);
        (connected, accepting.join().unwrap())
    })
}

/// As [`shake`], with whatever the options say, over a link of its own.
pub fn try_pair(server: &Options, client: &Options, to: &str) -> Outcome {
    let server = Server::new(server).unwrap();
    let client = Client::new(client).unwrap();
    shake(&client, &server, to, pair(ROOM))
}

/// Two ends that trust each other, over `below`.
pub fn open_over(below: (Link, Link)) -> (Link, Link) {
    let certificate = Certificate::for_name(NAME);
    let server = Server::new(&showing(&certificate)).unwrap();
    let client = Client::new(&trusting(&certificate)).unwrap();
    let (near, far) = shake(&client, &server, NAME, below);
    (near.unwrap(), far.unwrap())
}

/// Two links whose far ends the caller has to connect, in turn near and far.
pub fn apart() -> ((Link, Link), (Link, Link)) {
    let ((near, near_end), (far_end, far)) = (pair(ROOM), pair(ROOM));
    ((near, far), (near_end, far_end))
}

pub fn write(writer: &mut dyn Writer, data: &[u8]) -> Result<(), LinkError> {
    writer.write(&mut [Buf::copy_of(data)].into())
}

/// Reads `len` bytes.
pub fn read(reader: &mut dyn Reader, len: usize) -> Result<Vec<u8>, LinkError> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        match reader.read_timeout(PATIENCE)? {
            Some(buf) => bytes.extend_from_slice(buf.as_slice()),
            None => panic!("an end after {} bytes", bytes.len()),
        }
    }
    Ok(bytes)
}

/// Bytes that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// Why there is no link.
pub fn failure(outcome: io::Result<Link>) -> String {
    outcome.unwrap_err().to_string()
}
