//! A whole mux client with some sessions open, whose carrier brings the
//! input.

use std::io::{Read, Write};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use muxcool::buf::Buf;
use muxcool::limits::{LEAST_ROOM, LONGEST_WAIT};
use muxcool::link::{Link, Nowhere};
use muxcool::mux::{
    CarrierOptions, ClientOptions, ClientWorker, ControlSession, Message, MuxStream, SessionStatus,
};
use muxcool::net::{Destination, Network};

use super::frame_stream::{Frame, read};
use super::memory::{End, Feed, Kept, Sink};
use super::mux_model::{self as model, Said};
use super::pieces::{Pieces, repeated};

/// The carrier ends with an error.
const BREAKS: u8 = 1;
/// The client does not speak the extensions.
const PLAIN: u8 = 2;
/// The visitors take nothing without a wait.
const SLOW: u8 = 4;
/// Part of the carrier's bytes is repeated, so that little says much.
const REPEATS: u8 = 8;

/// How long a session that takes nothing may hold up the others.
const STALLED: Duration = Duration::from_millis(20);

/// Sessions in the order of their opening, which gives their ids.
const OPEN: u16 = 1;
const HALF_CLOSED: u16 = 2;
const DATAGRAMS: u16 = 3;
const DEAF: u16 = 4;
const BY_HAND: u16 = 5;
const HEARTBEAT: u16 = 6;
const SESSIONS: u16 = 6;

/// What each of them sends before the carrier brings anything.
const WORDS: &[u8] = b"words";
/// And one more, that goes on when there is credit.
const MUCH: usize = 100_000;

pub fn check(data: &[u8]) {
    let mut pieces = Pieces::new(data);
    let stream = match pieces.choice & REPEATS {
        0 => pieces.stream.to_vec(),
        _ => repeated(pieces.stream),
    };
    pieces.stream = &stream;
    let carrier = CarrierOptions {
        extensions: pieces.choice & PLAIN == 0,
        end_quiet: LONGEST_WAIT,
        window: LEAST_ROOM as u32,
        parked: LEAST_ROOM,
        stalled_session: STALLED,
        liveness: None,
        ..CarrierOptions::default()
    };
    let (worker, output, gate) = start(pieces, &carrier);
    let visitors = Visitors::open(&worker, pieces.choice & SLOW != 0);
    drop(gate);
    let got = visitors.stay();
    worker.wait_closed(None);
    worker.close();
    let stats = worker.stats();
    assert_eq!((stats.active, stats.parked), (0, 0), "{stats:?}");
    drop(worker);
    let (heard, _) = read(pieces.stream);
    got.check(&heard);
    assert!(output.is_let_go(), "a thread is left");
    check_output(&output.bytes(), &heard, &carrier);
}

fn start(pieces: Pieces, carrier: &CarrierOptions) -> (ClientWorker, Kept, Sender<()>) {
    let end = match pieces.choice & BREAKS {
        0 => End::Orderly,
        _ => End::Broken,
    };
    let (gate, closed) = bounded(0);
    let (sink, kept) = Sink::new(false);
    let link = Link::new(Feed::new(pieces, end).behind(closed), sink);
    let options = ClientOptions {
        keep_idle: true,
        carrier: carrier.clone(),
        ..ClientOptions::default()
    };
    let worker = ClientWorker::new(link, options).expect("threads to start");
    (worker, kept, gate)
}

fn target(id: u16) -> Destination {
    let network = match id {
        DATAGRAMS | HEARTBEAT => Network::Udp,
        _ => Network::Tcp,
    };
    Destination::new(network, std::net::Ipv4Addr::new(192, 0, 2, 1).into(), id)
}

/// The sessions' visitors.
struct Visitors {
    open: Visitor,
    half_closed: Visitor,
    datagrams: Visitor,
    by_hand: MuxStream,
    _heartbeat: ControlSession,
}

/// One whose session is forwarded.
struct Visitor {
    link: Link,
    kept: Kept,
}

impl Visitor {
    fn open(worker: &ClientWorker, id: u16, slow: bool) -> Self {
        let mut link = worker.connect(target(id)).expect("a session");
        say(&mut link, WORDS);
        let (sink, kept) = Sink::new(slow);
        let done = link.reader.forward(Box::new(sink), Nowhere::handle());
        assert!(done.is_ok(), "a session forwards");
        Self { link, kept }
    }
}

fn say(link: &mut Link, words: &[u8]) {
    // It fails when the carrier or the session has ended.
    let _ = link.writer.write(&mut [Buf::copy_of(words)].into());
}

impl Visitors {
    fn open(worker: &ClientWorker, slow: bool) -> Self {
        let open = Visitor::open(worker, OPEN, slow);
        let mut half_closed = Visitor::open(worker, HALF_CLOSED, slow);
        half_closed.link.writer.close().expect("it is open");
        let datagrams = Visitor::open(worker, DATAGRAMS, slow);
        drop(worker.connect(target(DEAF)).expect("a session").reader);
        let by_hand = worker.open(target(BY_HAND)).expect("a session");
        let mut heartbeat = worker.open_control(target(HEARTBEAT)).expect("a session");
        heartbeat.try_send(WORDS).expect("a heartbeat");
        Self {
            open,
            half_closed,
            datagrams,
            by_hand,
            _heartbeat: heartbeat,
        }
    }

    /// Says and hears all there is.
    fn stay(mut self) -> Got {
        say(&mut self.open.link, &[7; MUCH]);
        let _ = self.by_hand.write_all(WORDS);
        let mut bytes = Vec::new();
        let orderly = self.by_hand.read_to_end(&mut bytes).is_ok();
        Got {
            forwarded: [
                (OPEN, self.open.kept),
                (HALF_CLOSED, self.half_closed.kept),
                (DATAGRAMS, self.datagrams.kept),
            ],
            by_hand: (vec![bytes], orderly),
        }
    }
}

/// What the visitors got.
struct Got {
    forwarded: [(u16, Kept); 3],
    by_hand: (Vec<Vec<u8>>, bool),
}

impl Got {
    fn check(&self, heard: &[Frame]) {
        for (id, kept) in &self.forwarded {
            assert!(kept.is_let_go(), "session {id} still has its visitor");
            let orderly = kept.end() == Some(End::Orderly);
            check_session(*id, heard, &kept.writes(), orderly);
        }
        let (writes, orderly) = &self.by_hand;
        check_session(BY_HAND, heard, writes, *orderly);
    }
}

fn check_session(id: u16, heard: &[Frame], writes: &[Vec<u8>], orderly: bool) {
    let said = Said::about(id, heard, false);
    let fault = said.fault(target(id).network, writes, orderly);
    assert_eq!(
        fault, None,
        "session {id} got {writes:?}, orderly: {orderly}"
    );
}

fn check_output(output: &[u8], heard: &[Frame], options: &CarrierOptions) {
    let known = |id| (1..=SESSIONS).contains(&id);
    let sent = model::sent(output, |id| known(id).then(|| target(id).network));
    let opened = sent.iter().filter_map(model::opens);
    let mut ids: Vec<u16> = opened
        .map(|(id, to)| {
            assert_eq!(*to, target(id));
            id
        })
        .collect();
    ids.sort();
    ids.dedup();
    let news = sent
        .iter()
        .filter(|frame| model::head(frame).1 == SessionStatus::New);
    assert_eq!(news.count(), ids.len(), "a session is opened twice");
    model::ends_are_few(&sent, heard, |id| usize::from(known(id)));
    let spoken = model::signals(&sent, &CarrierOptions::default());
    let greeted = matches!(spoken.first(), Some(Message::Hello(_)));
    assert!(sent.is_empty() || greeted == options.extensions);
    model::signals_are_answers(&spoken, &model::signals(heard, options));
    for id in 1..=SESSIONS {
        let (bytes, _) = model::stream_of(id, &sent);
        let much = [WORDS, &[7; MUCH]].concat();
        assert!(much.starts_with(&bytes), "session {id} said something else");
    }
}
