//! The handshake: both sides' part is to send what the session has to say, and
//! to give it what comes, until it has enough.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::Connection;

use super::TlsFailure;
use super::reader::TlsReader;
use super::session::{Session, drain, feed};
use super::writer::TlsWriter;
use crate::buf::Buf;
use crate::limits::MAX_TLS_HANDSHAKE;
use crate::link::{Link, LinkError, Reader, Writer};

/// Agrees with the peer by `deadline`, and makes `link` what both then speak
/// on. A peer that does something wrong is told what it was.
pub(super) fn establish(
    mut connection: Connection,
    mut link: Link,
    deadline: Instant,
) -> io::Result<Link> {
    match negotiate(&mut connection, &mut link, deadline) {
        Ok(early) => {
            let session = Arc::new(Session::new(connection));
            let reader = TlsReader::new(link.reader, session.clone(), early);
            Ok(Link::new(reader, TlsWriter::new(link.writer, session)))
        }
        Err(e) => {
            part(&mut connection, link.writer.as_mut());
            Err(e)
        }
    }
}

/// Returns what has arrived and belongs to what follows.
fn negotiate(connection: &mut Connection, link: &mut Link, deadline: Instant) -> io::Result<Buf> {
    let mut sealed = Buf::with_capacity(0);
    let mut left = MAX_TLS_HANDSHAKE;
    loop {
        send(connection, link.writer.as_mut())?;
        if !connection.is_handshaking() {
            return Ok(sealed);
        }
        if sealed.is_empty() {
            sealed = receive(link.reader.as_mut(), deadline)?;
            left = left.checked_sub(sealed.len()).ok_or(TlsFailure::TooLong)?;
        }
        feed(connection, &mut sealed)?;
        let processed = connection.process_new_packets();
        processed.map_err(TlsFailure::Handshake)?;
    }
}

fn send(connection: &mut Connection, writer: &mut dyn Writer) -> io::Result<()> {
    let mut sealed = VecDeque::new();
    drain(connection, &mut sealed)?;
    Ok(writer.write(&mut sealed)?)
}

fn receive(reader: &mut dyn Reader, deadline: Instant) -> io::Result<Buf> {
    let wait = deadline.saturating_duration_since(Instant::now());
    match reader.read_timeout(wait) {
        Ok(Some(sealed)) => Ok(sealed),
        Ok(None) => Err(TlsFailure::Left.into()),
        Err(LinkError::TimedOut) => Err(TlsFailure::TooLate.into()),
        Err(e) => Err(e.into()),
    }
}

/// Says why, if it is the peer's fault, and ends the connection.
fn part(connection: &mut Connection, writer: &mut dyn Writer) {
    let mut sealed = VecDeque::new();
    if drain(connection, &mut sealed).is_ok() {
        let _ = writer.try_write_batch(&mut sealed);
    }
    let _ = writer.close();
}
