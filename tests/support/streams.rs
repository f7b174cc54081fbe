//! Streams that have to end whole or with an error, judged at both ends.
//!
//! Each is an [`Order`] with a key of its own: a visitor sends keyed bytes, a
//! [`Service`] behind the tunnel sends others at the same time and ends once it
//! has got all. So whoever sees an orderly end must have seen everything.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    bytes::{KeyedBytes, Verifier},
    client::Entry,
    eventually,
    target::{Order, TcpTarget},
};

/// Bytes of one read or write.
const BLOCK: usize = 16 * 1024;

/// How what came to one end of a stream has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All came.
    Whole,
    /// An error, as it must be where something is missing.
    Broken(ErrorKind),
    /// An orderly end although bytes are missing: as many came.
    Short(u64),
    /// What came is not what was sent.
    Wrong(String),
    /// Neither bytes nor an end came any more after these.
    Hung(u64),
}

impl Ending {
    /// What no fault on the way may bring about.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Short(_) | Self::Wrong(_) | Self::Hung(_))
    }

    fn of(error: &io::Error, got: u64) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Hung(got),
            ErrorKind::InvalidData => Self::Wrong(error.to_string()),
            kind => Self::Broken(kind),
        }
    }
}

/// What a visitor does besides sending and receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Ends once it has seen the service's end: every peer carries that.
    Patient,
    /// Ends its direction when it has sent all.
    HalfClose,
    /// Reads nothing for a while once it has got some bytes.
    Stall(Duration),
    /// Resets the connection once it has got some bytes.
    Abort,
}

/// Bytes of the download that a visitor takes before it stalls or aborts.
pub const PRELUDE: u64 = 64 * 1024;

/// Bytes per second that all who share it may send, until it is lifted.
pub struct Pace {
    rate: f64,
    /// `None` when it has been lifted.
    free_at: Mutex<Option<Instant>>,
    lifted: Condvar,
}

impl Pace {
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate as f64,
            free_at: Mutex::new(Some(Instant::now())),
            lifted: Condvar::new(),
        }
    }

    /// Waits until so many bytes may be sent.
    pub fn wait(&self, length: usize) {
        let mut state = self.free_at.lock().expect("pace");
        let Some(free_at) = state.as_mut() else {
            return;
        };
        let turn = (*free_at).max(Instant::now());
        *free_at = turn + Duration::from_secs_f64(length as f64 / self.rate);
        let left = turn.saturating_duration_since(Instant::now());
        let waits = |state: &mut Option<Instant>| state.is_some();
        let waited = self.lifted.wait_timeout_while(state, left, waits);
        drop(waited.expect("pace"));
    }

    /// From now on all may send as fast as they can.
    pub fn lift(&self) {
        *self.free_at.lock().expect("pace") = None;
        self.lifted.notify_all();
    }
}

/// What the streams of one test or program have in common.
#[derive(Default)]
pub struct Course {
    /// Right bytes that have arrived, at both ends.
    pub verified: AtomicU64,
    pub pace: Option<Pace>,
}

/// The service that fills the orders, and what it has seen.
pub struct Service {
    target: TcpTarget,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// By key. A stream without one broke before it had told its order.
    endings: Mutex<HashMap<Option<u64>, Vec<Ending>>>,
    open: AtomicUsize,
}

impl Service {
    /// A service that waits `patience` for each step of a visitor.
    pub fn start(course: &Arc<Course>, patience: Duration) -> Self {
        let ledger = Arc::<Ledger>::default();
        let target = {
            let (ledger, course) = (Arc::clone(&ledger), Arc::clone(course));
            TcpTarget::start(move |visitor| {
                ledger.open.fetch_add(1, Ordering::SeqCst);
                let (key, ending) = serve(&visitor, &course, patience);
                drop(visitor);
                ledger.record(key, ending);
                ledger.open.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        Self { target, ledger }
    }

    pub fn address(&self) -> SocketAddr {
        self.target.address()
    }

    /// Streams that have not ended.
    pub fn open(&self) -> usize {
        self.ledger.open.load(Ordering::SeqCst)
    }

    /// Waits until all streams have ended.
    pub fn settle(&self, patience: Duration) -> Result<(), String> {
        eventually(Instant::now() + patience, || match self.open() {
            0 => Ok(()),
            open => Err(format!("{open} streams are still open at the target")),
        })
    }

    /// How the uploads have ended since this was asked last.
    pub fn take_endings(&self) -> HashMap<Option<u64>, Vec<Ending>> {
        std::mem::take(&mut *self.ledger.endings.lock().expect("ledger"))
    }
}

impl Ledger {
    fn record(&self, key: Option<u64>, ending: Ending) {
        let mut endings = self.endings.lock().expect("ledger");
        endings.entry(key).or_default().push(ending);
    }
}

/// What is wrong with streams as both ends have seen them, which is nothing.
///
/// Only those of the two sides are judged that stand beside a program of ours:
/// what V2Ray makes of a lost connection is its own affair.
pub fn complaints(
    visits: &[(Order, Ending)],
    at_target: &HashMap<Option<u64>, Vec<Ending>>,
    (near, far): (bool, bool),
) -> Vec<String> {
    let mut found = Vec::new();
    for (order, ending) in visits.iter().filter(|_| near) {
        if ending.is_forbidden() {
            found.push(format!("visitor {}: {ending:?}", order.key));
        }
    }
    for (key, endings) in at_target.iter().filter(|_| far) {
        let forbidden = endings.iter().filter(|ending| ending.is_forbidden());
        found.extend(forbidden.map(|ending| format!("target of {key:?}: {ending:?}")));
        if key.is_some() && endings.len() > 1 {
            found.push(format!("{key:?} was served {} times", endings.len()));
        }
    }
    for (order, _) in visits.iter().filter(|(_, ending)| *ending == Ending::Whole) {
        let at_target = at_target.get(&Some(order.key));
        if near && at_target.map(Vec::as_slice) != Some(&[Ending::Whole]) {
            let key = order.key;
            found.push(format!(
                "whole to visitor {key}, not to its target: {at_target:?}"
            ));
        }
    }
    found
}

/// A visitor from its entry to its end.
pub fn visit(
    entry: &Entry,
    order: Order,
    manner: Manner,
    course: &Course,
    patience: Duration,
) -> Ending {
    match entry.connect_within(patience) {
        Ok(stream) => stay(&stream, order, manner, course),
        Err(error) => Ending::of(&error, 0),
    }
}

/// As [`visit`], once inside.
pub fn stay(stream: &TcpStream, order: Order, manner: Manner, course: &Course) -> Ending {
    reset_on_close(stream, true);
    let (sent_all, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            let sent = upload(stream, order, course);
            sent_all.store(sent.is_ok(), Ordering::SeqCst);
            if sent.is_ok() && manner == Manner::HalfClose {
                reset_on_close(stream, false);
                ended.store(true, Ordering::SeqCst);
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
        let mut ending = download(stream, order, manner, course);
        if ending == Ending::Whole && !comes_true(&sent_all) {
            ending = Ending::Short(order.download); // the service cannot have got all
        }
        if !ended.load(Ordering::SeqCst) {
            ending = doubt(ending, stream);
        }
        if ending == Ending::Whole {
            reset_on_close(stream, false);
        } else {
            // So that the upload does not wait either.
            reset_on_close(stream, true);
            break_off(stream);
        }
        ending
    })
}

/// What the sender has done shows a moment after the service has seen it.
fn comes_true(flag: &AtomicBool) -> bool {
    const MOMENT: Duration = Duration::from_secs(1);
    let look = || flag.load(Ordering::SeqCst).then_some(()).ok_or(());
    eventually(Instant::now() + MOMENT, look).is_ok()
}

fn upload(mut stream: &TcpStream, order: Order, course: &Course) -> io::Result<()> {
    stream.write_all(&order.encode())?;
    send(stream, order.upload_key(), order.upload, course)
}

fn download(stream: &TcpStream, order: Order, manner: Manner, course: &Course) -> Ending {
    let mut receipt = Receipt::new(order.download_key(), order.download);
    let first = match manner {
        Manner::Stall(_) | Manner::Abort => PRELUDE.min(order.download),
        Manner::Patient | Manner::HalfClose => 0,
    };
    let mut got = receipt.take(stream, first, course);
    match manner {
        Manner::Abort => {
            return got
                .err()
                .unwrap_or(Ending::Broken(ErrorKind::ConnectionAborted));
        }
        Manner::Stall(time) if got.is_ok() => thread::sleep(time),
        _ => {}
    }
    got = got.and_then(|()| receipt.take(stream, order.download, course));
    match got.and_then(|()| receipt.expect_end(stream)) {
        Ok(()) => Ending::Whole,
        Err(ending) => ending,
    }
}

fn serve(visitor: &TcpStream, course: &Course, patience: Duration) -> (Option<u64>, Ending) {
    reset_on_close(visitor, true);
    let timeouts = visitor
        .set_read_timeout(Some(patience))
        .and_then(|()| visitor.set_write_timeout(Some(patience)));
    timeouts.expect("timeouts");
    match take_order(visitor) {
        Ok(order) => (Some(order.key), fill(visitor, order, course)),
        Err(ending) => (None, ending),
    }
}

fn take_order(mut visitor: &TcpStream) -> Result<Order, Ending> {
    let mut head = [0; 24];
    let mut got = 0;
    while got < head.len() {
        match visitor.read(&mut head[got..]) {
            Ok(0) => return Err(Ending::Short(got as u64)),
            Ok(length) => got += length,
            Err(error) => return Err(Ending::of(&error, got as u64)),
        }
    }
    Ok(Order::decode(head))
}

fn fill(visitor: &TcpStream, order: Order, course: &Course) -> Ending {
    thread::scope(|threads| {
        let sender = threads.spawn(|| send(visitor, order.download_key(), order.download, course));
        let mut receipt = Receipt::new(order.upload_key(), order.upload);
        let got = receipt.take(visitor, order.upload, course);
        let got = got.map_err(|ending| doubt(ending, visitor));
        if got.is_err() {
            break_off(visitor);
        }
        let sent = sender.join().expect("sender");
        match (got, sent) {
            (Err(ending), _) => ending,
            (Ok(()), Err(error)) => Ending::of(&error, order.upload),
            (Ok(()), Ok(())) => part(visitor, &receipt),
        }
    })
}

/// Ends in order. What comes of the visitor's end then has no say: all has
/// arrived.
fn part(visitor: &TcpStream, receipt: &Receipt) -> Ending {
    reset_on_close(visitor, false);
    let _ = visitor.shutdown(Shutdown::Write);
    match receipt.expect_end(visitor) {
        Err(Ending::Wrong(what)) => Ending::Wrong(what),
        _ => Ending::Whole,
    }
}

/// One direction, as far as it has been received.
struct Receipt {
    verifier: Verifier,
    length: u64,
    got: u64,
}

impl Receipt {
    fn new(key: u64, length: u64) -> Self {
        Self {
            verifier: Verifier::new(key),
            length,
            got: 0,
        }
    }

    /// Reads on until so many bytes have come in all.
    fn take(&mut self, mut from: &TcpStream, until: u64, course: &Course) -> Result<(), Ending> {
        let mut bytes = vec![0; BLOCK];
        while self.got < until {
            let wanted = usize::try_from(until - self.got).map_or(BLOCK, |left| left.min(BLOCK));
            let length = match from.read(&mut bytes[..wanted]) {
                Ok(0) => return Err(Ending::Short(self.got)),
                Ok(length) => length,
                Err(error) => return Err(Ending::of(&error, self.got)),
            };
            let judged = self.verifier.write_all(&bytes[..length]);
            judged.map_err(|error| Ending::of(&error, self.got))?;
            self.got += length as u64;
            course.verified.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// All has come, so that no more may.
    fn expect_end(&self, mut from: &TcpStream) -> Result<(), Ending> {
        match from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Ending::Wrong(format!("more than {} bytes", self.length))),
            Err(error) => Err(Ending::of(&error, self.got)),
        }
    }
}

fn send(mut to: &TcpStream, key: u64, length: u64, course: &Course) -> io::Result<()> {
    let mut bytes = KeyedBytes::new(key).take(length);
    let mut block = vec![0; BLOCK];
    loop {
        let count = bytes.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        if let Some(pace) = &course.pace {
            pace.wait(count);
        }
        to.write_all(&block[..count])?;
    }
}

/// Of a connection that was reset the system tells whoever comes first, and
/// that may have been the sender; then the reader sees an end. But there is no
/// peer any more, which there still is after an end while this side has not
/// ended.
fn doubt(ending: Ending, stream: &TcpStream) -> Ending {
    match ending {
        Ending::Short(_) if stream.peer_addr().is_err() => {
            Ending::Broken(ErrorKind::ConnectionReset)
        }
        other => other,
    }
}

/// Whether closing is a reset, as it has to be while something is missing.
fn reset_on_close(stream: &TcpStream, reset: bool) {
    let linger = reset.then_some(Duration::ZERO);
    let _ = SockRef::from(stream).set_linger(linger);
}

/// Resets now, whoever waits on the stream.
fn break_off(stream: &TcpStream) {
    let _ = rustix::net::connect_unspec(stream);
}
