use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::head::{self, Refusal};
use super::outlet::{Outlet, Style};
use super::reader::WsReader;
use super::writer::WsWriter;
use super::{Decoder, Encoder, Options, UpgradeError};
use crate::buf::Buf;
use crate::limits::MAX_WS_HEAD;
use crate::link::{Ahead, Link, LinkError, Reader, Writer};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Asks the server on `link`, whose name and port are `server`, for WebSocket.
///
/// # Errors
/// [`UpgradeError`], or the link's; [`io::ErrorKind::TimedOut`] at `deadline`.
pub fn connect(
    mut link: Link,
    options: &Options,
    server: &str,
    deadline: Instant,
) -> io::Result<Link> {
    let key: [u8; 16] = rand::random();
    say(link.writer.as_mut(), &head::request(options, server, key))?;
    let (head, rest) = read_head(link.reader.as_mut(), deadline)?;
    let marks = head::read_response(&head, key).map_err(UpgradeError::Response)?;
    let style = Style {
        encoder: Encoder::client(),
        marks,
    };
    Ok(join(link, rest, Decoder::of_server(marks), style))
}

/// Agrees with the visitor on `link` on WebSocket, or says why not.
///
/// # Errors
/// As [`connect`].
pub fn accept(mut link: Link, options: &Options, deadline: Instant) -> io::Result<Link> {
    let (head, rest) = read_head(link.reader.as_mut(), deadline)?;
    let upgrade = match head::read_request(&head, options) {
        Ok(upgrade) => upgrade,
        Err(refusal) => return Err(refuse(link.writer.as_mut(), refusal)),
    };
    say(link.writer.as_mut(), &upgrade.response())?;
    let style = Style {
        encoder: Encoder::server(),
        marks: upgrade.marks,
    };
    Ok(join(link, rest, Decoder::of_client(upgrade.marks), style))
}

/// Whether the visitor hears the answer does not matter.
fn refuse(writer: &mut dyn Writer, refusal: Refusal) -> io::Error {
    let _ = say(writer, &refusal.response());
    let _ = writer.close();
    UpgradeError::Refused(refusal).into()
}

fn join(link: Link, rest: Option<Buf>, decoder: Decoder, style: Style) -> Link {
    let outlet = Arc::new(Outlet::new(link.writer, style));
    let reader = Ahead::of(rest, link.reader);
    Link::new(
        WsReader::new(reader, decoder, outlet.clone()),
        WsWriter::new(outlet),
    )
}

fn say(writer: &mut dyn Writer, bytes: &[u8]) -> Result<(), LinkError> {
    writer.write(&mut [Buf::copy_of(bytes)].into())?;
    writer.flush()
}

/// A head with its empty line, and what was read beyond it.
fn read_head(reader: &mut dyn Reader, deadline: Instant) -> io::Result<(Vec<u8>, Option<Buf>)> {
    let mut head = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut buf = reader.read_timeout(left)?.ok_or(UpgradeError::Cut)?;
        let known = head.len();
        head.extend_from_slice(buf.as_slice());
        if let Some(end) = end_of_head(&head, known) {
            head.truncate(end);
            buf.advance(end - known);
            return Ok((head, Some(buf)));
        }
        if head.len() > MAX_WS_HEAD {
            return Err(UpgradeError::TooLong.into());
        }
    }
}

/// Where the head ends, if it does not end within its first `known` bytes.
fn end_of_head(head: &[u8], known: usize) -> Option<usize> {
    let start = known.saturating_sub(HEAD_END.len() - 1);
    let mut windows = head.get(start..)?.windows(HEAD_END.len());
    let at = windows.position(|window| window == HEAD_END)?;
    Some(start + at + HEAD_END.len())
}
