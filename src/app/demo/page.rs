use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::loopback;
use crate::escape::Escaped;
use crate::transport::tcp::{Server, Visitor, listen};

/// How long a visitor may take to ask.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest request head that is read, in bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// Bytes at `/bulk`.
pub(super) const BULK: usize = 64 * 1024 * 1024;

/// The page itself.
pub(super) const PAGE: &str = include_str!("page.html");

/// A small web server on loopback.
pub(super) struct Page {
    server: Server,
}

impl Page {
    pub(super) fn start(announce: bool) -> io::Result<Self> {
        let visits = AtomicU64::new(0);
        let server = Server::start(listen(loopback())?, "page", move |visitor| {
            let number = visits.fetch_add(1, Ordering::Relaxed) + 1;
            let path = serve(&visitor);
            if announce {
                announce_visit(number, path);
            }
        })?;
        Ok(Self { server })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(super) fn close(&self) {
        self.server.close();
    }
}

fn announce_visit(number: u64, path: io::Result<String>) {
    let line = match path {
        Ok(path) => format!("visit {number}: GET {}", Escaped(path.as_bytes())),
        Err(e) => format!("visit {number}: {e}"),
    };
    let _ = writeln!(io::stdout(), "{line}");
}

/// Answers one request; returns its path.
fn serve(visitor: &Visitor) -> io::Result<String> {
    let mut stream: &TcpStream = &visitor.stream;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let path = read_request(stream)?;
    match path.as_str() {
        "/" => answer(
            &mut stream,
            "200 OK",
            "text/html; charset=utf-8",
            PAGE.as_bytes(),
        )?,
        "/bulk" => answer(&mut stream, "200 OK", "application/octet-stream", &bulk())?,
        _ => answer(&mut stream, "404 Not Found", "text/plain", b"Not here.\n")?,
    }
    Ok(path)
}

/// Reads a request's head; returns the path of a GET.
fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(io::Read::take(stream, MAX_HEAD)).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => Ok(path.to_owned()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a GET request",
        )),
    }
}

fn answer(stream: &mut &TcpStream, status: &str, kind: &str, body: &[u8]) -> io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// Bytes that depend on their place, so that a lost or moved piece shows.
pub(super) fn bulk() -> Vec<u8> {
    (0..BULK as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}
