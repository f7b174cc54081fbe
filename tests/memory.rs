//! What waits in memory for visitors who do not read stays under the bound
//! that `limits` names, whatever a plain peer sends.

#![cfg(target_os = "linux")]

#[path = "support/tasks.rs"]
mod tasks;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use muxcool::limits::{
    BUFFER_CLASSES, LONGEST_WAIT, PARKED_PER_PROCESS, PARKED_PER_SESSION, PARKED_UNDER_PRESSURE,
};
use muxcool::link::Link;
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker};
use muxcool::net::Destination;

use tasks::{PATIENCE, wait_until};

const CARRIERS: usize = 4;

/// On each carrier. If nothing but their own bound held, they would park half
/// as much again as the process may.
const SESSIONS: usize = 3 * PARKED_PER_PROCESS / PARKED_PER_SESSION / CARRIERS / 2;

/// Payload of the peer's frames: it fills buffers to the last byte.
const PIECE: usize = 32 * 1024;

/// A client whose sessions nobody reads, and its peer.
struct Carrier {
    worker: ClientWorker,
    unread: Vec<Link>,
    peer: JoinHandle<()>,
}

impl Carrier {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_write_timeout(Some(PATIENCE)).unwrap();
        let carrier = CarrierOptions {
            extensions: false,
            stalled_session: LONGEST_WAIT,
            liveness: None,
            ..CarrierOptions::default()
        };
        let options = ClientOptions {
            carrier,
            ..ClientOptions::default()
        };
        let worker = ClientWorker::new(near.into(), options).unwrap();
        let target = Destination::tcp("192.0.2.1", 80).unwrap();
        let open = |_| worker.connect(target.clone()).unwrap();
        Self {
            unread: (0..SESSIONS).map(open).collect(),
            worker,
            peer: std::thread::spawn(move || send_to_all(far)),
        }
    }

    fn parked(&self) -> usize {
        self.worker.stats().parked
    }

    /// The peer's last write fails then.
    fn close(self) {
        self.worker.close();
        drop((self.worker, self.unread));
        self.peer.join().unwrap();
    }
}

/// Sends to each session in turn as much as it may park, and then more, until
/// the carrier is not read any more and ends.
fn send_to_all(mut carrier: TcpStream) {
    let mut ids = (1..=SESSIONS as u16).cycle();
    let _ = ids.try_for_each(|id| carrier.write_all(&keep(id)));
}

fn keep(id: u16) -> Vec<u8> {
    let mut frame = vec![0, 4];
    frame.extend(id.to_be_bytes());
    frame.extend([2, 1]);
    frame.extend(u16::try_from(PIECE).unwrap().to_be_bytes());
    frame.resize(frame.len() + PIECE, 7);
    frame
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn many_visitors_who_do_not_read_cost_no_more_than_the_process_may_park() {
    let sessions = CARRIERS * SESSIONS;
    let buffer = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];
    let bound = PARKED_PER_PROCESS + sessions * (PARKED_UNDER_PRESSURE + buffer);
    assert!(
        bound < sessions * PARKED_PER_SESSION,
        "it is not the sessions' own bounds that hold"
    );
    let before = peak();
    let carriers: Vec<Carrier> = (0..CARRIERS).map(|_| Carrier::new()).collect();
    let parked = || carriers.iter().map(Carrier::parked).sum::<usize>();
    let mut most = 0;
    wait_until("no carrier is read any more", || {
        most = parked().max(most);
        assert!(most <= bound, "{most} bytes, {bound} at most");
        carriers
            .iter()
            .all(|carrier| carrier.worker.stats().held_up)
    });
    most = parked().max(most);
    assert!(most >= PARKED_PER_PROCESS, "the bound was not reached");
    assert!(most <= bound, "{most} bytes, {bound} at most");
    let grown = peak() - before;
    println!(
        "{sessions} sessions: {} MiB parked, {} MiB may be, peak {} MiB",
        most >> 20,
        bound >> 20,
        grown >> 20
    );
    // What is not payload: a carrier's threads and tables, the test's frames.
    assert!(grown < bound + bound / 8, "{grown} bytes, {bound} at most");
    carriers.into_iter().for_each(Carrier::close);
}
