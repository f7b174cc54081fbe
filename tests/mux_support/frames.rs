//! A peer that speaks raw frames, with a reader of its own, independent of
//! the crate's.

use std::collections::VecDeque;

use muxcool::link::Link;
use muxcool::net::Destination;

use super::party::Party;
use super::wire::{Spec, wire};

pub const NEW: u8 = 1;
pub const KEEP: u8 = 2;
pub const END: u8 = 3;
pub const KEEP_ALIVE: u8 = 4;

/// Never given out, so that every peer answers data for it with End.
pub const PROBE: u16 = 65_535;

/// A frame as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub id: u16,
    pub status: u8,
    pub option: u8,
    /// What follows in the metadata.
    pub extra: Vec<u8>,
    pub data: Option<Vec<u8>>,
}

impl Frame {
    pub fn new(id: u16, status: u8) -> Self {
        Self {
            id,
            status,
            option: 0,
            extra: Vec::new(),
            data: None,
        }
    }

    pub fn open(id: u16, target: &Destination, data: Option<&[u8]>) -> Self {
        let header = muxcool::mux::new_header(id, target, None);
        let mut frame = Self::new(id, NEW);
        frame.extra = header[6..].to_vec();
        frame.with_data(data)
    }

    pub fn keep(id: u16, data: &[u8]) -> Self {
        Self::new(id, KEEP).with_data(Some(data))
    }

    pub fn end(id: u16, error: bool) -> Self {
        let mut frame = Self::new(id, END);
        frame.option = u8::from(error) * 2;
        frame
    }

    fn with_data(mut self, data: Option<&[u8]>) -> Self {
        self.option |= u8::from(data.is_some());
        self.data = data.map(<[u8]>::to_vec);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = ((4 + self.extra.len()) as u16).to_be_bytes().to_vec();
        bytes.extend(self.id.to_be_bytes());
        bytes.extend([self.status, self.option]);
        bytes.extend(&self.extra);
        if let Some(data) = &self.data {
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    pub fn payload(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }
}

/// Whole frames in `bytes`, which must hold nothing else.
pub fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, len) = parse_one(bytes).expect("whole frames");
        frames.push(frame);
        bytes = &bytes[len..];
    }
    frames
}

fn parse_one(bytes: &[u8]) -> Option<(Frame, usize)> {
    let be16 = |at: usize| {
        let pair = bytes.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([pair[0], pair[1]])))
    };
    let metadata = bytes.get(2..2 + be16(0)?)?;
    let mut frame = Frame::new(be16(2)? as u16, metadata[2]);
    frame.option = metadata[3];
    frame.extra = metadata[4..].to_vec();
    let mut len = 2 + metadata.len();
    if frame.option & 1 != 0 {
        let data = bytes.get(len + 2..len + 2 + be16(len)?)?;
        frame.data = Some(data.to_vec());
        len += 2 + data.len();
    }
    Some((frame, len))
}

fn is_between_muxcool_peers(frame: &Frame) -> bool {
    let is_signal = frame.status == KEEP_ALIVE && frame.id == 0;
    is_signal || *frame == Frame::keep(PROBE, b"")
}

/// A scripted peer on the far end of a worker's carrier.
pub struct Script {
    pub carrier: Party,
    /// Frames that came while an answer was waited for.
    pub seen: VecDeque<Frame>,
}

impl Script {
    /// A peer, and the link for the worker.
    pub fn new() -> (Link, Script) {
        Self::with(Spec {
            capacity: 4 * 1024 * 1024,
            ..Spec::default()
        })
    }

    pub fn with(spec: Spec) -> (Link, Script) {
        let wire = wire(spec);
        (wire.near, Script::on(wire.far))
    }

    pub fn on(link: Link) -> Script {
        Script {
            carrier: link.into(),
            seen: VecDeque::new(),
        }
    }

    pub fn send(&mut self, frame: Frame) {
        self.carrier.write(&frame.bytes());
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        match self.seen.pop_front() {
            Some(frame) => frame,
            None => self.next(),
        }
    }

    /// As the whole family does, this peer reads past what muxcool peers tell
    /// each other; and it lets probes of it go unanswered.
    fn next(&mut self) -> Frame {
        loop {
            let frame = self.next_of_any_kind();
            if !is_between_muxcool_peers(&frame) {
                return frame;
            }
        }
    }

    fn next_of_any_kind(&mut self) -> Frame {
        let mut bytes = self.carrier.read(2);
        let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        bytes.extend(self.carrier.read(len));
        if bytes[5] & 1 != 0 {
            let length = self.carrier.read(2);
            let data = usize::from(u16::from_be_bytes([length[0], length[1]]));
            bytes.extend(length);
            bytes.extend(self.carrier.read(data));
        }
        parse_one(&bytes).expect("a whole frame").0
    }

    /// The next frame is this one.
    pub fn expect(&mut self, frame: Frame) {
        assert_eq!(self.frame(), frame);
    }

    /// Waits until the worker has read all that was sent.
    pub fn sync(&mut self) {
        self.send(Frame::keep(PROBE, b""));
        loop {
            let frame = self.next();
            if frame == Frame::end(PROBE, false) {
                return;
            }
            self.seen.push_back(frame);
        }
    }

    /// Ends the carrier in an orderly way; what the worker still sent.
    pub fn finish(mut self) -> Vec<Frame> {
        self.carrier.close();
        let mut frames: Vec<Frame> = self.seen.into();
        frames.extend(parse(&self.carrier.read_to_end()));
        frames.retain(|frame| !is_between_muxcool_peers(frame));
        frames
    }
}
