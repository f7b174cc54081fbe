//! What monitors fetch.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: String,
}

/// Asks as HAProxy's and Prometheus' checks do.
pub fn get(address: SocketAddr, path: &str) -> Page {
    exchange(address, &format!("GET {path} HTTP/1.0\r\n\r\n")).unwrap()
}

/// Sends `request` and reads to the end. The length that is told must be right.
pub fn exchange(address: SocketAddr, request: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    if !request.starts_with("HEAD") {
        assert_eq!(length.expect("a length").parse(), Ok(body.len()));
    }
    Ok(Page {
        status: status.parse().expect("a status"),
        body: body.to_owned(),
    })
}
