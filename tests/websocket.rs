//! WebSocket connections on links: the upgrade, frames, pings, and the ends of
//! directions; between two of ours, and with a peer that a test plays.

mod loopback;

use std::collections::VecDeque;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use loopback::{A_WHILE, PATIENCE, read_exactly, read_to_end, write};
use muxcool::buf::Buf;
use muxcool::limits::{END_QUIET, MAX_WS_HEAD};
use muxcool::link::{Handle, Link, LinkError, Nowhere, Reader, Writer, pair};
use muxcool::transport::ws::head::{END_MARK, Refusal, ResponseError, read_request, read_response};
use muxcool::transport::ws::wire::{FrameError, FrameHead, Opcode, head_len, mask, read_head};
use muxcool::transport::ws::{Decoder, Encoder, End, Options, Seen, UpgradeError, accept, connect};
use proptest::collection::vec;
use proptest::prelude::*;

const PIPE: usize = 64 * 1024;

fn by() -> Instant {
    Instant::now() + PATIENCE
}

/// A client and a server of ours.
fn ours(pipe: usize) -> (Link, Link) {
    let (near, far) = pair(pipe);
    let server = thread::spawn(move || accept(far, &Options::default(), by()));
    let client = connect(near, &Options::default(), "example.com", by()).unwrap();
    (client, server.join().unwrap().unwrap())
}

/// A peer that knows RFC 6455 and nothing else, such as V2Ray.
struct Raw {
    link: Link,
    encoder: Encoder,
    decoder: Decoder,
    seen: Seen,
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, upgrade\r\n\
     Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The answer to it in RFC 6455, section 1.3.
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

impl Raw {
    /// As a client of a server of ours.
    fn visits(pipe: usize) -> (Self, Link) {
        let (mut link, far) = pair(pipe);
        let server = thread::spawn(move || accept(far, &Options::default(), by()));
        write(link.writer.as_mut(), REQUEST.as_bytes());
        let response = read_exactly(link.reader.as_mut(), RESPONSE.len());
        assert_eq!(String::from_utf8(response).unwrap(), RESPONSE);
        let raw = Self {
            link,
            encoder: Encoder::client(),
            decoder: Decoder::of_server(false),
            seen: Seen::default(),
        };
        (raw, server.join().unwrap().unwrap())
    }

    /// As [`visits`](Self::visits), as a muxcool.
    fn knows_marks() -> (Self, Link) {
        let (mut link, far) = pair(PIPE);
        let offer = format!("\r\nSec-WebSocket-Extensions: foo, {END_MARK}\r\n\r\n");
        let request = REQUEST.replace("\r\n\r\n", &offer);
        write(link.writer.as_mut(), request.as_bytes());
        let server = accept(far, &Options::default(), by()).unwrap();
        let response = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        let agreed = format!("Sec-WebSocket-Extensions: {END_MARK}\r\n\r\n");
        assert!(response.as_slice().ends_with(agreed.as_bytes()));
        let raw = Self {
            link,
            encoder: Encoder::client(),
            decoder: Decoder::of_server(true),
            seen: Seen::default(),
        };
        (raw, server)
    }

    fn sends(&mut self, opcode: Opcode, payload: &[u8]) {
        let frame = self.encoder.frame(opcode, payload);
        self.link.writer.write(&mut [frame].into()).unwrap();
    }

    /// The next payload; `None` when something else came.
    fn gets(&mut self) -> Option<Vec<u8>> {
        let mut buf = self.link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        self.decoder.decode(&mut buf, &mut self.seen).unwrap();
        (!buf.is_empty()).then(|| buf.as_slice().to_vec())
    }

    fn ignores_marks(&mut self) {
        self.decoder = Decoder::of_server(false);
        self.seen = Seen::default();
    }

    #[track_caller]
    fn hears_nothing(&mut self) {
        let read = self.link.reader.read_timeout(A_WHILE);
        assert!(matches!(read, Err(LinkError::TimedOut)), "{read:?}");
    }

    #[track_caller]
    fn gets_close(&mut self) {
        while self.seen.end.is_none() {
            assert_eq!(self.gets(), None);
        }
        assert_eq!(self.seen.end, Some(End::Close(Some(1000))));
        assert!(self.link.reader.read_timeout(PATIENCE).unwrap().is_none());
    }
}

#[track_caller]
fn ends(reader: &mut dyn Reader) {
    for _ in 0..2 {
        let read = reader.read_timeout(PATIENCE);
        assert!(matches!(read, Ok(None)), "{read:?}");
    }
}

#[track_caller]
fn is_reset(reader: &mut dyn Reader) {
    for _ in 0..2 {
        let read = reader.read_timeout(PATIENCE);
        assert!(matches!(read, Err(LinkError::Reset)), "{read:?}");
    }
}

// ---------------------------------------------------------------------------
// Between two of ours
// ---------------------------------------------------------------------------

#[test]
fn each_direction_ends_by_itself() {
    let (client, server) = ours(PIPE);
    for (mut one, mut other) in [(client, server), {
        let (client, server) = ours(PIPE);
        (server, client)
    }] {
        write(one.writer.as_mut(), b"question");
        one.writer.close().unwrap();
        assert_eq!(read_exactly(other.reader.as_mut(), 8), b"question");
        ends(other.reader.as_mut());
        write(other.writer.as_mut(), b"answer");
        assert_eq!(read_exactly(one.reader.as_mut(), 6), b"answer");
        other.writer.close().unwrap();
        ends(one.reader.as_mut());
        let late = one.writer.write(&mut [Buf::copy_of(b"late")].into());
        assert!(matches!(late, Err(LinkError::Closed)));
    }
}

/// Not before, and whoever is last: what is in between may take the end of one
/// direction of the link below for that of both.
#[test]
fn the_link_below_ends_when_both_directions_have() {
    let (mut raw, mut server) = Raw::knows_marks();
    server.writer.close().unwrap();
    assert_eq!(raw.gets(), None);
    assert_eq!(raw.seen.end, Some(End::Mark));
    raw.hears_nothing();
    raw.sends(Opcode::Binary, b"answer");
    raw.sends(Opcode::Binary, b"");
    assert_eq!(read_exactly(server.reader.as_mut(), 6), b"answer");
    ends(server.reader.as_mut());
    raw.ignores_marks();
    raw.gets_close();

    let (mut raw, mut server) = Raw::knows_marks();
    raw.sends(Opcode::Binary, b"");
    ends(server.reader.as_mut());
    raw.hears_nothing();
    server.writer.close().unwrap();
    raw.ignores_marks();
    raw.gets_close();
}

/// Who has had the end of a direction may leave at once: what is told him after
/// it is lost, and no error of the side whose bytes all came.
#[test]
fn who_leaves_after_the_ends_of_both_directions_is_no_error() {
    let (mut raw, far) = pair(PIPE);
    let offer = format!("\r\nSec-WebSocket-Extensions: {END_MARK}\r\n\r\n");
    let request = REQUEST.replace("\r\n\r\n", &offer);
    write(raw.writer.as_mut(), request.as_bytes());
    let (meet, met) = bounded(0);
    let writer = Box::new(LeavingPeer {
        inner: far.writer,
        met,
    });
    let reader = far.reader;
    let server = accept(Link { reader, writer }, &Options::default(), by());
    let Link {
        mut reader,
        mut writer,
    } = server.unwrap();
    let closing = thread::spawn(move || writer.close());
    meet.send_timeout((), PATIENCE).unwrap();
    let mark = Encoder::client().frame(Opcode::Binary, b"");
    raw.writer.write(&mut [mark].into()).unwrap();
    ends(reader.as_mut());
    meet.send_timeout((), PATIENCE).unwrap();
    drop(meet);
    assert!(matches!(closing.join().unwrap(), Ok(())));
}

/// A link to a peer that reads the answer to its request and one frame, between
/// two meetings with the test, and then is gone.
struct LeavingPeer {
    inner: Box<dyn Writer>,
    met: Receiver<()>,
}

impl LeavingPeer {
    fn meet(&self) -> Result<(), LinkError> {
        let met = self.met.recv_timeout(PATIENCE);
        met.map_err(|_| LinkError::Reset)
    }
}

impl Writer for LeavingPeer {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        let is_frame = batch.front().is_some_and(|buf| buf.as_slice()[0] != b'H');
        if is_frame {
            self.meet()?;
            self.meet()?;
        }
        self.inner.write(batch)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

#[test]
fn bytes_are_equal_both_ways_at_once_through_narrow_pipes() {
    const LEN: usize = 2 * 1024 * 1024;
    let bytes: Vec<u8> = (0..LEN).map(|n| ((n * n) >> 7) as u8).collect();
    let (client, server) = ours(4096);
    thread::scope(|scope| {
        for Link {
            mut reader,
            mut writer,
        } in [client, server]
        {
            let bytes = &bytes;
            scope.spawn(move || {
                let mut sizes = [1, 125, 126, 2048, 65_535, 65_536, 100_000].iter().cycle();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let len = *sizes.next().unwrap();
                    let (now, later) = rest.split_at(len.min(rest.len()));
                    let (a, b) = now.split_at(now.len() / 3);
                    writer
                        .write(&mut [Buf::copy_of(a), Buf::copy_of(b)].into())
                        .unwrap();
                    rest = later;
                }
                writer.close().unwrap();
            });
            scope.spawn(move || {
                let (got, end) = read_to_end(reader.as_mut());
                assert!(end.is_ok() && got == *bytes);
            });
        }
    });
}

/// What is in frames and has not left goes before what comes after it.
#[test]
fn nothing_is_lost_or_overtaken_where_nobody_waits() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|at| (at >> 5) as u8).collect();
    let (mut client, mut server) = ours(1);
    let reading = thread::spawn(move || read_to_end(server.reader.as_mut()));
    let mut stayed_behind = 0;
    for piece in data.chunks(70_000) {
        let mut batch: VecDeque<Buf> = piece.chunks(30_000).map(Buf::copy_of).collect();
        if !client.writer.start_write(&mut batch).unwrap() {
            stayed_behind += 1;
            client.writer.start_write(&mut batch).unwrap();
            client.writer.write(&mut batch).unwrap();
        }
        assert!(batch.is_empty());
    }
    client.writer.close().unwrap();
    let (got, end) = reading.join().unwrap();
    assert!(end.is_ok() && got == data, "other bytes came");
    assert!(stayed_behind > 0);
}

#[test]
fn what_is_aborted_or_dropped_is_no_end() {
    let (mut client, mut server) = ours(PIPE);
    write(client.writer.as_mut(), b"part");
    assert_eq!(read_exactly(server.reader.as_mut(), 4), b"part");
    client.writer.abort();
    is_reset(server.reader.as_mut());

    let (client, mut server) = ours(PIPE);
    drop(client);
    is_reset(server.reader.as_mut());
}

// ---------------------------------------------------------------------------
// With others
// ---------------------------------------------------------------------------

#[test]
fn others_answer_is_not_cut_by_our_end() {
    let (mut raw, mut server) = Raw::visits(PIPE);
    server.writer.close().unwrap();
    raw.hears_nothing();
    raw.sends(Opcode::Binary, b"more");
    assert_eq!(read_exactly(server.reader.as_mut(), 4), b"more");
    raw.hears_nothing();
    raw.sends(Opcode::Close, &[3, 232]);
    ends(server.reader.as_mut());
    raw.gets_close();
}

#[test]
fn others_learn_of_our_end_when_they_are_quiet() {
    let (mut raw, mut server) = Raw::visits(PIPE);
    write(server.writer.as_mut(), b"all");
    let started = Instant::now();
    server.writer.close().unwrap();
    assert_eq!(raw.gets(), Some(b"all".to_vec()));
    raw.gets_close();
    assert!(started.elapsed() > END_QUIET / 2);
    let reading = thread::spawn(move || read_to_end(server.reader.as_mut()));
    raw.sends(Opcode::Close, &[]);
    assert!(matches!(reading.join().unwrap(), (bytes, Ok(())) if bytes.is_empty()));
}

#[test]
fn an_answer_that_is_under_way_is_waited_for() {
    let (mut raw, mut server) = Raw::visits(PIPE);
    raw.sends(Opcode::Close, &[3, 232]);
    ends(server.reader.as_mut());
    write(server.writer.as_mut(), b"answer");
    assert_eq!(raw.gets(), Some(b"answer".to_vec()));
    server.writer.close().unwrap();
    raw.gets_close();
}

#[test]
fn an_end_is_orderly_only_with_a_close_frame_of_a_normal_end() {
    for code in [1001_u16, 1002, 1006, 1011, 4000] {
        let (mut raw, mut server) = Raw::visits(PIPE);
        raw.sends(Opcode::Binary, b"part");
        raw.sends(Opcode::Close, &code.to_be_bytes());
        assert_eq!(read_exactly(server.reader.as_mut(), 4), b"part");
        is_reset(server.reader.as_mut());
    }
    let (mut raw, mut server) = Raw::visits(PIPE);
    raw.sends(Opcode::Binary, b"part");
    raw.link.writer.close().unwrap();
    assert_eq!(read_exactly(server.reader.as_mut(), 4), b"part");
    is_reset(server.reader.as_mut());
}

/// In the same buffer, and in pieces of a byte.
#[test]
fn fragments_text_and_control_frames_are_read() {
    let client = Encoder::client();
    let mut first = client.frame(Opcode::Text, b"a\xff");
    first.as_mut_slice()[0] &= 0x7f;
    let mut middle = client.frame(Opcode::Continuation, b"");
    middle.as_mut_slice()[0] &= 0x7f;
    let frames = [
        first,
        client.frame(Opcode::Pong, b"nobody asked"),
        middle,
        client.frame(Opcode::Continuation, b"b"),
        client.frame(Opcode::Binary, b""),
        client.frame(Opcode::Binary, &[b'c'; 300]),
        client.frame(Opcode::Close, b"\x03\xe8bye"),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(|f| f.as_slice().to_vec()).collect();
    let expected = [&b"a\xffb"[..], &[b'c'; 300]].concat();
    for size in [1, 7, bytes.len()] {
        let (mut raw, mut server) = Raw::visits(PIPE);
        let reading = thread::spawn(move || read_to_end(server.reader.as_mut()));
        for piece in bytes.chunks(size) {
            write(raw.link.writer.as_mut(), piece);
        }
        let (got, end) = reading.join().unwrap();
        assert!(end.is_ok());
        assert_eq!(got, expected);
    }
}

#[test]
fn who_breaks_the_protocol_is_an_error() {
    let plain = Encoder::server();
    let head = |bytes: &[u8]| Buf::copy_of(bytes);
    let breaches = [
        plain.frame(Opcode::Binary, b"not masked"),
        head(&[0xc2, 0x80, 0, 0, 0, 0]),         // a reserved bit
        head(&[0x83, 0x80, 0, 0, 0, 0]),         // an unknown opcode
        head(&[0x80, 0x80, 0, 0, 0, 0]),         // goes on with nothing
        head(&[0x09, 0x80, 0, 0, 0, 0]),         // a ping in pieces
        head(&[0x89, 0xfe, 0, 126, 0, 0, 0, 0]), // a long ping
        head(&[0x88, 0x81, 0, 0, 0, 0, 3]),      // half a code
        head(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), // 2^63 bytes
        head(&[0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0]), // a message in another
    ];
    for breach in breaches {
        let (mut raw, mut server) = Raw::visits(PIPE);
        let shown = format!("{:x?}", breach.as_slice());
        raw.link.writer.write(&mut [breach].into()).unwrap();
        let read = server.reader.read_timeout(PATIENCE);
        assert!(
            matches!(read, Err(LinkError::Protocol(_))),
            "{shown}: {read:?}"
        );
        is_reset(server.reader.as_mut());
    }
}

// ---------------------------------------------------------------------------
// Pings
// ---------------------------------------------------------------------------

#[test]
fn a_ping_is_answered_though_nobody_writes() {
    let (mut raw, mut server) = Raw::visits(PIPE);
    let reading = thread::spawn(move || (server.reader.read_timeout(PATIENCE), server));
    for payload in [&b"are you there"[..], b""] {
        raw.sends(Opcode::Ping, payload);
        let pong = Encoder::server().frame(Opcode::Pong, payload);
        let got = read_exactly(raw.link.reader.as_mut(), pong.len());
        assert_eq!(got, pong.as_slice());
    }
    raw.sends(Opcode::Binary, b"done");
    let (read, _server) = reading.join().unwrap();
    assert_eq!(read.unwrap().unwrap().as_slice(), b"done");
}

/// Who pings without reading the answers holds up nothing that he sends, and
/// of the answers no more waits than the last.
#[test]
fn pings_without_end_do_not_hold_up_the_reader() {
    const PINGS: usize = 10_000;
    let (mut raw, mut server) = Raw::visits(1024);
    let Link { mut reader, writer } = raw.link;
    let mut sender = writer;
    let sending = thread::spawn(move || {
        let client = Encoder::client();
        for n in 0..PINGS {
            let ping = client.frame(Opcode::Ping, &n.to_be_bytes());
            sender.write(&mut [ping].into()).unwrap();
        }
        let data = client.frame(Opcode::Binary, b"at last");
        sender.write(&mut [data].into()).unwrap();
        sender
    });
    assert_eq!(read_exactly(server.reader.as_mut(), 7), b"at last");
    let _sender = sending.join().unwrap();

    let last = Encoder::server().frame(Opcode::Pong, &(PINGS - 1).to_be_bytes());
    let mut pongs = Vec::new();
    while !pongs.ends_with(last.as_slice()) {
        let buf = reader.read_timeout(PATIENCE).unwrap().unwrap();
        pongs.extend_from_slice(buf.as_slice());
    }
    assert!(
        pongs.len() < PINGS / 2 * last.len(),
        "{} bytes",
        pongs.len()
    );
    raw.seen = Seen::default();
}

/// A visitor who asks for WebSocket and says nothing after it but pings, of which
/// the next is always there.
struct Pinging {
    request: Option<Buf>,
    until: Instant,
}

impl Reader for Pinging {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        let ping = || Encoder::client().frame(Opcode::Ping, b"");
        match self.request.take() {
            None => Ok((Instant::now() < self.until).then(ping)),
            request => Ok(request),
        }
    }

    fn read_timeout(&mut self, _wait: Duration) -> Result<Option<Buf>, LinkError> {
        self.read()
    }

    fn handle(&self) -> Handle {
        Nowhere::handle()
    }
}

/// Nor do they put off a deadline.
#[test]
fn pings_without_end_are_not_waited_for_in_vain() {
    let (near, _far) = pair(PIPE);
    let visitor = Pinging {
        request: Some(Buf::copy_of(REQUEST.as_bytes())),
        until: by(),
    };
    let link = Link {
        reader: Box::new(visitor),
        ..near
    };
    let mut server = accept(link, &Options::default(), by()).unwrap();
    let waited = server.reader.read_timeout(A_WHILE);
    assert!(matches!(waited, Err(LinkError::TimedOut)), "{waited:?}");
}

/// A link drops its reading half first: that must not wait for an answer that the
/// peer does not take, for it is the writing half that ends the attempt.
#[test]
fn a_pong_that_is_not_taken_holds_nobody_up_who_goes() {
    let (mut raw, mut server) = Raw::visits(16);
    let sending = thread::spawn(move || {
        raw.sends(Opcode::Ping, &[7; 125]);
        raw.sends(Opcode::Ping, &[8; 125]);
        raw.sends(Opcode::Binary, b"read on");
        raw
    });
    assert_eq!(read_exactly(server.reader.as_mut(), 7), b"read on");
    let _raw = sending.join().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let going = thread::spawn(move || {
        drop(server);
        let _ = tell.send(());
    });
    assert!(told.recv_timeout(PATIENCE).is_ok());
    going.join().unwrap();
}

#[test]
fn a_pong_waits_for_no_payload_and_cuts_none() {
    let (mut raw, server) = Raw::visits(1024);
    let Link {
        mut reader,
        mut writer,
    } = server;
    let payload = vec![7; 1024 * 1024];
    let to_send = payload.clone();
    let writing = thread::spawn(move || {
        for piece in to_send.chunks(1000) {
            write(writer.as_mut(), piece);
        }
        writer
    });
    let reading = thread::spawn(move || (read_exactly(reader.as_mut(), 2), reader));
    let mut got = Vec::new();
    while got.len() < payload.len() {
        if got.len() < 10_000 {
            raw.sends(Opcode::Ping, b"hi");
        }
        got.extend(raw.gets().unwrap_or_default());
    }
    assert!(got == payload);
    raw.sends(Opcode::Binary, b"ok");
    assert_eq!(reading.join().unwrap().0, b"ok");
    drop(writing.join().unwrap());
}

/// Nor a frame of which only a part has left, with nobody who waits for the rest.
#[test]
fn a_pong_goes_behind_the_frame_that_has_begun() {
    let (mut raw, mut server) = Raw::visits(1024);
    let mut batch: VecDeque<Buf> = [7, 8, 9].map(|byte| Buf::copy_of(&[byte; 2000])).into();
    assert!(!server.writer.start_write(&mut batch).unwrap());
    assert!(batch.is_empty(), "it is one frame");
    raw.sends(Opcode::Ping, b"hi");
    raw.sends(Opcode::Binary, b"ok");
    assert_eq!(read_exactly(server.reader.as_mut(), 2), b"ok");
    let payload: Vec<u8> = [7, 8, 9]
        .into_iter()
        .flat_map(|byte| [byte; 2000])
        .collect();
    for frame in [(Opcode::Binary, &payload[..]), (Opcode::Pong, b"hi")] {
        let frame = Encoder::server().frame(frame.0, frame.1);
        let got = read_exactly(raw.link.reader.as_mut(), frame.len());
        assert!(got == frame.as_slice(), "other bytes came");
    }
}

// ---------------------------------------------------------------------------
// The upgrade
// ---------------------------------------------------------------------------

/// How a server of ours answers, and what it says itself.
fn answer(request: &str, options: Options) -> (String, io::Result<Link>) {
    let (mut link, far) = pair(2 * MAX_WS_HEAD);
    write(link.writer.as_mut(), request.as_bytes());
    let accepted = accept(far, &options, by());
    let answer = match accepted {
        Ok(_) => link.reader.read_timeout(PATIENCE).unwrap().unwrap(),
        Err(_) => Buf::copy_of(&read_to_end(link.reader.as_mut()).0),
    };
    let text = String::from_utf8(answer.as_slice().to_vec()).unwrap();
    (text, accepted)
}

fn cause(result: io::Result<Link>) -> UpgradeError {
    let error = result.unwrap_err();
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

#[test]
fn visitors_are_refused_as_v2ray_does() {
    let refused = [
        ("GET / ", "GET /other ", "404 Not Found", Refusal::Path),
        (
            "GET / ",
            "POST / ",
            "405 Method Not Allowed",
            Refusal::Method,
        ),
        (
            "Version: 13",
            "Version: 8",
            "400 Bad Request",
            Refusal::NotWebSocket,
        ),
        (
            "Upgrade: WebSocket\r\n",
            "",
            "400 Bad Request",
            Refusal::NotWebSocket,
        ),
        (
            "keep-alive, upgrade",
            "close",
            "400 Bad Request",
            Refusal::NotWebSocket,
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "",
            "400 Bad Request",
            Refusal::NotWebSocket,
        ),
        (
            "GET / HTTP/1.1",
            "hello",
            "400 Bad Request",
            Refusal::Malformed,
        ),
    ];
    for (this, by, status, why) in refused {
        let (answer, accepted) = answer(&REQUEST.replacen(this, by, 1), Options::default());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(answer.ends_with("Content-Length: 0\r\n\r\n"), "{answer}");
        assert_eq!(cause(accepted), UpgradeError::Refused(why));
    }
}

/// Behind a web server it may be any: V2Ray compares it with nothing either.
#[test]
fn the_host_may_be_any_but_must_be_one() {
    let host = "Host: example.com\r\n";
    for taken in ["Host: b\r\n", "Host:\r\n", "host: [::1]:8443\r\n"] {
        let (answer, _) = answer(&REQUEST.replace(host, taken), Options::default());
        assert!(answer.starts_with("HTTP/1.1 101 "), "{taken}: {answer}");
    }
    for refused in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
    ] {
        let (answer, accepted) = answer(&REQUEST.replace(host, refused), Options::default());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{refused}: {answer}");
        assert_eq!(cause(accepted), UpgradeError::Refused(Refusal::Host));
    }
    let older = REQUEST.replace(host, "").replace("HTTP/1.1", "HTTP/1.0");
    let (answer, _) = answer(&older, Options::default());
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}

/// Those that V2Ray 4.34 takes.
#[test]
fn any_version_of_http_1_will_do() {
    let answer_to = |version| {
        let request = REQUEST.replace("HTTP/1.1", version);
        answer(&request, Options::default()).0
    };
    for taken in ["HTTP/1.0", "HTTP/1.2", "HTTP/1.9"] {
        let answer = answer_to(taken);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{taken}: {answer}");
    }
    for refused in ["HTTP/0.9", "HTTP/2.0", "HTTP/1.10", "HTTP/11.2", "http/1.2"] {
        let answer = answer_to(refused);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{refused}: {answer}");
    }
    let without_host = REQUEST.replace("Host: example.com\r\n", "");
    let request = without_host.replace("HTTP/1.1", "HTTP/1.2");
    let (_, accepted) = answer(&request, Options::default());
    assert_eq!(cause(accepted), UpgradeError::Refused(Refusal::Host));
}

#[test]
fn the_path_is_compared_decoded_and_without_its_query() {
    let options = Options {
        path: "/tunnel?x=1".into(),
        ..Options::default()
    };
    let whole = "http://example.com/tunnel?y";
    for path in ["/tunnel", "/tunnel?y", "/%74unnel", "/tunne%6c?", whole] {
        let (answer, _) = answer(
            &REQUEST.replace("GET /", &format!("GET {path}")),
            options.clone(),
        );
        assert!(answer.starts_with("HTTP/1.1 101 "), "{path}: {answer}");
    }
    let others = ["/", "/tunnel/", "/Tunnel", "/tunnel%", "/%+74unnel"];
    for path in others.into_iter().chain(["http://tunnel", "/a://b/tunnel"]) {
        let (answer, _) = answer(
            &REQUEST.replace("GET /", &format!("GET {path}")),
            options.clone(),
        );
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
}

#[test]
fn payload_may_come_with_the_upgrade() {
    let (mut link, far) = pair(PIPE);
    let frame = Encoder::client().frame(Opcode::Binary, b"early");
    write(
        link.writer.as_mut(),
        &[REQUEST.as_bytes(), frame.as_slice()].concat(),
    );
    let mut server = accept(far, &Options::default(), by()).unwrap();
    assert_eq!(read_exactly(server.reader.as_mut(), 5), b"early");
}

/// What a client of ours says to a server that answers so.
fn ask(answer: &str, options: Options) -> (String, io::Result<Link>) {
    let (near, mut link) = pair(PIPE);
    let connecting = thread::spawn(move || connect(near, &options, "example.com:81", by()));
    let request = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
    write(link.writer.as_mut(), answer.as_bytes());
    let text = String::from_utf8(request.as_slice().to_vec()).unwrap();
    (text, connecting.join().unwrap())
}

#[test]
fn the_request_is_what_the_settings_say() {
    let (request, _) = ask(RESPONSE, Options::default());
    assert!(
        request.starts_with("GET / HTTP/1.1\r\nHost: example.com:81\r\n"),
        "{request}"
    );
    let options = Options {
        path: "/a?b".into(),
        headers: vec![
            ("User-Agent".into(), "it's me".into()),
            ("hOsT".into(), "cdn.example".into()),
        ],
    };
    let (request, _) = ask(RESPONSE, options);
    assert!(
        request.starts_with("GET /a?b HTTP/1.1\r\nHost: cdn.example\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nUser-Agent: it's me\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\n") && !request.contains("hOsT"),
        "{request}"
    );
}

#[test]
fn servers_that_do_not_agree_are_an_error() {
    let answers = [
        (
            "101 Switching Protocols",
            "404 Not Found",
            ResponseError::Status(404),
        ),
        (
            "101 Switching Protocols",
            "200 OK",
            ResponseError::Status(200),
        ),
        ("Upgrade: websocket\r\n", "", ResponseError::NotWebSocket),
        ("HTTP/1.1", "SSH-2.0", ResponseError::Malformed),
        ("", "", ResponseError::Key), // it answers another key
    ];
    for (this, by, why) in answers {
        let (_, connected) = ask(&RESPONSE.replacen(this, by, 1), Options::default());
        assert_eq!(cause(connected), UpgradeError::Response(why));
    }
}

#[test]
fn an_upgrade_has_a_bound_in_time_and_length() {
    let (near, _far) = pair(PIPE);
    let soon = Instant::now() + Duration::from_millis(20);
    let error = accept(near, &Options::default(), soon).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    let (near, mut far) = pair(2 * MAX_WS_HEAD);
    write(far.writer.as_mut(), &vec![b'x'; MAX_WS_HEAD + 1]);
    assert_eq!(
        cause(accept(near, &Options::default(), by())),
        UpgradeError::TooLong
    );

    let (near, mut far) = pair(PIPE);
    write(far.writer.as_mut(), b"GET / HTTP/1.1\r\n");
    far.writer.close().unwrap();
    assert_eq!(
        cause(accept(near, &Options::default(), by())),
        UpgradeError::Cut
    );
}

// ---------------------------------------------------------------------------
// Properties
// ---------------------------------------------------------------------------

/// What a decoder makes of `bytes` in pieces of these sizes, in turn.
fn decoded(
    mut decoder: Decoder,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<(Vec<u8>, Seen), FrameError> {
    let (mut payload, mut seen) = (Vec::new(), Seen::default());
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        let mut buf = Buf::copy_of(piece);
        if seen.end.is_none() {
            decoder.decode(&mut buf, &mut seen)?;
            payload.extend_from_slice(buf.as_slice());
        }
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    Ok((payload, seen))
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1_usize..8, 100_usize..200_000], 1..4)
}

proptest! {
    #[test]
    fn what_is_put_in_frames_comes_out(
        buffers in vec(prop_oneof![0_usize..200, 65_000_usize..70_000], 0..6),
        sizes in sizes(),
        client: bool,
    ) {
        let (encoder, decoder) = match client {
            true => (Encoder::client(), Decoder::of_client(true)),
            false => (Encoder::server(), Decoder::of_server(true)),
        };
        let fill = |(n, len): (usize, &usize)| Buf::copy_of(&(0..*len).map(|i| (i + n) as u8).collect::<Vec<_>>());
        let mut batch: VecDeque<Buf> = buffers.iter().enumerate().map(fill).collect();
        let sent: Vec<u8> = batch.iter().flat_map(|buf| buf.as_slice().to_vec()).collect();
        encoder.put_in_frames(&mut batch);
        let bytes: Vec<u8> = batch.iter().flat_map(|buf| buf.as_slice().to_vec()).collect();
        let (got, seen) = decoded(decoder, &bytes, &sizes).unwrap();
        prop_assert!(got == sent);
        prop_assert_eq!(seen, Seen::default());
    }

    #[test]
    fn arbitrary_bytes_mean_the_same_in_any_pieces(
        bytes in vec(any::<u8>(), 0..400),
        sizes in sizes(),
        marks: bool,
    ) {
        let whole = decoded(Decoder::of_server(marks), &bytes, &[bytes.len().max(1)]);
        let pieces = decoded(Decoder::of_server(marks), &bytes, &sizes);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (whole, pieces) => prop_assert_eq!(whole.err(), pieces.err()),
        }
    }

    #[test]
    fn heads_are_read_as_they_were_written(
        is_last: bool,
        long: u64,
        shift in 0_u32..63,
        key: Option<[u8; 4]>,
    ) {
        let head = FrameHead { is_last, opcode: Opcode::Binary, key, len: long >> 1 >> shift };
        let (bytes, len) = head.encode();
        prop_assert_eq!(head_len(&bytes[..2]), len);
        prop_assert_eq!(read_head(&bytes[..len]), Ok(head));
    }

    #[test]
    fn arbitrary_heads_of_http_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        let _ = read_request(&bytes, &Options::default());
        let _ = read_response(&bytes, [0; 16]);
    }

    #[test]
    fn masking_is_what_the_rfc_says(bytes in vec(any::<u8>(), 0..100), cut in 0_usize..100, key: [u8; 4]) {
        let mut masked = bytes.clone();
        let (first, second) = masked.split_at_mut(cut.min(bytes.len()));
        mask(second, mask(first, key));
        let slowly: Vec<u8> = bytes.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        prop_assert_eq!(masked, slowly);
    }
}

/// RFC 6455, section 5.7.
#[test]
fn the_examples_of_the_rfc() {
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let (payload, _) = decoded(Decoder::of_client(false), &masked, &[11]).unwrap();
    assert_eq!(payload, b"Hello");
    let plain = [0x81, 5, b'H', b'e', b'l', b'l', b'o'];
    let (payload, _) = decoded(Decoder::of_server(false), &plain, &[7]).unwrap();
    assert_eq!(payload, b"Hello");
    assert_eq!(
        Encoder::server().frame(Opcode::Text, b"Hello").as_slice(),
        plain
    );
}
