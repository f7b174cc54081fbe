use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use muxcool::buf::Buf;
use muxcool::link::{Handle, LinkError, Reader, Writer, pair};
use muxcool::transport::tls::{Client, Server, TlsFailure};

use super::certificate::Certificate;
use super::rig::{
    NAME, PATIENCE, ROOM, address, apart, failure, open_over, read, shake, showing, trusting, write,
};

/// Passes on what comes until `enough`, and leaves the halves to the caller.
fn pass(
    mut from: Box<dyn Reader>,
    mut to: Box<dyn Writer>,
    mut enough: impl FnMut(&[u8]) -> bool,
) -> (Box<dyn Reader>, Box<dyn Writer>) {
    while let Ok(Some(buf)) = from.read_timeout(PATIENCE) {
        let last = enough(buf.as_slice());
        if to.write(&mut [buf].into()).is_err() || last {
            break;
        }
    }
    (from, to)
}

/// A record of data, and not of the handshake, for its length.
fn is_the_data(bytes: &[u8]) -> bool {
    bytes.len() > 1000 && bytes[0] == 23
}

/// An open connection of which `cut` ends the link below, after the near end
/// has sent 1 KB and it has arrived. Returns what the far end reads then.
fn after(cut: impl FnOnce(Box<dyn Writer>)) -> Result<(), LinkError> {
    let (ends, (near_end, far_end)) = apart();
    let there = thread::spawn(|| pass(near_end.reader, far_end.writer, is_the_data));
    let back = thread::spawn(|| pass(far_end.reader, near_end.writer, |_| false));
    let (mut near, mut far) = open_over(ends);
    write(near.writer.as_mut(), &[1; 1024]).unwrap();
    assert_eq!(read(far.reader.as_mut(), 1024).unwrap(), [1; 1024]);
    let (_from, to) = there.join().unwrap();
    cut(to);
    let end = far
        .reader
        .read_timeout(PATIENCE)
        .map(|end| assert!(end.is_none()));
    let again = far.reader.read_timeout(PATIENCE);
    assert_eq!(end.is_err(), again.is_err(), "an error became an end");
    drop((near, far));
    back.join().unwrap();
    end
}

#[test]
fn an_end_without_close_notify_is_none() {
    let e = after(|mut to| to.close().unwrap()).unwrap_err();
    let LinkError::Io(e) = e else { panic!("{e}") };
    let why = e.get_ref().and_then(|e| e.downcast_ref());
    assert!(matches!(why, Some(TlsFailure::Truncated)), "{e}");
}

#[test]
fn a_cut_below_is_a_cut() {
    let e = after(|mut to| to.abort()).unwrap_err();
    assert!(matches!(e, LinkError::Reset), "{e}");
}

#[test]
fn bytes_that_were_changed_end_the_connection() {
    let record = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
    let e = after(move |mut to| {
        write(to.as_mut(), &record).unwrap();
        to.close().unwrap();
    });
    let text = e.map_err(io::Error::from).unwrap_err().to_string();
    assert!(text.starts_with("TLS failed: "), "{text}");
}

#[test]
fn an_abort_sends_no_end() {
    let (mut near, mut far) = open_over(pair(ROOM));
    near.writer.abort();
    assert!(far.reader.read_timeout(PATIENCE).is_err());
    let refused = write(near.writer.as_mut(), b"more");
    assert!(refused.is_err());
}

#[test]
fn a_writer_that_is_dropped_sends_no_end() {
    let (near, mut far) = open_over(pair(ROOM));
    drop(near.writer);
    assert!(far.reader.read_timeout(PATIENCE).is_err());
}

#[test]
fn nothing_follows_the_end() {
    let (mut near, mut far) = open_over(pair(ROOM));
    near.writer.close().unwrap();
    near.writer.close().unwrap();
    let refused = write(near.writer.as_mut(), b"more");
    assert!(matches!(refused, Err(LinkError::Closed)));
    assert!(far.reader.read_timeout(PATIENCE).unwrap().is_none());
}

/// Counts how often it was told that an end has come.
struct Told {
    inner: Box<dyn Reader>,
    times: Arc<AtomicUsize>,
}

impl Reader for Told {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        self.inner.read()
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        self.inner.read_timeout(wait)
    }

    fn conclude(&mut self) {
        self.times.fetch_add(1, Ordering::SeqCst);
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

#[test]
fn the_link_below_is_told_of_the_end() {
    let (near, mut far) = pair(ROOM);
    let times = Arc::new(AtomicUsize::new(0));
    let told = || times.load(Ordering::SeqCst);
    far.reader = Box::new(Told {
        inner: far.reader,
        times: times.clone(),
    });
    let (mut near, mut far) = open_over((near, far));
    write(near.writer.as_mut(), b"all").unwrap();
    assert_eq!(read(far.reader.as_mut(), 3).unwrap(), b"all");
    assert_eq!(told(), 0);
    near.writer.close().unwrap();
    assert!(far.reader.read_timeout(PATIENCE).unwrap().is_none());
    assert_eq!(told(), 1);
    far.reader.conclude();
    assert_eq!(told(), 2, "by a layer above");
}

#[test]
fn interrupts_reach_the_link_below() {
    let (near, mut far) = open_over(pair(ROOM));
    near.writer.handle().interrupt();
    assert!(far.reader.read_timeout(PATIENCE).is_err());
    let mut reader = near.reader;
    reader.handle().interrupt();
    assert!(matches!(reader.read(), Err(LinkError::Reset)));
}

#[test]
fn a_wait_for_data_has_its_bound_and_the_link_survives_it() {
    let (near, mut far) = open_over(pair(ROOM));
    let early = far.reader.read_timeout(Duration::from_millis(20));
    assert!(matches!(early, Err(LinkError::TimedOut)));
    let mut writer = near.writer;
    write(writer.as_mut(), b"late").unwrap();
    assert_eq!(read(far.reader.as_mut(), 4).unwrap(), b"late");
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(200)
}

#[test]
fn who_says_nothing_is_waited_for_no_longer_than_the_deadline() {
    let certificate = Certificate::for_name(NAME);
    let server = Server::new(&showing(&certificate)).unwrap();
    let client = Client::new(&trusting(&certificate)).unwrap();
    let ((near, _silent), (_mute, far)) = (pair(ROOM), pair(ROOM));
    let e = client.connect(near, &address(NAME), soon()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    let e = server.accept(far, soon()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    assert_eq!(e.to_string(), "the TLS handshake took too long");
}

/// Only what the client says first reaches the server.
#[test]
fn who_stops_half_way_is_waited_for_no_longer_than_the_deadline() {
    let certificate = Certificate::for_name(NAME);
    let server = Server::new(&showing(&certificate)).unwrap();
    let client = Client::new(&trusting(&certificate)).unwrap();
    let ((near, far), (mut near_end, mut far_end)) = apart();
    let starting = thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(1); // enough to say the first word
        client.connect(near, &address(NAME), until)
    });
    let hello = near_end.reader.read_timeout(PATIENCE).unwrap().unwrap();
    far_end.writer.write(&mut [hello].into()).unwrap();
    let e = server.accept(far, soon()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::TimedOut);
    assert_eq!(
        starting.join().unwrap().unwrap_err().kind(),
        io::ErrorKind::TimedOut
    );
}

#[test]
fn who_leaves_in_the_handshake_has_left() {
    let server = Server::new(&showing(&Certificate::for_name(NAME))).unwrap();
    let (mut near, far) = pair(ROOM);
    near.writer.close().unwrap();
    let outcome = server.accept(far, Instant::now() + PATIENCE);
    assert_eq!(failure(outcome), "the peer left in the TLS handshake");
}

#[test]
fn who_speaks_no_tls_is_told_so() {
    let server = Server::new(&showing(&Certificate::for_name(NAME))).unwrap();
    let (mut near, far) = pair(ROOM);
    write(near.writer.as_mut(), b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let outcome = server.accept(far, Instant::now() + PATIENCE);
    let why = failure(outcome);
    assert!(why.starts_with("TLS handshake failed: "), "{why}");
    let alert = near.reader.read_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(alert.as_slice()[0], 21, "no alert");
    assert!(near.reader.read_timeout(PATIENCE).unwrap().is_none());
}

/// Handshake messages that never come to an end.
#[test]
fn a_handshake_has_a_bound() {
    let server = Server::new(&showing(&Certificate::for_name(NAME))).unwrap();
    let (near, far) = pair(ROOM);
    let mut writer = near.writer;
    let flood = thread::spawn(move || {
        let record = [&[22, 3, 1, 0x10, 0][..], &[1, 0, 0xff, 0xff], &[0; 4092]].concat();
        while write(writer.as_mut(), &record).is_ok() {}
    });
    let outcome = server.accept(far, Instant::now() + PATIENCE);
    assert_eq!(failure(outcome), "a TLS message is too long");
    flood.join().unwrap();
}

#[test]
fn both_sides_say_what_went_wrong() {
    let server = Server::new(&showing(&Certificate::for_name(NAME))).unwrap();
    let client = Client::new(&trusting(&Certificate::for_name(NAME))).unwrap();
    let (near, far) = shake(&client, &server, NAME, pair(ROOM));
    let why = failure(near);
    assert!(why.contains("invalid peer certificate"), "{why}");
    // The server's part was over; the alert is what it reads next.
    let told = far
        .map_err(LinkError::from)
        .and_then(|mut far| far.reader.read_timeout(PATIENCE));
    let told = told.map_err(io::Error::from).unwrap_err().to_string();
    assert!(told.contains("alert"), "{told}");
}
