//! Idle times, on a clock that stands still.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use muxcool::link::{LinkError, Reader, Writer};
use muxcool::sync::{ManualClock, Next, Timer};
use muxcool::transport::tcp::{Idle, IdleTimes, TcpReader, TcpWriter, split};

use crate::ends::{Job, flood, receive_bare, send, sockets};
use crate::tasks::{PATIENCE, wait_until_asleep};

const TIMES: IdleTimes = IdleTimes {
    both: Duration::from_secs(300),
    after_read: Duration::from_secs(20),
    after_write: Duration::from_secs(30),
};
const SECOND: Duration = Duration::from_secs(1);

/// A watched connection, and its time.
struct Watched {
    clock: Arc<ManualClock>,
    timer: Timer,
    peer: TcpStream,
    reader: TcpReader,
    writer: TcpWriter,
}

impl Watched {
    fn new() -> Self {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        let (peer, ours) = sockets();
        let idle = Idle {
            timer: timer.clone(),
            times: TIMES,
        };
        let (reader, writer) = split(Arc::new(ours), Some(&idle));
        Self {
            clock,
            timer,
            peer,
            reader,
            writer,
        }
    }

    fn pass(&self, time: Duration) {
        pass(&self.clock, &self.timer, time);
    }

    fn peer_sends(&mut self) {
        self.peer.write_all(b"x").unwrap();
        assert!(self.reader.read().unwrap().is_some());
    }

    fn is_alive(&mut self) -> bool {
        self.peer.set_nonblocking(true).unwrap();
        let peeked = self.peer.peek(&mut [0]);
        self.peer.set_nonblocking(false).unwrap();
        matches!(peeked, Err(e) if e.kind() == ErrorKind::WouldBlock)
    }
}

/// Lets time pass; all checks that were due have run on return.
fn pass(clock: &ManualClock, timer: &Timer, time: Duration) {
    clock.advance(time);
    let (tell, told) = bounded(1);
    let _last = timer.schedule(Duration::ZERO, move || {
        let _ = tell.try_send(());
        Next::Stop
    });
    told.recv_timeout(PATIENCE).unwrap();
}

fn assert_reset(peer: &mut TcpStream) {
    let (_, end) = receive_bare(peer);
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

#[test]
fn a_connection_without_a_byte_is_reset() {
    let mut watched = Watched::new();
    watched.pass(TIMES.both - SECOND);
    assert!(watched.is_alive());
    watched.pass(SECOND);
    assert_reset(&mut watched.peer);
    let read = watched.reader.read();
    assert!(matches!(read, Err(LinkError::Reset)), "{read:?}");
    let written = send(&mut watched.writer, b"x");
    assert!(matches!(written, Err(LinkError::Reset)), "{written:?}");
}

#[test]
fn a_byte_in_each_period_keeps_it() {
    let mut watched = Watched::new();
    for round in 0..5 {
        match round % 2 {
            0 => watched.peer_sends(),
            _ => {
                send(&mut watched.writer, b"y").unwrap();
                watched.peer.read_exact(&mut [0]).unwrap();
            }
        }
        watched.pass(TIMES.both);
        assert!(watched.is_alive(), "round {round}");
    }
    watched.pass(TIMES.both);
    assert_reset(&mut watched.peer);
}

#[test]
fn after_the_peers_end_we_have_less_time_and_are_cut() {
    let mut watched = Watched::new();
    watched.peer_sends();
    watched.peer.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(watched.reader.read(), Ok(None)));
    // A period in which the end came, and one without anything.
    watched.pass(TIMES.after_read);
    watched.pass(TIMES.after_read - SECOND);
    assert!(watched.is_alive());
    watched.pass(SECOND);
    assert_reset(&mut watched.peer);
}

/// An end that came within what was read.
#[test]
fn after_the_end_of_what_is_read_we_have_as_little_time() {
    let mut watched = Watched::new();
    watched.peer_sends();
    watched.reader.conclude();
    watched.pass(TIMES.after_read);
    watched.pass(TIMES.after_read - SECOND);
    assert!(watched.is_alive());
    watched.pass(SECOND);
    assert_reset(&mut watched.peer);
}

#[test]
fn after_the_peers_end_our_bytes_keep_it() {
    let mut watched = Watched::new();
    watched.peer.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(watched.reader.read(), Ok(None)));
    for _ in 0..5 {
        watched.pass(TIMES.after_read);
        send(&mut watched.writer, b"y").unwrap();
        watched.peer.read_exact(&mut [0]).unwrap();
    }
    watched.pass(TIMES.after_read);
    assert!(watched.is_alive());
    watched.writer.close().unwrap();
    assert_eq!(receive_bare(&mut watched.peer), (0, None));
}

/// The peer has all we had to say, so it is told nothing else.
#[test]
fn after_our_end_the_connection_ends_in_an_orderly_way() {
    let mut watched = Watched::new();
    watched.peer_sends();
    send(&mut watched.writer, b"all").unwrap();
    watched.writer.close().unwrap();
    watched.pass(TIMES.after_write);
    watched.pass(TIMES.after_write - SECOND);
    let read = watched.reader.read_timeout(Duration::ZERO);
    assert!(matches!(read, Err(LinkError::TimedOut)), "{read:?}");
    watched.pass(SECOND);
    assert!(matches!(watched.reader.read(), Ok(None)));
    drop((watched.reader, watched.writer));
    assert_eq!(receive_bare(&mut watched.peer), (3, None));
}

#[test]
fn a_reader_that_waits_is_woken() {
    let watched = Watched::new();
    let Watched {
        clock,
        timer,
        mut peer,
        mut reader,
        writer,
    } = watched;
    let waiting = Job::start("idle-reader", move || reader.read());
    wait_until_asleep("idle-reader", 1);
    clock.advance(TIMES.both);
    let read = waiting.finish("idle reader");
    assert!(matches!(read, Err(LinkError::Reset)), "{read:?}");
    drop(writer);
    assert_reset(&mut peer);
    drop(timer);
}

/// A peer that takes nothing is idle as well.
#[test]
fn a_stuck_writer_is_woken() {
    let Watched {
        clock,
        timer,
        mut peer,
        reader,
        mut writer,
    } = Watched::new();
    let stuck = Job::start("idle-writer", move || flood(&mut writer));
    wait_until_asleep("idle-writer", 1);
    // A period in which something was written, and one without anything.
    pass(&clock, &timer, TIMES.both);
    pass(&clock, &timer, TIMES.both);
    let error = stuck.finish("idle writer");
    assert!(matches!(error, LinkError::Reset), "{error:?}");
    drop(reader);
    assert_reset(&mut peer);
}

#[test]
fn a_connection_that_is_gone_is_not_watched() {
    let watched = Watched::new();
    assert_eq!(format!("{:?}", watched.timer), "Timer(1 tasks)");
    drop((watched.reader, watched.writer));
    assert_eq!(format!("{:?}", watched.timer), "Timer(0 tasks)");
}
