use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::idle::Idle;
use super::reader::TcpReader;
use super::socket::Socket;
use super::writer::TcpWriter;
use crate::link::Link;

/// Makes `stream` a link, watched for idleness if `idle` says so.
///
/// The socket stays in blocking mode, and sends at once what is written
/// (`TCP_NODELAY`). It is closed when both halves are gone, with a reset unless
/// the writer was closed.
pub fn split(stream: Arc<TcpStream>, idle: Option<&Idle>) -> (TcpReader, TcpWriter) {
    let _ = stream.set_nodelay(true); // without it, it is only slower
    let (reader, writer, base) = open(stream, None);
    base.settle(idle);
    (reader, writer)
}

/// As [`split`], for a connection that may still be negotiated: until its base
/// is settled nothing that is written waits past `deadline`.
pub(in crate::transport) fn open(
    stream: Arc<TcpStream>,
    deadline: Option<Instant>,
) -> (TcpReader, TcpWriter, Base) {
    let socket = Arc::new(Socket::new(stream, deadline));
    let reader = TcpReader::new(socket.clone());
    let writer = TcpWriter::new(socket.clone());
    (reader, writer, Base { socket })
}

/// The socket under a connection's layers.
#[derive(Debug)]
pub(in crate::transport) struct Base {
    socket: Arc<Socket>,
}

impl Base {
    pub(in crate::transport) fn stream(&self) -> &Arc<TcpStream> {
        &self.socket.stream
    }

    /// The negotiation is over: its deadline is lifted, and the connection is
    /// watched for idleness if `idle` says so.
    pub(in crate::transport) fn settle(&self, idle: Option<&Idle>) {
        self.socket.settle();
        if let Some(idle) = idle {
            let watch = idle.watch(Arc::downgrade(&self.socket));
            self.socket.watch(idle.times, watch);
        }
    }
}

/// Without an idle time. See [`split`].
impl From<Arc<TcpStream>> for Link {
    fn from(stream: Arc<TcpStream>) -> Self {
        let (reader, writer) = split(stream, None);
        Link::new(reader, writer)
    }
}

/// Without an idle time. See [`split`].
impl From<TcpStream> for Link {
    fn from(stream: TcpStream) -> Self {
        Arc::new(stream).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use socket2::SockRef;

    use super::*;
    use crate::buf::Buf;
    use crate::limits::UNSENT;
    use crate::link::{LinkError, Reader as _, Writer as _};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn pair() -> (TcpStream, TcpReader, TcpWriter) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (reader, writer) = split(Arc::new(stream), None);
        (peer, reader, writer)
    }

    fn write_until_refused(writer: &mut TcpWriter) {
        let deadline = Instant::now() + PATIENCE;
        while writer.try_write(b"x").is_ok() {
            assert!(Instant::now() < deadline, "the peer has gone");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_written_does_not_wait_for_an_answer() {
        let (_peer, reader, _writer) = pair();
        assert!(reader.socket.stream.nodelay().unwrap());
    }

    #[test]
    fn only_who_asks_for_it_lets_little_wait_in_the_system() {
        let (_peer, reader, mut writer) = pair();
        let waits = || {
            let socket = SockRef::from(&*reader.socket.stream);
            socket.tcp_notsent_lowat().unwrap()
        };
        assert_ne!(waits(), UNSENT);
        writer.hold_little();
        assert_eq!(waits(), UNSENT);
    }

    #[test]
    fn a_reset_that_a_write_noticed_is_no_end_to_the_reader() {
        let (peer, mut reader, mut writer) = pair();
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        write_until_refused(&mut writer);
        assert!(matches!(reader.read(), Err(LinkError::Reset)));
        assert!(matches!(reader.read(), Err(LinkError::Reset)));
    }

    #[test]
    fn what_came_before_an_end_is_read_although_writing_fails() {
        let (mut peer, mut reader, mut writer) = pair();
        peer.write_all(b"bye").unwrap();
        drop(peer);
        write_until_refused(&mut writer);
        assert_eq!(reader.read().unwrap().unwrap().as_slice(), b"bye");
        assert!(matches!(reader.read(), Ok(None)));
    }

    #[test]
    fn an_interrupted_read_fails_and_the_writer_goes_on() {
        let (mut peer, mut reader, mut writer) = pair();
        let handle = reader.handle();
        let waiting = std::thread::spawn(move || reader.read());
        handle.interrupt();
        assert!(matches!(waiting.join().unwrap(), Err(LinkError::Reset)));
        writer.write(&mut [Buf::copy_of(b"still")].into()).unwrap();
        writer.close().unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still");
    }
}
