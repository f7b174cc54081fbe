//! What a carrier's bytes mean for each session, read when all of them are
//! there, and what its other side may say to that.

use std::collections::BTreeMap;

use muxcool::limits::{FRAME_PAYLOAD, MAX_PLAIN_DATAGRAM};
use muxcool::mux::{CarrierOptions, Message, SessionStatus};
use muxcool::net::{Destination, Network};

use super::frame_stream::{Ending, Frame, read};

/// What a peer says on one session.
#[derive(Debug, Default)]
pub struct Said {
    /// The payload of each frame before its End.
    pub payloads: Vec<Vec<u8>>,
    /// The last of them is not all there.
    pub cut: bool,
    /// It has ended it: with the error bit?
    pub end: Option<bool>,
    /// It has said more, before its New, or after its End or another New.
    pub more: bool,
}

impl Said {
    /// In `frames` about the session `id`, which is open before the first of
    /// them. A New of the same id ends it at a server.
    pub fn about(id: u16, frames: &[Frame], new_ends_it: bool) -> Self {
        let mut said = Said::default();
        let mut over = false;
        for frame in frames {
            let (about, status) = head(frame);
            if about != id || status == SessionStatus::KeepAlive {
                continue;
            }
            let is_new = status == SessionStatus::New;
            if is_new && !new_ends_it {
                continue;
            }
            if over {
                said.more = true;
            } else if status == SessionStatus::Keep {
                said.hear(frame);
            } else {
                over = true;
                said.end = frame
                    .metadata
                    .as_ref()
                    .ok()
                    .filter(|_| !is_new)
                    .map(|m| m.option.has_error);
            }
        }
        said
    }

    pub fn hear(&mut self, frame: &Frame) {
        if let Some(declared) = frame.declared {
            self.cut = frame.payload.len() < declared;
            self.payloads.push(frame.payload.clone());
        }
    }

    /// What is wrong if a consumer got `writes` of it, and an orderly end or
    /// not: of a stream it gets the beginning, and all if the end is orderly;
    /// of datagrams some, in order, each whole.
    pub fn fault(
        &self,
        network: Network,
        writes: &[Vec<u8>],
        orderly: bool,
    ) -> Option<&'static str> {
        if orderly && self.end != Some(false) {
            return Some("an end that nobody has sent");
        }
        match network {
            Network::Tcp => self.fault_of_stream(&writes.concat(), orderly),
            Network::Udp => self.fault_of_datagrams(writes),
        }
    }

    fn fault_of_stream(&self, got: &[u8], orderly: bool) -> Option<&'static str> {
        let said = self.payloads.concat();
        match said.strip_prefix(got) {
            None => Some("bytes that nobody has sent"),
            Some(missing) if orderly && !missing.is_empty() => Some("a short end"),
            Some(_) => None,
        }
    }

    fn fault_of_datagrams(&self, writes: &[Vec<u8>]) -> Option<&'static str> {
        let whole = self.payloads.len() - usize::from(self.cut);
        let mut said = self.payloads[..whole].iter();
        let mut sent = |datagram| said.any(|sent| sent == datagram);
        match writes.iter().all(&mut sent) {
            true => None,
            false => Some("a datagram that nobody has sent"),
        }
    }
}

/// Id and status, also of a New whose target cannot be read.
pub fn head(frame: &Frame) -> (u16, SessionStatus) {
    use muxcool::mux::FrameError::BadTarget;
    match &frame.metadata {
        Ok(metadata) => (metadata.session_id, metadata.status),
        Err(BadTarget { session_id, .. }) => (*session_id, SessionStatus::New),
        Err(other) => panic!("a frame with {other:?}"),
    }
}

/// The messages of the signals among `frames`, as far as they are obeyed.
pub fn signals(frames: &[Frame], options: &CarrierOptions) -> Vec<Message> {
    let mut messages = Vec::new();
    for frame in frames {
        let whole = frame.declared == Some(frame.payload.len());
        if !options.extensions || !whole || head(frame) != (0, SessionStatus::KeepAlive) {
            continue;
        }
        match Message::decode_all(&frame.payload) {
            Ok(some) => messages.extend(some),
            Err(_) => break,
        }
    }
    messages
}

/// The frames that a worker has sent, which must be whole, and no larger than
/// is agreed.
pub fn sent(bytes: &[u8], network: impl Fn(u16) -> Option<Network>) -> Vec<Frame> {
    let (frames, ending) = read(bytes);
    assert_eq!(ending, Ending::Whole, "a cut frame was sent");
    for frame in &frames {
        let (id, status) = head(frame);
        assert!(frame.metadata.is_ok());
        match (status, network(id)) {
            (SessionStatus::New | SessionStatus::Keep, Some(Network::Tcp)) => {
                assert!(frame.payload.len() <= FRAME_PAYLOAD);
            }
            (SessionStatus::New | SessionStatus::Keep, Some(Network::Udp)) => {
                assert!(frame.payload.len() <= MAX_PLAIN_DATAGRAM);
            }
            (SessionStatus::Keep, None) => panic!("data on session {id}, which is nobody's"),
            _ => {}
        }
    }
    frames
}

/// A session is ended once, and once more with the error bit if it fails after
/// that; other Ends answer data for an id that is not open.
pub fn ends_are_few(sent: &[Frame], heard: &[Frame], sessions: impl Fn(u16) -> usize) {
    let mut ends = BTreeMap::<u16, (usize, usize)>::new();
    for frame in sent {
        let (id, status) = head(frame);
        if status == SessionStatus::End {
            let (orderly, failed) = ends.entry(id).or_default();
            match frame.metadata.as_ref().is_ok_and(|m| m.option.has_error) {
                false => *orderly += 1,
                true => *failed += 1,
            }
        }
    }
    for (id, (orderly, failed)) in ends {
        let keep = (id, SessionStatus::Keep);
        let data = heard
            .iter()
            .filter(|frame| head(frame) == keep && frame.declared.is_some());
        assert!(
            orderly <= sessions(id) + data.count(),
            "{orderly} Ends for {id}"
        );
        assert!(
            failed <= sessions(id),
            "{failed} Ends with the error bit for {id}"
        );
    }
}

/// Signals are sent to who has spoken them, and answers to who has asked.
pub fn signals_are_answers(sent: &[Message], heard: &[Message]) {
    let said_hello = |messages: &[Message]| {
        let hellos = messages.iter().filter(|m| matches!(m, Message::Hello(_)));
        hellos.count()
    };
    assert!(said_hello(sent) <= 1);
    for message in sent {
        match message {
            Message::Pong(nonce) => assert!(heard.contains(&Message::Ping(*nonce))),
            Message::Hello(_) => {}
            _ => assert!(said_hello(heard) > 0, "{message:?} to a plain peer"),
        }
    }
    let pings = heard
        .iter()
        .filter(|m| matches!(m, Message::Ping(_)))
        .count();
    let pongs = sent
        .iter()
        .filter(|m| matches!(m, Message::Pong(_)))
        .count();
    assert!(pongs <= pings);
}

/// The most bytes of a session that this peer allows, if it has said so with
/// its first frame; else there is no limit, for the session may have sent
/// before.
pub fn credit(id: u16, heard: &[Message], first: Option<&Frame>) -> Option<u64> {
    let first = first.filter(|frame| head(frame) == (0, SessionStatus::KeepAlive))?;
    let in_first = Message::decode_all(&first.payload).ok()?;
    let Some(Message::Hello(hello)) = heard.first().filter(|_| !in_first.is_empty()) else {
        return None;
    };
    let granted = heard.iter().flat_map(|message| match message {
        Message::Credit(credits) => credits.clone(),
        _ => Vec::new(),
    });
    let highest = granted
        .filter(|(of, _)| *of == id)
        .map(|(_, offset)| offset)
        .max();
    Some(highest.unwrap_or(0).max(hello.window.into()))
}

/// What the frames carry on a session, and how they end it first.
pub fn stream_of(id: u16, sent: &[Frame]) -> (Vec<u8>, Option<bool>) {
    let mut bytes = Vec::new();
    for frame in sent {
        match head(frame) {
            (of, SessionStatus::New | SessionStatus::Keep) if of == id => {
                bytes.extend_from_slice(&frame.payload);
            }
            (of, SessionStatus::End) if of == id => {
                let error = frame.metadata.as_ref().is_ok_and(|m| m.option.has_error);
                return (bytes, Some(error));
            }
            _ => {}
        }
    }
    (bytes, None)
}

/// The target of a New that has one.
pub fn opens(frame: &Frame) -> Option<(u16, &Destination)> {
    let metadata = frame.metadata.as_ref().ok()?;
    Some((metadata.session_id, metadata.target.as_ref()?))
}
