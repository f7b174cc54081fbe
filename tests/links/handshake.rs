//! The negotiation before a connection becomes a link.

use std::collections::VecDeque;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use muxcool::buf::Buf;
use muxcool::link::{Handle, Link, LinkError, Reader, Writer};
use muxcool::transport::stream::{Connection, Handshake};
use socket2::SockRef;

use crate::ends::{Job, receive, receive_bare, send, sockets};
use crate::tasks::{PATIENCE, wait_until_asleep};

const SHORT: Duration = Duration::from_millis(60);

fn negotiate(stream: TcpStream, limit: Duration) -> Handshake {
    Handshake::new(Connection::dialled(Arc::new(stream), limit))
}

#[test]
fn what_is_left_over_comes_first_and_nothing_is_lost() {
    let (mut peer, ours) = sockets();
    peer.write_all(b"HELLOleft over").unwrap();
    let mut handshake = negotiate(ours, PATIENCE);
    assert_eq!(handshake.u8().unwrap(), b'H');
    assert_eq!(handshake.array::<2>().unwrap(), *b"EL");
    assert_eq!(Handshake::bytes(&mut handshake, 2).unwrap(), b"LO");
    assert_eq!(handshake.buffered(), b"left over");
    handshake.write_all(b"welcome").unwrap();
    peer.read_exact(&mut [0; 7]).unwrap();
    let Link {
        mut reader,
        mut writer,
    } = handshake.finish(None);
    peer.write_all(b", and more").unwrap();
    drop(peer);
    let received = receive(&mut reader);
    assert_eq!(received.data, b"left over, and more");
    assert!(received.end.is_ok());
    assert!(writer.close().is_ok());
}

#[test]
fn without_anything_left_over_the_link_waits() {
    let (mut peer, ours) = sockets();
    peer.write_all(b"HELLO").unwrap();
    let mut handshake = negotiate(ours, PATIENCE);
    handshake.array::<5>().unwrap();
    let mut link = handshake.finish(None);
    let read = link.reader.read_timeout(Duration::from_millis(1));
    assert!(matches!(read, Err(LinkError::TimedOut)), "{read:?}");
}

#[test]
fn more_than_the_buffer_is_read_by_lines_and_blocks() {
    let (mut peer, ours) = sockets();
    let mut sent = vec![b'a'; 1_500];
    sent.push(b'\n');
    sent.extend(vec![b'b'; 2_400]);
    let copy = sent.clone();
    let sending = Job::start("greets", move || {
        peer.write_all(&copy).unwrap();
        peer
    });
    let mut handshake = negotiate(ours, PATIENCE);
    let mut line = Vec::new();
    handshake.read_until(b'\n', &mut line).unwrap();
    let mut block = vec![0; 2_400];
    handshake.read_exact(&mut block).unwrap();
    line.extend(block);
    assert_eq!(line, sent);
    sending.finish("the peer");
}

#[test]
fn a_silent_peer_is_given_up_at_the_deadline() {
    let (_peer, ours) = sockets();
    let mut handshake = negotiate(ours, SHORT);
    let error = handshake.u8().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// Bytes that trickle in do not move the deadline.
#[test]
fn a_slow_peer_is_given_up_at_the_deadline() {
    let (mut peer, ours) = sockets();
    peer.write_all(b"x").unwrap();
    let (_stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let trickling = Job::start("trickles", move || {
        let pause = Duration::from_millis(2);
        let goes_on = || stopped.recv_timeout(pause).is_err_and(|e| e.is_timeout());
        while goes_on() && peer.write_all(b"x").is_ok() {}
    });
    let mut handshake = negotiate(ours, SHORT);
    let mut endless = vec![0; 1 << 20];
    let error = handshake.read_exact(&mut endless).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(endless[0] == b'x', "something did arrive");
    drop(_stop);
    trickling.finish("the peer");
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_at_the_deadline() {
    let (_peer, ours) = sockets();
    let mut handshake = negotiate(ours, SHORT);
    let error = handshake.write_all(&vec![0; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn the_deadline_is_lifted_when_the_negotiation_is_over() {
    let (mut peer, ours) = sockets();
    let handshake = negotiate(ours, SHORT);
    let Link {
        mut reader,
        mut writer,
    } = handshake.finish(None);
    let past = reader.read_timeout(2 * SHORT);
    assert!(matches!(past, Err(LinkError::TimedOut)), "{past:?}");
    let waiting = Job::start("past-deadline", move || {
        reader.read().map(|buf| buf.map(|b| b.len()))
    });
    wait_until_asleep("past-deadline", 1);
    peer.write_all(b"late").unwrap();
    assert!(matches!(waiting.finish("read"), Ok(Some(4))));
    send(&mut writer, b"fine").unwrap();
    writer.close().unwrap();
    assert_eq!(receive_bare(&mut peer), (4, None));
}

#[test]
fn the_peers_end_and_reset_are_told_apart() {
    let (peer, ours) = sockets();
    drop(peer);
    let mut handshake = negotiate(ours, PATIENCE);
    let error = handshake.u8().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

    let (peer, ours) = sockets();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let mut handshake = negotiate(ours, PATIENCE);
    let error = handshake.u8().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Before that its end is one; after it data may be missing.
#[test]
fn dropping_a_connection_is_a_reset_only_once_it_is_negotiated() {
    let (mut peer, ours) = sockets();
    drop(negotiate(ours, PATIENCE));
    assert_eq!(receive_bare(&mut peer), (0, None));

    let (mut peer, ours) = sockets();
    drop(negotiate(ours, PATIENCE).finish(None));
    let reset = Some(ErrorKind::ConnectionReset);
    assert_eq!(receive_bare(&mut peer), (0, reset));
}

/// Delivers and takes every byte with its bits turned over.
struct Turned<T>(T);

fn turn(buf: &Buf) -> Buf {
    let turned: Vec<u8> = buf.as_slice().iter().map(|byte| !byte).collect();
    Buf::copy_of(&turned)
}

impl<R: Reader> Reader for Turned<R> {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        Ok(self.0.read()?.as_ref().map(turn))
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        Ok(self.0.read_timeout(wait)?.as_ref().map(turn))
    }

    fn handle(&self) -> Handle {
        self.0.handle()
    }
}

impl<W: Writer> Writer for Turned<W> {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let mut turned = batch.drain(..).map(|buf| turn(&buf)).collect();
        self.0.write(&mut turned)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.0.close()
    }

    fn abort(&mut self) {
        self.0.abort();
    }

    fn handle(&self) -> Handle {
        self.0.handle()
    }
}

#[test]
fn a_layer_is_under_the_negotiation_and_the_link() {
    let (mut peer, ours) = sockets();
    peer.write_all(&b"HELLOleft over".map(|byte| !byte))
        .unwrap();
    let connection = Connection::dialled(Arc::new(ours), PATIENCE);
    let deadline = connection.deadline();
    let connection = connection.layered(|link, until| {
        assert_eq!(until, deadline);
        Ok(Link::new(Turned(link.reader), Turned(link.writer)))
    });
    let mut handshake = Handshake::new(connection.unwrap());
    assert_eq!(handshake.array::<5>().unwrap(), *b"HELLO");
    handshake.write_all(b"welcome").unwrap();
    let mut link = handshake.finish(None);
    send(link.writer.as_mut(), b", and more").unwrap();
    link.writer.close().unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    let heard: Vec<u8> = heard.iter().map(|byte| !byte).collect();
    assert_eq!(heard, b"welcome, and more");
    drop(peer);
    assert_eq!(receive(link.reader.as_mut()).data, b"left over");
}

/// The deadline holds for what layers write, too, and not for the link.
#[test]
fn a_link_waits_past_the_deadline_to_write() {
    let (mut peer, ours) = sockets();
    let mut link = negotiate(ours, SHORT).finish(None);
    let sending = Job::start("past-sending", move || {
        let sent = send(link.writer.as_mut(), &vec![0; 16 << 20]);
        sent.and_then(|()| link.writer.close())
    });
    wait_until_asleep("past-sending", 1);
    std::thread::sleep(2 * SHORT); // it is not the end that is waited for
    assert_eq!(receive_bare(&mut peer), (16 << 20, None));
    sending.finish("the writer").unwrap();
}
