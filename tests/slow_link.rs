//! The slow link of the whole-program tests is slow, and loses nothing.

#![cfg(target_os = "linux")]

mod support;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use support::{
    PATIENCE,
    bytes::{expect_keyed, send_keyed},
    client::{self, Entry},
    slow_link::{Profile, SlowLink},
    target::TcpTarget,
    threads::ThreadCheck,
};

const KEY: u64 = 7;

#[test]
fn a_round_trip_takes_its_time() {
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let round_trip = Duration::from_millis(60);
    let link = SlowLink::start(Profile::new(round_trip, 1_000_000_000), echo.address());
    let mut stream = visit(link.address());
    let start = Instant::now();
    client::echo(&mut stream, &[1; 64]).expect("echo");
    assert!(start.elapsed() >= round_trip);
    drop((stream, link, echo));
    threads.finish();
}

#[test]
fn bytes_arrive_whole_and_at_their_pace() {
    const LENGTH: u64 = 2_000_000;
    let threads = ThreadCheck::begin();
    let source = TcpTarget::start(|visitor| send_keyed(visitor, KEY, LENGTH));
    let link = SlowLink::start(Profile::new(Duration::ZERO, 10_000_000), source.address());
    let start = Instant::now();
    let mut stream = visit(link.address());
    expect_keyed(&stream, KEY, LENGTH).expect("download");
    assert!(start.elapsed() >= Duration::from_millis(190));
    assert_eq!(stream.read(&mut [0]).expect("end"), 0);
    drop((stream, link, source));
    threads.finish();
}

#[test]
fn an_end_of_writing_passes_while_the_answer_flows() {
    const LENGTH: u64 = 300_000;
    let threads = ThreadCheck::begin();
    let echo = TcpTarget::echo();
    let profile = Profile::new(Duration::from_millis(10), 50_000_000);
    let link = SlowLink::start(profile, echo.address());
    let stream = visit(link.address());
    let answer = thread::scope(|threads| {
        let answer = threads.spawn(|| whole_answer(&stream));
        send_keyed(&stream, KEY, LENGTH).expect("send");
        stream.shutdown(Shutdown::Write).expect("shut down");
        answer.join().expect("reader").expect("answer")
    });
    expect_keyed(answer.as_slice(), KEY, LENGTH).expect("the same bytes");
    drop((stream, link, echo));
    threads.finish();
}

#[test]
fn a_full_queue_blocks_its_sender_only() {
    let threads = ThreadCheck::begin();
    let (opener, gate) = crossbeam_channel::bounded::<()>(0);
    let target = TcpTarget::start(move |visitor| echo_or_wait(visitor, &gate));
    let profile = Profile::new(Duration::from_millis(10), 1_000_000_000);
    let link = SlowLink::start(profile, target.address());

    let mut other = visit(link.address());
    client::echo(&mut other, &[ECHO; 64]).expect("echo");
    let stream = visit(link.address());
    let bound = Some(Duration::from_millis(300));
    stream.set_write_timeout(bound).expect("set");
    let error = send_keyed(&stream, KEY, u64::MAX).expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    client::echo(&mut other, &[ECHO; 64]).expect("echo beside a full queue");

    drop((stream, other, link, opener, target));
    threads.finish();
}

const ECHO: u8 = b'e';

/// Echoes to a visitor that says [`ECHO`]; from another it reads one byte and
/// then nothing until the gate opens.
fn echo_or_wait(mut visitor: TcpStream, gate: &crossbeam_channel::Receiver<()>) -> io::Result<()> {
    let mut byte = [0];
    loop {
        visitor.read_exact(&mut byte)?;
        if byte != [ECHO] {
            // Nobody sends: the end of the channel is the signal.
            let _ = gate.recv();
            return Ok(());
        }
        visitor.write_all(&byte)?;
    }
}

fn visit(address: SocketAddr) -> TcpStream {
    Entry::Door(address)
        .connect_within(PATIENCE)
        .expect("connect")
}

fn whole_answer(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
