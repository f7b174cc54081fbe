//! A whole mux server that is fed a carrier's bytes. What becomes of a session
//! is up to its target's port.

use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::{LEAST_ROOM, LONGEST_WAIT};
use muxcool::link::{DispatchError, Dispatcher, Link, LinkError, Reader, Request, Writer};
use muxcool::mux::{CarrierOptions, Message, ServerWorker};
use muxcool::net::{Destination, Network};
use parking_lot::Mutex;

use super::frame_stream::{Frame, read};
use super::memory::{End, Feed, Kept, Sink};
use super::mux_model::{self as model, Said};
use super::pieces::{Pieces, repeated};

/// The carrier ends with an error.
const BREAKS: u8 = 1;
/// The server does not speak the extensions.
const PLAIN: u8 = 2;
/// The targets take nothing without a wait.
const SLOW: u8 = 4;
/// Part of the carrier's bytes is repeated, so that little says much.
const REPEATS: u8 = 8;

/// How long a session that takes nothing may hold up the others.
const STALLED: Duration = Duration::from_millis(20);

/// What a target that has much to say says.
const MUCH: usize = 100_000;
/// What another one says.
const LITTLE: &[u8] = b"answer";

pub fn check(data: &[u8]) {
    let mut pieces = Pieces::new(data);
    let stream = match pieces.choice & REPEATS {
        0 => pieces.stream.to_vec(),
        _ => repeated(pieces.stream),
    };
    pieces.stream = &stream;
    let options = CarrierOptions {
        extensions: pieces.choice & PLAIN == 0,
        end_quiet: LONGEST_WAIT,
        window: LEAST_ROOM as u32,
        parked: LEAST_ROOM,
        stalled_session: STALLED,
        liveness: None,
        ..CarrierOptions::default()
    };
    let targets = Arc::new(Targets {
        slow: pieces.choice & SLOW != 0,
        served: Mutex::default(),
    });
    let output = serve(pieces, &options, targets.clone());
    let (heard, _) = read(pieces.stream);
    for served in targets.served.lock().iter() {
        assert!(served.returned, "{} is still served", served.target);
        served.check(&heard);
    }
    check_output(&output, &heard, &options);
}

/// Serves the carrier to its end. Nothing may be left of it then.
fn serve(pieces: Pieces, options: &CarrierOptions, targets: Arc<Targets>) -> Vec<u8> {
    let end = match pieces.choice & BREAKS {
        0 => End::Orderly,
        _ => End::Broken,
    };
    let (sink, kept) = Sink::new(false);
    let link = Link::new(Feed::new(pieces, end), sink);
    let origin = Request::new(Destination::tcp("192.0.2.1", 1).expect("an address"));
    let worker = ServerWorker::start_with(link, targets, origin, options, || {});
    let worker = worker.expect("threads to start");
    worker.wait_closed(None);
    worker.close();
    let stats = worker.stats();
    assert_eq!((stats.active, stats.parked), (0, 0), "{stats:?}");
    drop(worker);
    assert!(kept.is_let_go(), "a thread is left");
    kept.bytes()
}

/// A dispatcher that notes what its sessions get.
struct Targets {
    slow: bool,
    served: Mutex<Vec<Served>>,
}

/// What came of one session.
struct Served {
    target: Destination,
    got: Got,
    returned: bool,
}

enum Got {
    Nothing,
    /// By hand, and an orderly end.
    Read(Vec<Vec<u8>>, bool),
    /// By a sink.
    Forwarded(Kept),
}

impl Dispatcher for Targets {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let index = {
            let mut served = self.served.lock();
            served.push(Served {
                target: request.target.clone(),
                got: Got::Nothing,
                returned: false,
            });
            served.len() - 1
        };
        let (got, outcome) = self.act(request.target.port, link);
        let mut served = self.served.lock();
        served[index].got = got;
        served[index].returned = true;
        outcome
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        Err(DispatchError::Refused("not a carrier"))
    }
}

impl Targets {
    fn act(&self, port: u16, mut link: Link) -> (Got, Result<(), DispatchError>) {
        match port % 8 {
            0 => (echo(link), Ok(())),
            1 => (self.forward(link), Ok(())),
            2 => (answer(link, LITTLE), Ok(())),
            3 => (Got::Nothing, Err(DispatchError::Refused("not here"))),
            4 => (answer(link, &[7; MUCH]), Ok(())),
            5 => (Got::Nothing, Ok(())),
            6 => {
                let first = link.reader.read().ok().flatten();
                let first = first.iter().map(|buf| buf.as_slice().to_vec());
                (Got::Read(first.collect(), false), Ok(()))
            }
            _ => {
                drop(link.reader);
                let _ = say(link.writer.as_mut(), LITTLE).and_then(|()| link.writer.close());
                (Got::Nothing, Ok(()))
            }
        }
    }

    fn forward(&self, link: Link) -> Got {
        let Link {
            mut reader,
            mut writer,
        } = link;
        let (sink, kept) = Sink::new(self.slow);
        match reader.forward(Box::new(sink), writer.handle()) {
            Ok(done) => done.wait(),
            Err(_) => panic!("a session forwards"),
        }
        let _ = writer.close();
        Got::Forwarded(kept)
    }
}

fn echo(mut link: Link) -> Got {
    let mut got = Vec::new();
    loop {
        match link.reader.read() {
            Ok(Some(buf)) => {
                got.push(buf.as_slice().to_vec());
                if link.writer.write(&mut [buf].into()).is_err() {
                    return Got::Read(got, false);
                }
            }
            Ok(None) => {
                let _ = link.writer.close();
                return Got::Read(got, true);
            }
            Err(_) => return Got::Read(got, false),
        }
    }
}

fn answer(mut link: Link, words: &[u8]) -> Got {
    let _ = say(link.writer.as_mut(), words).and_then(|()| link.writer.close());
    let (got, orderly) = drain(link.reader.as_mut());
    Got::Read(got, orderly)
}

fn say(writer: &mut dyn Writer, words: &[u8]) -> Result<(), LinkError> {
    writer.write(&mut [muxcool::buf::Buf::copy_of(words)].into())
}

fn drain(reader: &mut dyn Reader) -> (Vec<Vec<u8>>, bool) {
    let mut got = Vec::new();
    loop {
        match reader.read() {
            Ok(Some(buf)) => got.push(buf.as_slice().to_vec()),
            Ok(None) => return (got, true),
            Err(_) => return (got, false),
        }
    }
}

impl Served {
    /// It got what was sent on one of the sessions to its target.
    fn check(&self, heard: &[Frame]) {
        let (writes, orderly) = match &self.got {
            Got::Nothing => (Vec::new(), false),
            Got::Read(writes, orderly) => (writes.clone(), *orderly),
            Got::Forwarded(kept) => (kept.writes(), kept.end() == Some(End::Orderly)),
        };
        let openings = openings(heard);
        let mut said = openings
            .iter()
            .filter(|(_, target, _)| *target == self.target);
        let network = self.target.network;
        assert!(
            said.any(|(_, _, said)| said.fault(network, &writes, orderly).is_none()),
            "{} got {writes:?}, orderly: {orderly}",
            self.target
        );
    }
}

/// The sessions that the peer asks for, and what it says on each.
fn openings(heard: &[Frame]) -> Vec<(u16, Destination, Said)> {
    let mut openings = Vec::new();
    for (index, frame) in heard.iter().enumerate() {
        if let Some((id, target)) = model::opens(frame) {
            let mut said = Said::default();
            said.hear(frame);
            let later = Said::about(id, &heard[index + 1..], true);
            said.cut |= later.cut;
            said.payloads.extend(later.payloads);
            let before = heard[..index]
                .iter()
                .any(|frame| model::head(frame).0 == id);
            (said.end, said.more) = (later.end, later.more || before);
            openings.push((id, target.clone(), said));
        }
    }
    openings
}

fn check_output(output: &[u8], heard: &[Frame], options: &CarrierOptions) {
    let openings = openings(heard);
    let network = |id| {
        let mut of_id = openings.iter().filter(|o| o.0 == id).map(|o| o.1.network);
        let first = of_id.next()?;
        // Where an id is used for both kinds, the looser bound holds.
        Some(of_id.find(|other| *other == Network::Tcp).unwrap_or(first))
    };
    let sent = model::sent(output, network);
    assert!(
        sent.iter().all(|frame| model::opens(frame).is_none()),
        "a server's New"
    );
    let asked = |id| {
        let news = heard
            .iter()
            .filter(|frame| model::head(frame) == (id, muxcool::mux::SessionStatus::New));
        news.count()
    };
    model::ends_are_few(&sent, heard, asked);
    let spoken = model::signals(&sent, &CarrierOptions::default());
    let signals = model::signals(heard, options);
    model::signals_are_answers(&spoken, &signals);
    let greeted = signals.iter().any(|m| matches!(m, Message::Hello(_)));
    assert!(greeted || !spoken.iter().any(|m| matches!(m, Message::Hello(_))));
    for (id, target, said) in &openings {
        if asked(*id) == 1 && target.network == Network::Tcp {
            let credit = model::credit(*id, &signals, heard.first());
            check_stream(model::stream_of(*id, &sent), target, said, credit);
        }
    }
}

/// The only session of its id.
fn check_stream(
    (bytes, end): (Vec<u8>, Option<bool>),
    target: &Destination,
    said: &Said,
    credit: Option<u64>,
) {
    let whole = match target.port % 8 {
        0 => said.payloads.concat(),
        2 | 7 => LITTLE.to_vec(),
        4 => vec![7; MUCH],
        _ => Vec::new(),
    };
    assert!(whole.starts_with(&bytes), "{target} said something else");
    assert!(
        credit.is_none_or(|most| bytes.len() as u64 <= most),
        "past the credit"
    );
    // What comes for a session that is over is answered with End, too.
    if end == Some(false) && !said.more {
        assert_eq!(bytes.len(), whole.len(), "a short end");
    }
}
