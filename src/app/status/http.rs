//! The few pages that monitors ask for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use super::census::Census;
use super::metrics;
use crate::app::timed::Timed;
use crate::limits::{METRICS_CLIENTS, METRICS_HEAD, METRICS_HEADERS, METRICS_PATIENCE};
use crate::transport::tcp::{Server, ServerLimits, listen};

/// Answers `/metrics`, `/healthz` and `/readyz` over HTTP.
///
/// At most [`METRICS_CLIENTS`] connections at once, each for one request, which
/// must come within [`METRICS_PATIENCE`]; they have the threads of a listener
/// with the tag `metrics`.
pub struct MetricsServer {
    server: Server,
}

impl MetricsServer {
    /// Listens on `address`.
    ///
    /// # Errors
    /// What the system says, such as [`ErrorKind::AddrInUse`].
    pub fn start(address: SocketAddr, census: Arc<Census>) -> io::Result<Self> {
        let limits = ServerLimits {
            connections: METRICS_CLIENTS,
            connections_per_source: METRICS_CLIENTS,
            handshakes: METRICS_CLIENTS,
            handshakes_per_source: METRICS_CLIENTS,
        };
        let serve = move |visitor: crate::transport::tcp::Visitor| {
            // Who fails has gone, or is late: nobody is left to be told.
            let _ = serve(&visitor.stream, &census);
        };
        let server = Server::start_with(listen(address)?, "metrics", limits, serve)?;
        Ok(Self { server })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops, and waits for the threads.
    pub fn close(&self) {
        self.server.close();
    }
}

impl std::fmt::Debug for MetricsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MetricsServer({})", self.local_addr())
    }
}

/// A page, or why there is none.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    path: String,
    with_body: bool,
}

fn serve(stream: &TcpStream, census: &Census) -> io::Result<()> {
    let (page, with_body) = match read_head(stream)? {
        Ok(asked) => (page(&asked.path, census), asked.with_body),
        Err(status) => (Page::of(status, status), true),
    };
    let mut out = Timed::new(stream, METRICS_PATIENCE);
    out.write_all(page.head().as_bytes())?;
    if with_body {
        out.write_all(page.body.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

/// Reads a request's head; or says what is wrong with it.
fn read_head(stream: &TcpStream) -> io::Result<Result<Asked, &'static str>> {
    let mut timed = Timed::new(stream, METRICS_PATIENCE);
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let count = timed.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(parsed) = parse(&head) {
            return Ok(parsed);
        }
        if head.len() > METRICS_HEAD {
            return Ok(Err("431 Request Header Fields Too Large"));
        }
    }
}

/// `None` as long as the head is not whole.
fn parse(head: &[u8]) -> Option<Result<Asked, &'static str>> {
    let mut headers = [httparse::EMPTY_HEADER; METRICS_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(_) => return Some(Err("400 Bad Request")),
    }
    let with_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Some(Err("405 Method Not Allowed")),
    };
    let target = request.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    Some(Ok(Asked {
        path: path.to_owned(),
        with_body,
    }))
}

fn page(path: &str, census: &Census) -> Page {
    match path {
        "/metrics" => Page {
            kind: "text/plain; version=0.0.4; charset=utf-8",
            ..Page::of("200 OK", &metrics::text(&census.snapshot(0)))
        },
        "/healthz" => Page::of("200 OK", "alive"),
        "/readyz" => readiness(&census.snapshot(0).hindrances()),
        _ => Page::of("404 Not Found", "there are /metrics, /healthz and /readyz"),
    }
}

fn readiness(hindrances: &[String]) -> Page {
    match hindrances.is_empty() {
        true => Page::of("200 OK", "ready"),
        false => Page::of("503 Service Unavailable", &hindrances.join("\n")),
    }
}

impl Page {
    fn of(status: &'static str, text: &str) -> Self {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: format!("{text}{end}"),
        }
    }

    fn head(&self) -> String {
        let (status, kind, length) = (self.status, self.kind, self.body.len());
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_waited_for_and_bad_ones_are_told_so() {
        let asked = |path: &str, with_body| {
            let path = path.to_owned();
            Some(Ok(Asked { path, with_body }))
        };
        let table = [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", None),
            (
                "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
                asked("/metrics", true),
            ),
            ("GET /readyz HTTP/1.0\r\n\r\n", asked("/readyz", true)),
            ("HEAD / HTTP/1.1\r\n\r\n", asked("/", false)),
            (
                "POST / HTTP/1.1\r\n\r\n",
                Some(Err("405 Method Not Allowed")),
            ),
            ("\u{0}\r\n\r\n", Some(Err("400 Bad Request"))),
        ];
        for (head, expected) in table {
            assert_eq!(parse(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn readiness_says_what_is_missing() {
        assert_eq!(readiness(&[]).status, "200 OK");
        let missing = readiness(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(missing.status, "503 Service Unavailable");
        assert_eq!(missing.body, "a\nb\n");
    }
}
