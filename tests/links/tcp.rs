//! A socket's two halves, against a bare socket on the other side.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use muxcool::buf::Buf;
use muxcool::limits::{BUFFER_CLASSES, HEADROOM};
use muxcool::link::{LinkError, Reader, Writer};
use muxcool::transport::tcp::{TcpReader, TcpWriter, split};
use socket2::SockRef;

use crate::ends::{Job, content, drain, flood, receive, receive_bare, send, sockets};
use crate::tasks::{wait_until, wait_until_asleep};

const ROUNDS: usize = 60;

fn halves() -> (TcpStream, TcpReader, TcpWriter) {
    let (peer, ours) = sockets();
    let (reader, writer) = split(Arc::new(ours), None);
    (peer, reader, writer)
}

fn end_with_rst(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn a_close_arrives_behind_the_data_and_reading_goes_on() {
    let (mut peer, mut reader, mut writer) = halves();
    send(&mut writer, b"all of it").unwrap();
    writer.close().unwrap();
    assert!(matches!(send(&mut writer, b"more"), Err(LinkError::Closed)));
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "all of it");
    peer.write_all(b"answer").unwrap();
    drop(peer);
    let received = receive(&mut reader);
    assert_eq!(received.data, b"answer");
    assert!(received.end.is_ok());
}

#[test]
fn an_abort_is_a_reset_at_the_peer_although_a_reader_waits() {
    let aborts: [fn(TcpWriter); 3] = [
        |mut writer| writer.abort(),
        |writer| writer.handle().interrupt(),
        drop,
    ];
    for abort in aborts {
        let (mut peer, mut reader, writer) = halves();
        let waiting = Job::start("aborted-read", move || (reader.read(), reader));
        wait_until_asleep("aborted-read", 1);
        abort(writer);
        let (read, _reader) = waiting.finish("read");
        assert!(matches!(read, Err(LinkError::Reset)), "{read:?}");
        // At once, not when the last half is dropped.
        assert_eq!(
            receive_bare(&mut peer),
            (0, Some(ErrorKind::ConnectionReset))
        );
    }
}

#[test]
fn an_abort_after_the_close_counts() {
    let (mut peer, _reader, mut writer) = halves();
    writer.close().unwrap();
    writer.abort();
    let mut byte = [0];
    // The end was on its way before; what follows it tells.
    wait_until("the reset", || peer.write_all(b"x").is_err());
    let _ = peer.read(&mut byte);
    assert!(matches!(send(&mut writer, b"x"), Err(LinkError::Closed)));
}

/// The peer does not read, so the writer is stuck when another thread aborts.
#[test]
fn an_abort_wakes_a_stuck_writer_and_the_peer_sees_no_end() {
    for half_closed in [false, true] {
        for round in 0..ROUNDS {
            let (mut peer, _reader, mut writer) = halves();
            if half_closed {
                peer.shutdown(Shutdown::Write).unwrap();
            }
            let handle = writer.handle();
            let stuck = Job::start("stuck-send", move || flood(&mut writer));
            if round % 2 == 0 {
                wait_until_asleep("stuck-send", 1);
            }
            handle.interrupt();
            let error = stuck.finish("the stuck writer");
            assert!(matches!(error, LinkError::Reset), "{error:?}");
            let (_, end) = receive_bare(&mut peer);
            assert_eq!(end, Some(ErrorKind::ConnectionReset), "round {round}");
        }
    }
}

/// The system reports a reset to one of the two halves only.
#[test]
fn the_peers_reset_is_an_error_to_both_halves_whoever_is_told_first() {
    for round in 0..4 * ROUNDS {
        let (peer, mut reader, mut writer) = halves();
        let writing = Job::start("told-writer", move || flood(&mut writer));
        let reading = Job::start("told-reader", move || drain(&mut reader));
        if round % 2 == 0 {
            std::thread::yield_now();
        }
        end_with_rst(peer);
        let error = writing.finish("writer");
        assert!(
            !matches!(error, LinkError::TimedOut | LinkError::WouldBlock),
            "{error:?}"
        );
        let end = reading.finish("reader");
        assert!(end.is_err(), "round {round}: a clean end");
    }
}

#[test]
fn a_timed_read_leaves_the_link_usable() {
    let (mut peer, mut reader, mut writer) = halves();
    for wait in [Duration::ZERO, Duration::from_millis(5)] {
        let read = reader.read_timeout(wait);
        assert!(matches!(read, Err(LinkError::TimedOut)), "{read:?}");
    }
    peer.write_all(b"late").unwrap();
    let long = Duration::from_secs(10);
    let read = reader.read_timeout(long).unwrap().unwrap();
    assert_eq!(read.as_slice(), b"late");
    let waiting = Job::start("untimed-read", move || {
        (reader.read().map(|buf| buf.map(|buf| buf.len())), reader)
    });
    wait_until_asleep("untimed-read", 1);
    peer.write_all(b"later").unwrap();
    let (read, mut reader) = waiting.finish("a read without a bound");
    assert!(matches!(read, Ok(Some(5))), "{read:?}");
    send(&mut writer, b"still").unwrap();
    peer.read_exact(&mut [0; 5]).unwrap();
    drop(peer);
    assert!(matches!(reader.read_timeout(long), Ok(None)));
}

/// Otherwise a reader whose peer is faster than we are could not be stopped.
#[test]
fn an_interrupted_reader_fails_although_data_keeps_coming() {
    let (peer, mut reader, _writer) = halves();
    let (_, mut flooding) = split(Arc::new(peer), None);
    let source = Job::start("floods", move || flood(&mut flooding));
    reader.read().unwrap();
    reader.handle().interrupt();
    let read = reader.read();
    assert!(matches!(read, Err(LinkError::Reset)), "{read:?}");
    assert!(matches!(reader.read(), Err(LinkError::Reset)));
    drop((reader, _writer));
    source.finish("the source");
}

#[test]
fn reads_of_every_size_deliver_everything() {
    let (peer, mut reader, _writer) = halves();
    let data = content(5, 3_000_000);
    let sent = data.clone();
    let (peer_reader, mut peer_writer) = split(Arc::new(peer), None);
    let sending = Job::start("sends-all", move || {
        send(&mut peer_writer, &sent).unwrap();
        peer_writer.close().unwrap();
    });
    let mut received = Vec::new();
    let mut footprints = Vec::new();
    while let Some(buf) = reader.read().unwrap() {
        received.extend_from_slice(buf.as_slice());
        footprints.push(buf.footprint() - HEADROOM);
    }
    sending.finish("the sender");
    assert!(received == data);
    assert_eq!(footprints[0], BUFFER_CLASSES[1], "the first is small");
    assert_eq!(footprints.iter().max(), BUFFER_CLASSES.last());
    drop(peer_reader);
}

/// An idle connection pins a small buffer, also after a busy time.
#[test]
fn a_reader_that_waits_asks_for_little() {
    let (mut peer, mut reader, _writer) = halves();
    peer.write_all(&content(6, 200_000)).unwrap();
    let mut left = 200_000;
    let mut largest = 0;
    while left > 0 {
        let buf = reader.read().unwrap().unwrap();
        left -= buf.len();
        largest = largest.max(buf.footprint());
    }
    assert!(largest > BUFFER_CLASSES[1] + HEADROOM, "never grew");
    // After a busy time it waits without a buffer, and then with a small one.
    peer.write_all(b"x").unwrap();
    assert_eq!(reader.read().unwrap().unwrap().len(), 1);
    let waiting = Job::start("waits-small", move || reader.read());
    wait_until_asleep("waits-small", 1);
    peer.write_all(b"x").unwrap();
    let buf = waiting.finish("read").unwrap().unwrap();
    assert_eq!(buf.footprint(), BUFFER_CLASSES[1] + HEADROOM);
}

#[test]
fn what_was_read_too_much_comes_first() {
    let (mut peer, mut reader, _writer) = halves();
    reader.unread(b"early ");
    peer.write_all(b"rest").unwrap();
    drop(peer);
    let received = receive(&mut reader);
    assert_eq!(received.data, b"early rest");
}

#[test]
fn a_batch_of_many_buffers_arrives_in_order() {
    let (mut peer, _reader, mut writer) = halves();
    let mut batch: VecDeque<Buf> = (0..=255_u8)
        .map(|i| Buf::copy_of(&vec![i; usize::from(i)]))
        .collect();
    let expected: Vec<u8> = batch.iter().flat_map(|b| b.as_slice().to_vec()).collect();
    let writing = Job::start("writes-batch", move || {
        let written = writer.write(&mut batch).map(|()| batch.len());
        writer.close().unwrap();
        written
    });
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, expected);
    assert!(matches!(writing.finish("batch"), Ok(0)));
}

#[test]
fn writing_without_waiting_stops_at_a_full_socket_and_goes_on_later() {
    let (mut peer, _reader, mut writer) = halves();
    let block = content(7, 10_000);
    let mut accepted = 0;
    let full = loop {
        match writer.try_write(&block) {
            Ok(len) => accepted += len,
            Err(e) => break e,
        }
    };
    assert!(matches!(full, LinkError::WouldBlock), "{full:?}");
    peer.read_exact(&mut vec![0; accepted]).unwrap();
    wait_until("room", || writer.try_write(b"x").is_ok());
    writer.close().unwrap();
    assert!(matches!(writer.try_write(b"x"), Err(LinkError::Closed)));
    assert_eq!(receive_bare(&mut peer), (1, None));
}
