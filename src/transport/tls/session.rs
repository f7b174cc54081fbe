use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};

use parking_lot::Mutex;
use rustls::Connection;

use super::TlsFailure;
use crate::buf::Buf;
use crate::limits::{BUFFER_CLASSES, TLS_RECORD};
use crate::link::LinkError;

/// Most buffers that go into one record.
const MAX_SLICES: usize = 64;

/// Largest buffer for what was decrypted.
const LARGEST: usize = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];

/// What both halves work with: a connection whose handshake is over.
pub(super) struct Session {
    connection: Mutex<Connection>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection: Mutex::new(connection),
        }
    }

    /// Decrypts the next piece of `sealed`, at most about a record, and appends
    /// the plaintext to `plain`. Returns whether the peer has said that nothing
    /// follows.
    pub(super) fn open_piece(
        &self,
        sealed: &mut Buf,
        plain: &mut VecDeque<Buf>,
    ) -> Result<bool, LinkError> {
        let mut connection = self.connection.lock();
        feed(&mut connection, sealed).map_err(io::Error::from)?;
        let state = connection.process_new_packets();
        let state = state.map_err(|e| io::Error::from(TlsFailure::Record(e)))?;
        take_plain(
            &mut connection,
            state.plaintext_bytes_to_read(),
            sealed.len(),
            plain,
        )?;
        Ok(state.peer_has_closed())
    }

    /// Encrypts what comes first in `batch`, one record of it, and appends all
    /// there is to send to `sealed`. Returns how many bytes of the batch that
    /// were.
    pub(super) fn seal_piece(
        &self,
        batch: &VecDeque<Buf>,
        sealed: &mut VecDeque<Buf>,
    ) -> Result<usize, LinkError> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let slices = first_record(batch, &mut slices);
        let mut connection = self.connection.lock();
        let written = connection.writer().write_vectored(slices);
        drain(&mut connection, sealed)?;
        Ok(written?)
    }

    /// Appends to `sealed` what the other half has left to send.
    pub(super) fn seal_rest(&self, sealed: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        drain(&mut self.connection.lock(), sealed)
    }

    /// Appends to `sealed` the word that nothing follows.
    pub(super) fn seal_end(&self, sealed: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let mut connection = self.connection.lock();
        connection.send_close_notify();
        drain(&mut connection, sealed)
    }
}

/// Gives the connection some of `sealed`.
pub(super) fn feed(connection: &mut Connection, sealed: &mut Buf) -> Result<(), TlsFailure> {
    let mut rest = sealed.as_slice();
    if !rest.is_empty() {
        let taken = connection.read_tls(&mut rest);
        sealed.advance(taken.map_err(|_| TlsFailure::TooLong)?);
    }
    Ok(())
}

/// Appends to `sealed` all that the connection has to send.
pub(super) fn drain(
    connection: &mut Connection,
    sealed: &mut VecDeque<Buf>,
) -> Result<(), LinkError> {
    while connection.wants_write() {
        connection.write_tls(&mut Sink(sealed))?;
    }
    Ok(())
}

/// Takes `waiting` bytes of plaintext; about `coming` may follow soon.
fn take_plain(
    connection: &mut Connection,
    waiting: usize,
    coming: usize,
    plain: &mut VecDeque<Buf>,
) -> io::Result<()> {
    if waiting == 0 {
        return Ok(());
    }
    let has_room = |buf: &mut Buf| buf.spare().len() >= waiting;
    if !plain.back_mut().is_some_and(has_room) {
        let room = (waiting + coming).min(LARGEST).max(waiting);
        plain.push_back(Buf::with_capacity(room));
    }
    if let Some(buf) = plain.back_mut() {
        connection
            .reader()
            .read_exact(&mut buf.spare()[..waiting])?;
        buf.advance_end(waiting);
    }
    Ok(())
}

/// The first bytes of `batch`, not more than a record takes.
fn first_record<'s, 'b>(
    batch: &'b VecDeque<Buf>,
    slices: &'s mut [IoSlice<'b>],
) -> &'s [IoSlice<'b>] {
    let (mut used, mut room) = (0, TLS_RECORD);
    for (slot, buf) in slices.iter_mut().zip(batch) {
        let (part, _) = buf.split_at(room);
        *slot = IoSlice::new(part);
        used += 1;
        room -= part.len();
        if room == 0 {
            break;
        }
    }
    &slices[..used]
}

/// Makes a buffer of each record.
struct Sink<'a>(&'a mut VecDeque<Buf>);

impl Write for Sink<'_> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.push_back(Buf::copy_of(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
