//! A scripted peer that speaks the extensions of muxcool peers, with an
//! encoding of its own.

use std::collections::VecDeque;

use muxcool::link::Link;

use super::frames::{Frame, KEEP_ALIVE, Script};
use super::wire::{Spec, wire};

/// One message in a frame of signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    Hello { window: u32 },
    Credit(Vec<(u16, u64)>),
    Ping(u64),
    Pong(u64),
    Drain,
}

impl Signal {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Signal::Hello { window } => hello(b"MUXCOOL", 1, *window),
            Signal::Credit(credits) => {
                let entry = |(id, offset): &(u16, u64)| {
                    [&id.to_be_bytes()[..], &offset.to_be_bytes()].concat()
                };
                message(2, &credits.iter().flat_map(entry).collect::<Vec<u8>>())
            }
            Signal::Ping(nonce) => message(3, &nonce.to_be_bytes()),
            Signal::Pong(nonce) => message(4, &nonce.to_be_bytes()),
            Signal::Drain => message(5, &[]),
        }
    }

    /// The messages in a frame, all of which must be known.
    fn parse_all(mut data: &[u8]) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let [kind, hi, lo, rest @ ..] = data {
            let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes([*hi, *lo])));
            signals.push(Signal::parse(*kind, body));
            data = rest;
        }
        assert!(data.is_empty(), "a cut message: {data:?}");
        signals
    }

    fn parse(kind: u8, body: &[u8]) -> Signal {
        let nonce = || u64::from_be_bytes(body.try_into().unwrap());
        match kind {
            1 => {
                assert_eq!(&body[..8], b"MUXCOOL\x01");
                assert_eq!(body.len(), 18);
                let window = u32::from_be_bytes(body[8..12].try_into().unwrap());
                Signal::Hello { window }
            }
            2 => {
                let entry = |entry: &[u8]| {
                    let id = u16::from_be_bytes(entry[..2].try_into().unwrap());
                    (id, u64::from_be_bytes(entry[2..].try_into().unwrap()))
                };
                Signal::Credit(body.chunks(10).map(entry).collect())
            }
            3 => Signal::Ping(nonce()),
            4 => Signal::Pong(nonce()),
            5 => Signal::Drain,
            other => panic!("a message of type {other}"),
        }
    }
}

/// One message as bytes.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// HELLO with any magic and version.
pub fn hello(magic: &[u8], version: u8, window: u32) -> Vec<u8> {
    let mut body = magic.to_vec();
    body.push(version);
    body.extend(window.to_be_bytes());
    body.extend([8, 0, 0, 0, 0, 0]); // datagrams of 2048 bytes, no capabilities
    message(1, &body)
}

/// A frame of signals.
pub fn signals(data: &[u8]) -> Frame {
    let mut frame = Frame::keep(0, data);
    frame.status = KEEP_ALIVE;
    frame
}

/// The signals in a frame; `None` if it belongs to a session.
pub fn signals_in(frame: &Frame) -> Option<Vec<Signal>> {
    let is_signals = frame.status == KEEP_ALIVE && frame.id == 0;
    is_signals.then(|| Signal::parse_all(frame.payload()))
}

/// The peer. It says and answers what the test tells it to, and keeps apart
/// what it hears: frames of sessions, and signals.
pub struct Speaker {
    script: Script,
    frames: VecDeque<Frame>,
    signals: VecDeque<Signal>,
    last_nonce: u64,
}

impl Speaker {
    /// A peer, and the link for the worker.
    pub fn new() -> (Link, Speaker) {
        let wire = wire(Spec {
            capacity: 4 * 1024 * 1024,
            ..Spec::default()
        });
        (wire.near, Speaker::on(wire.far))
    }

    pub fn on(link: Link) -> Speaker {
        Speaker {
            script: Script::on(link),
            frames: VecDeque::new(),
            signals: VecDeque::new(),
            last_nonce: 1 << 32, // apart from the worker's own
        }
    }

    /// Sends these in one frame.
    pub fn say(&mut self, signals: &[Signal]) {
        let data: Vec<u8> = signals.iter().flat_map(Signal::bytes).collect();
        self.say_bytes(&data);
    }

    pub fn say_bytes(&mut self, data: &[u8]) {
        self.send(signals(data));
    }

    pub fn send(&mut self, frame: Frame) {
        self.script.send(frame);
    }

    /// Sends a stream's bytes in frames of at most `size`.
    pub fn stream(&mut self, id: u16, data: &[u8], size: usize) {
        for piece in data.chunks(size) {
            self.send(Frame::keep(id, piece));
        }
    }

    /// The next frame of a session.
    pub fn frame(&mut self) -> Frame {
        while self.frames.is_empty() {
            self.hear();
        }
        self.frames.pop_front().unwrap()
    }

    pub fn expect(&mut self, frame: Frame) {
        assert_eq!(self.frame(), frame);
    }

    /// The next signal.
    pub fn signal(&mut self) -> Signal {
        while self.signals.is_empty() {
            self.hear();
        }
        self.signals.pop_front().unwrap()
    }

    /// The next one that `pick` wants; those before it are forgotten.
    pub fn until<T>(&mut self, pick: impl Fn(&Signal) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(&self.signal()) {
                return picked;
            }
        }
    }

    /// Waits for HELLO; returns its window.
    pub fn greeted(&mut self) -> u32 {
        self.until(|signal| match signal {
            Signal::Hello { window } => Some(*window),
            _ => None,
        })
    }

    /// Waits for a session's credit; returns the offset.
    pub fn credit(&mut self, id: u16) -> u64 {
        self.until(|signal| match signal {
            Signal::Credit(credits) => credits.iter().find(|(of, _)| *of == id).map(|c| c.1),
            _ => None,
        })
    }

    /// The same, past an offset: of two that were sent at once the smaller one may
    /// come later.
    pub fn credit_past(&mut self, id: u16, offset: u64) -> u64 {
        loop {
            let credit = self.credit(id);
            if credit > offset {
                return credit;
            }
        }
    }

    /// Waits for the worker's PING.
    pub fn pinged(&mut self) -> u64 {
        self.until(|signal| match signal {
            Signal::Ping(nonce) => Some(*nonce),
            _ => None,
        })
    }

    /// Waits until the worker has read all that was sent. What comes meanwhile
    /// is kept.
    pub fn sync(&mut self) {
        self.last_nonce += 1;
        let pong = Signal::Pong(self.last_nonce);
        self.say(&[Signal::Ping(self.last_nonce)]);
        while !self.signals.contains(&pong) {
            self.hear();
        }
        self.signals.retain(|signal| *signal != pong);
    }

    /// What has been heard of sessions and not been asked for.
    pub fn frames(&self) -> &VecDeque<Frame> {
        &self.frames
    }

    /// The same of signals.
    pub fn signals(&self) -> &VecDeque<Signal> {
        &self.signals
    }

    /// The carrier ends with an error.
    pub fn reset(mut self) {
        self.script.carrier.read_to_error();
    }

    pub fn script(&mut self) -> &mut Script {
        &mut self.script
    }

    fn hear(&mut self) {
        let frame = raw_frame(&mut self.script);
        match signals_in(&frame) {
            Some(signals) => self.signals.extend(signals),
            None => self.frames.push_back(frame),
        }
    }
}

/// The next frame of any kind.
pub fn raw_frame(script: &mut Script) -> Frame {
    let carrier = &mut script.carrier;
    let mut bytes = carrier.read(2);
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes.extend(carrier.read(len));
    if bytes[5] & 1 != 0 {
        let length = carrier.read(2);
        let data = usize::from(u16::from_be_bytes([length[0], length[1]]));
        bytes.extend(length);
        bytes.extend(carrier.read(data));
    }
    super::frames::parse(&bytes).remove(0)
}
