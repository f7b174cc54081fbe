//! Sessions as streams shaped like `TcpStream`, on both ends of a carrier, and
//! `MuxServer` that accepts them.

#[allow(dead_code)]
mod mux_support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use muxcool::limits::{ACCEPT_BACKLOG, FRAME_PAYLOAD, PARKED_PER_SESSION};
use muxcool::mux::{ClientOptions, ClientWorker, MuxError, MuxServer, MuxStream};
use muxcool::net::Destination;

use mux_support::frames::{Frame, KEEP, Script};
use mux_support::rig::Client;
use mux_support::scene::{no_mux_threads, scene};
use mux_support::tasks::{PATIENCE, wait_until, wait_until_asleep};
use mux_support::wire::{End, Pieces, Spec, wire};
use mux_support::{keyed, tcp, udp};

/// Both ends of a carrier.
struct Carrier {
    client: ClientWorker,
    server: MuxServer,
}

impl Carrier {
    fn new() -> Self {
        Self::with(Spec::default())
    }

    fn with(spec: Spec) -> Self {
        let wire = wire(spec);
        Self {
            client: ClientWorker::new(wire.near, ClientOptions::default()).unwrap(),
            server: MuxServer::new(wire.far).unwrap(),
        }
    }

    /// A session: its client's and its server's stream.
    fn session(&self, target: Destination) -> (MuxStream, MuxStream) {
        let near = self.client.open(target.clone()).unwrap();
        let (wanted, far) = self.server.accept().unwrap();
        assert_eq!(wanted, target);
        assert_eq!((far.peer(), near.peer()), (&target, &target));
        assert_eq!(far.id(), near.id());
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        (near, far)
    }

    fn close(self) {
        self.client.close();
        self.server.worker().close();
    }
}

fn read_exact(mut stream: &MuxStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn read_to_end(mut stream: &MuxStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

fn read_error(mut stream: &MuxStream) -> ErrorKind {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_err().kind()
}

/// Writes until it fails: the other side's word takes its time.
fn write_error(mut stream: &MuxStream) -> ErrorKind {
    let mut kind = None;
    wait_until("writing fails", || {
        kind = stream.write(b"x").err().map(|e| e.kind());
        kind.is_some()
    });
    kind.unwrap()
}

#[test]
fn bytes_go_both_ways() {
    let _scene = scene();
    let carrier = Carrier::with(Spec {
        capacity: 10_000,
        pieces: Pieces::Random { seed: 3, max: 999 },
    });
    let (near, far) = carrier.session(tcp());
    const AMOUNT: usize = 400_000;
    std::thread::scope(|scope| {
        for (stream, key) in [(&near, 1), (&far, 2)] {
            scope.spawn(move || {
                let mut writer = stream;
                writer.write_all(&keyed(key, 0, AMOUNT)).unwrap();
                writer.flush().unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || assert!(read_to_end(stream) == keyed(3 - key, 0, AMOUNT)));
        }
    });
    wait_until("both have forgotten it", || {
        carrier.client.active_connections() + carrier.server.worker().active_connections() == 0
    });
    carrier.close();
}

#[test]
fn each_side_may_end_first_and_still_receive() {
    let _scene = scene();
    let carrier = Carrier::new();
    for client_first in [true, false] {
        let (near, far) = carrier.session(tcp());
        let (first, second) = if client_first {
            (&near, &far)
        } else {
            (&far, &near)
        };
        (&mut &*first).write_all(b"all I have").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(second), b"all I have");
        let mut reader = second;
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0, "the end stays");
        for n in 0..50 {
            (&mut &*second).write_all(&keyed(n, 0, 5000)).unwrap();
        }
        second.shutdown(Shutdown::Write).unwrap();
        let answer: Vec<u8> = (0..50).flat_map(|n| keyed(n, 0, 5000)).collect();
        assert!(read_to_end(first) == answer);
        for stream in [first, second] {
            assert_eq!(write_error(stream), ErrorKind::BrokenPipe);
            stream
                .shutdown(Shutdown::Write)
                .expect("again does nothing");
        }
    }
    carrier.close();
}

#[test]
fn the_ways_to_end_can_be_told_apart() {
    let _scene = scene();
    let mut client = Client::new();
    let open = |client: &Client| {
        let stream = client.worker.open(tcp()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };

    // The peer ended its direction: the end once all is read; writing goes on.
    let ended = open(&client);
    client.script.send(Frame::keep(ended.id(), b"last words"));
    client.script.send(Frame::end(ended.id(), false));
    assert_eq!(read_to_end(&ended), b"last words");
    (&ended).write_all(b"still here").unwrap();

    // This side ended its own: reading goes on, writing is a broken pipe.
    let own = open(&client);
    own.shutdown(Shutdown::Write).unwrap();
    client.script.send(Frame::keep(own.id(), b"answer"));
    assert_eq!(read_exact(&own, 6), b"answer");
    assert_eq!(
        (&own).write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );

    // The peer reset the session.
    let reset = open(&client);
    client.script.send(Frame::end(reset.id(), true));
    assert_eq!(read_error(&reset), ErrorKind::ConnectionReset);
    assert_eq!(write_error(&reset), ErrorKind::ConnectionReset);
    let shut = reset.shutdown(Shutdown::Write).unwrap_err();
    assert_eq!(shut.kind(), ErrorKind::ConnectionReset);

    // The carrier was lost, whatever state they were in.
    let lost = open(&client);
    client.script.carrier.close();
    assert!(client.worker.wait_closed(Some(PATIENCE)));
    assert_eq!(read_error(&lost), ErrorKind::ConnectionAborted);
    assert_eq!(write_error(&lost), ErrorKind::ConnectionAborted);
    assert_eq!(read_error(&own), ErrorKind::ConnectionAborted);
    assert_eq!(write_error(&ended), ErrorKind::ConnectionAborted);
    // What was told before stays true.
    assert_eq!(read_to_end(&ended), b"");
    assert_eq!(read_error(&reset), ErrorKind::ConnectionReset);
    client.worker.close();
}

#[test]
fn reads_time_out_and_the_stream_stays_usable() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    near.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    assert_eq!(near.read_timeout(), Some(Duration::from_millis(5)));
    let mut reader = &near;
    let timed_out = reader.read(&mut [0; 9]).unwrap_err();
    assert_eq!(timed_out.kind(), ErrorKind::TimedOut);
    let zero = near.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    (&far).write_all(b"now").unwrap();
    assert_eq!(read_exact(&near, 3), b"now");
    carrier.close();
}

#[test]
fn a_stream_with_all_the_time_waits_for_what_comes() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(Duration::MAX)).unwrap();
        stream.set_write_timeout(Some(Duration::MAX)).unwrap();
    }
    let data = keyed(1, 0, PARKED_PER_SESSION + 1024 * 1024);
    let len = data.len();
    let builder = std::thread::Builder::new().name("writes-for-ever".into());
    let writing = builder.spawn(move || {
        (&near).write_all(&data).unwrap();
        (near, data)
    });
    wait_until_asleep("writes-for-ever", 1);
    let read = read_exact(&far, len);
    let (near, data) = writing.unwrap().join().unwrap();
    assert!(read == data);
    let builder = std::thread::Builder::new().name("reads-for-ever".into());
    let reading = builder.spawn(move || read_exact(&near, 4));
    wait_until_asleep("reads-for-ever", 1);
    (&far).write_all(b"late").unwrap();
    assert_eq!(reading.unwrap().join().unwrap(), b"late");
    carrier.close();
}

#[test]
fn writes_time_out_when_the_carrier_stands_still() {
    let _scene = scene();
    let wire = wire(Spec {
        capacity: 4096,
        ..Spec::default()
    });
    let to_far = wire.to_far.clone();
    to_far.stall();
    let mut script = Script::on(wire.far);
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let stream = client.open(tcp()).unwrap();
    let limit = Some(Duration::from_millis(20));
    stream.set_write_timeout(limit).unwrap();
    assert_eq!(stream.write_timeout(), limit);
    let data = keyed(1, 0, 4 * 1024 * 1024);
    let mut written = 0;
    let kind = loop {
        match (&stream).write(&data[written..]) {
            Ok(len) => written += len,
            Err(e) => break e.kind(),
        }
    };
    assert_eq!(kind, ErrorKind::TimedOut);
    // What was taken arrives, and the stream is usable.
    to_far.resume();
    stream.set_write_timeout(None).unwrap();
    let reader = std::thread::spawn(move || {
        assert_eq!(script.frame(), Frame::open(1, &tcp(), None));
        let mut bytes: Vec<u8> = Vec::new();
        loop {
            match script.frame() {
                frame if frame.status == KEEP => bytes.extend(frame.payload()),
                frame => {
                    assert_eq!(frame, Frame::end(1, false));
                    return (bytes, script);
                }
            }
        }
    });
    (&stream).write_all(b"after it").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, script) = reader.join().unwrap();
    let (first, last) = bytes.split_at(bytes.len() - 8);
    assert!(first == &data[..written] && last == b"after it");
    drop(script);
    client.close();
}

#[test]
fn clones_share_one_session() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    let clone = near.try_clone().unwrap();
    clone.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    assert_eq!(near.read_timeout(), Some(PATIENCE / 2));
    let reader = std::thread::spawn(move || read_exact(&clone, 5)); // drops the clone
    (&near).write_all(b"ping").unwrap();
    assert_eq!(read_exact(&far, 4), b"ping");
    (&far).write_all(b"pong!").unwrap();
    assert_eq!(reader.join().unwrap(), b"pong!");
    // The session lives as long as one of them does.
    (&near).write_all(b"more").unwrap();
    assert_eq!(read_exact(&far, 4), b"more");
    drop(near);
    assert_eq!(read_to_end(&far), b"");
    carrier.close();
}

#[test]
fn a_blocked_read_is_woken_by_shutdown_and_by_the_carriers_end() {
    let _scene = scene();
    for how in 0..3 {
        let carrier = Carrier::new();
        let (near, far) = carrier.session(tcp());
        near.set_read_timeout(None).unwrap();
        let clone = near.try_clone().unwrap();
        let reader = std::thread::Builder::new()
            .name("reads".into())
            .spawn(move || (&clone).read(&mut [0; 9]).map_err(|e| e.kind()))
            .unwrap();
        wait_until_asleep("reads", 1);
        let expected = match how {
            0 => {
                near.shutdown(Shutdown::Read).unwrap();
                Ok(0)
            }
            1 => {
                carrier.client.close();
                Err(ErrorKind::ConnectionAborted)
            }
            _ => {
                carrier.server.worker().close();
                Err(ErrorKind::ConnectionAborted)
            }
        };
        assert_eq!(reader.join().unwrap(), expected);
        drop(far);
        carrier.close();
    }
}

#[test]
fn after_shutdown_of_reading_the_session_lives_on() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    near.shutdown(Shutdown::Read).unwrap();
    // More than all buffers on the way: nobody reads it, nobody is held up.
    let chunk = [7; 64 * 1024];
    for _ in 0..4 * PARKED_PER_SESSION / chunk.len() {
        (&far).write_all(&chunk).unwrap();
    }
    assert_eq!((&near).read(&mut [0; 9]).unwrap(), 0);
    (&near).write_all(b"I only talk").unwrap();
    assert_eq!(read_exact(&far, 11), b"I only talk");
    assert_eq!(carrier.client.active_connections(), 1);
    far.shutdown(Shutdown::Write).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&far), b"");
    wait_until("both have forgotten it", || {
        carrier.client.active_connections() + carrier.server.worker().active_connections() == 0
    });
    carrier.close();
}

#[test]
fn a_peer_that_sends_to_nobody_is_told_so() {
    let _scene = scene();
    let carrier = Carrier::new();
    for shut in [None, Some(Shutdown::Read), Some(Shutdown::Both)] {
        let (near, far) = carrier.session(tcp());
        if let Some(how) = shut {
            near.shutdown(how).unwrap();
        }
        drop(near);
        assert_eq!(write_error(&far), ErrorKind::ConnectionReset, "{shut:?}");
    }
    carrier.close();
}

#[test]
fn dropping_delivers_what_was_written() {
    let _scene = scene();
    let carrier = Carrier::new();
    let sent = keyed(1, 0, 300_000);
    let (near, far) = carrier.session(tcp());
    let reader = std::thread::spawn(move || read_to_end(&far));
    (&near).write_all(&sent).unwrap();
    drop(near);
    assert!(reader.join().unwrap() == sent);
    carrier.close();
}

#[test]
fn an_aborted_stream_is_reset_for_the_peer_and_no_other_is() {
    let _scene = scene();
    let carrier = Carrier::new();
    let other = carrier.session(tcp());
    for is_ours in [true, false] {
        let (near, far) = carrier.session(tcp());
        let (ours, theirs) = if is_ours { (near, far) } else { (far, near) };
        let clone = ours.try_clone().unwrap();
        let reader = std::thread::spawn(move || read_error(&clone));
        (&ours).write_all(b"half of it").unwrap();
        ours.abort();
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionAborted);
        assert_eq!(write_error(&ours), ErrorKind::ConnectionAborted);
        let end = (&theirs).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        assert_eq!(write_error(&theirs), ErrorKind::ConnectionReset);
    }
    (&other.0).write_all(b"unhurt").unwrap();
    assert_eq!(read_exact(&other.1, 6), b"unhurt");
    carrier.close();
}

#[test]
fn closing_a_client_lets_what_was_written_leave() {
    let _scene = scene();
    let mut client = Client::new();
    let stream = client.worker.open(tcp()).unwrap();
    (&stream).write_all(b"queued").unwrap();
    drop(stream);
    client.worker.close();
    client.script.expect(Frame::open(1, &tcp(), None));
    client.script.expect(Frame::keep(1, b"queued"));
    client.script.expect(Frame::end(1, false));
    assert_eq!(client.script.carrier.read_to_end(), b"");
}

#[test]
fn datagrams_keep_their_bounds() {
    let _scene = scene();
    let carrier = Carrier::with(Spec {
        pieces: Pieces::Of(700),
        ..Spec::default()
    });
    let (near, far) = carrier.session(udp());
    for (from, to) in [(&near, &far), (&far, &near)] {
        for size in [0, 1, 1200, 2048] {
            from.send(&keyed(size as u64, 0, size)).unwrap();
            let datagram = to.recv().unwrap().expect("a datagram");
            assert_eq!(datagram.as_slice(), keyed(size as u64, 0, size));
        }
        // More than a frame holds, and so more than any peer takes.
        from.send(&[9; 65_536]).unwrap();
        assert_eq!((&mut &*from).write(b"after it").unwrap(), 8);
        // Like a socket's, a datagram is cut to the reader's buffer.
        let mut short = [0; 5];
        assert_eq!((&mut &*to).read(&mut short).unwrap(), 5);
        assert_eq!(&short, b"after");
        from.send(b"next").unwrap();
        assert_eq!(to.recv().unwrap().expect("a datagram").as_slice(), b"next");
    }
    // There is no half-close: one side's end is the session's.
    near.shutdown(Shutdown::Write).unwrap();
    assert!(far.recv().unwrap().is_none());
    assert_eq!(write_error(&far), ErrorKind::BrokenPipe);
    assert!(near.recv().unwrap().is_none());
    carrier.close();
}

#[test]
fn a_stream_sends_pieces_of_any_size() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    let sizes = [
        0,
        1,
        FRAME_PAYLOAD - 1,
        FRAME_PAYLOAD,
        FRAME_PAYLOAD + 1,
        200_000,
    ];
    for size in sizes {
        let data = keyed(size as u64, 0, size);
        near.send(&data).unwrap();
        assert!(read_exact(&far, size) == data, "{size}");
    }
    let mut reader = &far;
    assert_eq!(reader.read(&mut []).unwrap(), 0, "no end, just no room");
    (&near).write_all(b"abc").unwrap();
    assert_eq!(read_exact(&far, 1), b"a");
    assert_eq!(far.recv().unwrap().unwrap().as_slice(), b"bc", "the rest");
    carrier.close();
}

#[test]
fn the_backlog_is_bounded() {
    let _scene = scene();
    let carrier = Carrier::new();
    let streams: Vec<MuxStream> = (0..ACCEPT_BACKLOG + 3)
        .map(|_| carrier.client.open(tcp()).unwrap())
        .collect();
    for refused in &streams[ACCEPT_BACKLOG..] {
        refused.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_error(refused), ErrorKind::ConnectionReset);
    }
    let accepted: Vec<MuxStream> = (0..ACCEPT_BACKLOG)
        .map(|_| carrier.server.accept().unwrap().1)
        .collect();
    for (near, far) in streams.iter().zip(&accepted) {
        assert_eq!(
            near.id(),
            far.id(),
            "in the order in which they were opened"
        );
    }
    let (mut last, _far) = carrier.session(tcp());
    last.write_all(b"room again").unwrap();
    carrier.close();
}

#[test]
fn accept_hands_out_what_had_come_before_the_carriers_end() {
    let _scene = scene();
    // Often, for a fair choice between two ready channels would hide it.
    for _ in 0..30 {
        let carrier = Carrier::new();
        let streams = [0; 3].map(|_| carrier.client.open(tcp()).unwrap());
        wait_until("they have come", || {
            carrier.server.worker().active_connections() == 3
        });
        carrier.client.close();
        assert!(carrier.server.worker().wait_closed(Some(PATIENCE)));
        for stream in &streams {
            assert_eq!(carrier.server.accept().unwrap().1.id(), stream.id());
        }
        let over = carrier.server.accept().unwrap_err();
        assert!(matches!(over, MuxError::Closed));
        carrier.close();
    }
}

#[test]
fn accept_tells_an_orderly_end_from_a_lost_carrier() {
    let _scene = scene();
    let closed_here = Carrier::new();
    closed_here.server.worker().close();
    let over = closed_here.server.accept().unwrap_err();
    assert!(matches!(over, MuxError::Closed));
    closed_here.close();
    for (end, in_order) in [(End::Orderly, true), (End::Broken, false)] {
        let wire = wire(Spec::default());
        let server = MuxServer::new(wire.far).unwrap();
        wire.to_far.cut_after(0, end);
        let over = server.accept_timeout(PATIENCE).unwrap_err();
        let as_told = match in_order {
            true => matches!(over, MuxError::Closed),
            false => matches!(over, MuxError::CarrierLost),
        };
        assert!(as_told, "{end:?}: {over:?}");
        server.worker().close();
        let again = server.accept().unwrap_err();
        assert_eq!(
            again.to_string(),
            over.to_string(),
            "the first cause is kept"
        );
    }
}

#[test]
fn accept_can_be_bounded_in_time() {
    let _scene = scene();
    let carrier = Carrier::new();
    let none = |limit| match carrier.server.accept_timeout(limit) {
        Err(e) => e,
        Ok((target, _)) => panic!("a session to {target}"),
    };
    assert!(matches!(none(Duration::ZERO), MuxError::TimedOut));
    assert!(matches!(none(Duration::from_millis(1)), MuxError::TimedOut));
    let near = carrier.client.open(tcp()).unwrap();
    let (_, far) = carrier.server.accept_timeout(Duration::MAX).unwrap();
    assert_eq!(far.id(), near.id());
    // Often, for a fair choice between two ready channels would hide it.
    for open in 2..32 {
        let near = carrier.client.open(udp()).unwrap();
        wait_until("it has come", || {
            carrier.server.worker().stats().total == open
        });
        carrier.client.ping(PATIENCE).unwrap(); // its reader has gone on
        let (target, far) = carrier.server.accept_timeout(Duration::ZERO).unwrap();
        assert_eq!((target, far.id()), (udp(), near.id()));
    }
    carrier.client.close();
    assert!(carrier.server.worker().wait_closed(Some(PATIENCE)));
    assert!(matches!(none(Duration::ZERO), MuxError::Closed));
    carrier.close();
}

#[test]
fn a_blocked_accept_is_woken_by_the_carriers_end() {
    let _scene = scene();
    let Carrier { client, server } = Carrier::new();
    let accepting = std::thread::Builder::new()
        .name("accepts".into())
        .spawn(move || (server.accept().map(|_| ()), server))
        .unwrap();
    wait_until_asleep("accepts", 1);
    client.close();
    let (accepted, server) = accepting.join().unwrap();
    assert!(matches!(accepted, Err(MuxError::Closed)));
    server.worker().close();
}

#[test]
fn dropping_the_ends_leaves_nothing_behind() {
    let _scene = scene();
    let carrier = Carrier::new();
    let (near, far) = carrier.session(tcp());
    let unaccepted = carrier.client.open(tcp()).unwrap();
    drop(carrier.server);
    assert_eq!(read_error(&near), ErrorKind::ConnectionAborted);
    assert_eq!(read_error(&far), ErrorKind::ConnectionAborted);
    drop(carrier.client);
    no_mux_threads();
    drop(unaccepted);
}
