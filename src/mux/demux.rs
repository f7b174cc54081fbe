//! The reading side of a carrier: frames out of its link, and what each does.

use std::sync::Arc;

use log::debug;

use super::MuxError;
use super::carrier::Carrier;
use super::codec::{Event, FrameDecoder};
use super::frame::{FrameError, FrameMetadata, SessionStatus};
use super::grants::Grants;
use super::idle_frames::IdleFrames;
use super::probes::Probe;
use super::session::Session;
use super::wakes::Wakes;
use crate::buf::Buf;
use crate::limits::{DIRECT_SIZE, FRAME_PAYLOAD, KEEP_HEAD, MAX_FRAME_PAYLOAD, PROBE_SESSION};
use crate::link::{LinkError, Reader};
use crate::net::{Destination, Network, Origin};

/// What a peer's New means on this end of a carrier.
pub(super) trait Role: Send + 'static {
    /// Opens the session that the peer asks for; `None` if it gets none, and
    /// then its payload is skipped.
    fn open(
        &mut self,
        carrier: &Arc<Carrier>,
        id: u16,
        target: Destination,
        origin: Option<Box<Origin>>,
    ) -> Option<Arc<Session>>;

    /// The peer asks for a session whose target, or origin, cannot be read.
    fn refuse(&mut self, carrier: &Carrier, id: u16);
}

/// Where the payload of the current frame goes.
enum Current {
    Skip,
    Stream(Arc<Session>),
    Datagram(Arc<Session>),
    /// What muxcool peers tell each other.
    Signals,
}

/// The reading side's state: which frame it is in.
pub(super) struct Demux<'a, R> {
    carrier: &'a Arc<Carrier>,
    role: R,
    current: Current,
    /// The current frame is worth reads that end with it.
    is_large: bool,
    idle_frames: IdleFrames,
    /// The part that has arrived of a payload that is wanted whole.
    pieces: Vec<u8>,
    grants: Grants,
    wakes: Wakes,
}

impl<'a, R: Role> Demux<'a, R> {
    pub(super) fn new(carrier: &'a Arc<Carrier>, role: R) -> Self {
        Self {
            carrier,
            role,
            current: Current::Skip,
            is_large: false,
            idle_frames: IdleFrames::new(carrier.timer().clock().now()),
            pieces: Vec::new(),
            grants: Grants::default(),
            wakes: Wakes::default(),
        }
    }

    /// Reads frames and acts on them, until the link ends.
    pub(super) fn run(&mut self, reader: &mut dyn Reader) -> Result<(), MuxError> {
        let mut decoder = FrameDecoder::new();
        while let Some(buf) = self.read(reader)? {
            if self.carrier.closed().is_done() {
                return Ok(()); // what it asks for now is not refused, but lost
            }
            self.carrier.peer().hear(self.carrier.timer().clock().now());
            self.carrier.count_received(buf.len());
            self.grants.received(buf.len());
            if self.carrier.hears_origins() {
                decoder.read_origins();
            }
            self.wakes.received(buf.len());
            self.take(buf, &mut decoder)?;
            if self.wakes.are_due() {
                self.wakes.send();
            }
            if self.grants.are_due() {
                send_grants(&mut self.grants, self.carrier);
            }
            self.carrier.outgoing().know_peer();
            // So that large payloads are not cut in two by reads, each at the
            // place where the one before was: both parts would be writes.
            reader.prefer(match decoder.payload_left() {
                left if self.is_large && left > 0 => left + KEEP_HEAD,
                _ => FRAME_PAYLOAD + KEEP_HEAD,
            });
        }
        Ok(())
    }

    fn take(&mut self, mut buf: Buf, decoder: &mut FrameDecoder) -> Result<(), MuxError> {
        loop {
            buf = self.hand_over(buf, decoder);
            let mut input = buf.as_slice();
            let Some(event) = decoder.next(&mut input)? else {
                return Ok(());
            };
            let taken = buf.len() - input.len();
            self.handle(event)?;
            buf.advance(taken);
        }
    }

    /// Delivers what `buf` begins with as a buffer of its own if it is large and
    /// hardly anything follows it, so that who keeps it need not copy it.
    /// Returns the rest.
    fn hand_over(&mut self, mut buf: Buf, decoder: &mut FrameDecoder) -> Buf {
        let Current::Stream(session) = &self.current else {
            return buf;
        };
        let len = buf.len().min(decoder.payload_left());
        if len < DIRECT_SIZE || buf.len() - len > KEEP_HEAD {
            return buf;
        }
        let rest = buf.split_off(len);
        decoder.skip_payload(len);
        self.grants
            .add(session.id(), session.deliver_buf(buf, &self.wakes));
        rest
    }

    fn read(&mut self, reader: &mut dyn Reader) -> Result<Option<Buf>, LinkError> {
        let (grants, carrier) = (&mut self.grants, self.carrier);
        reader.read_idling(&mut || {
            self.wakes.send();
            send_grants(grants, carrier);
        })
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), MuxError> {
        match event {
            Event::Frame { metadata, payload } => {
                let (current, is_idle) = self.begin(metadata, payload);
                self.current = current;
                self.is_large = payload.is_some_and(|len| len >= DIRECT_SIZE);
                self.count_idle(is_idle.into())?;
                match payload {
                    Some(0) => self.payload(&[], 0),
                    _ => Ok(()),
                }
            }
            Event::Payload { bytes, left } => self.payload(bytes, left),
        }
    }

    fn count_idle(&mut self, count: usize) -> Result<(), MuxError> {
        let clock = self.carrier.timer().clock();
        self.idle_frames.add(count, || clock.now())
    }

    /// Acts on a frame's head; says where its payload goes, and whether the
    /// frame is of no use.
    fn begin(
        &mut self,
        metadata: Result<FrameMetadata, FrameError>,
        payload: Option<usize>,
    ) -> (Current, bool) {
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(e) => {
                self.refuse(&e);
                return (Current::Skip, true);
            }
        };
        let id = metadata.session_id;
        let is_empty = payload.is_none_or(|len| len == 0);
        match (metadata.status, metadata.target) {
            (SessionStatus::New, Some(target)) => {
                let session = self.role.open(self.carrier, id, target, metadata.origin);
                let is_idle = session.is_none();
                (Current::to(session), is_idle)
            }
            (SessionStatus::Keep, _) => {
                let session = self.keep(id, payload.is_some());
                let is_idle = is_empty || session.is_none();
                (Current::to(session), is_idle)
            }
            (SessionStatus::End, _) => {
                let is_known = self.end(id, metadata.option.has_error);
                (Current::Skip, !is_known)
            }
            (SessionStatus::KeepAlive, _) if id == 0 && self.carrier.options().extensions => {
                (Current::Signals, is_empty)
            }
            (SessionStatus::New | SessionStatus::KeepAlive, _) => (Current::Skip, true),
        }
    }

    /// A session without a usable target is refused; its carrier lives (A28).
    fn refuse(&mut self, error: &FrameError) {
        if let FrameError::BadTarget { session_id, .. } = error {
            let name = format!("{}/{session_id}", self.carrier.number());
            debug!("session {name} refused: {}", crate::error::chain(error));
            self.role.refuse(self.carrier, *session_id);
        }
    }

    /// Returns whether the id was open.
    fn end(&self, id: u16, error: bool) -> bool {
        let session = self.carrier.session(id);
        if let Some(session) = &session {
            session.remote_end(error);
        } else if id == PROBE_SESSION {
            self.carrier.answered(Probe::Plain);
        }
        session.is_some()
    }

    /// Data for an id that is not open is answered with End and skipped. But not
    /// if it may have been open until the carrier ended, which the peer would
    /// take for an orderly end.
    fn keep(&self, id: u16, has_data: bool) -> Option<Arc<Session>> {
        let session = self.carrier.session(id);
        if session.is_none() && has_data && !self.carrier.closed().is_done() {
            self.carrier.outgoing().answer_unknown(id);
        }
        session
    }

    fn payload(&mut self, bytes: &[u8], left: usize) -> Result<(), MuxError> {
        match &self.current {
            Current::Skip => {}
            Current::Stream(session) => {
                if !bytes.is_empty() {
                    self.grants
                        .add(session.id(), session.deliver(bytes, &self.wakes));
                }
            }
            Current::Datagram(session) => {
                let session = session.clone();
                self.whole(bytes, left, |datagram, wakes| {
                    session.deliver(datagram, wakes);
                    Ok(())
                })?;
            }
            Current::Signals => {
                let carrier = self.carrier.clone();
                let mut idle = 0;
                self.whole(bytes, left, |data, _| {
                    idle = carrier.obey(data)?;
                    Ok(())
                })?;
                self.count_idle(idle)?;
            }
        }
        Ok(())
    }

    /// Collects the pieces of one frame's payload, and acts once it is whole.
    fn whole(
        &mut self,
        bytes: &[u8],
        left: usize,
        act: impl FnOnce(&[u8], &Wakes) -> Result<(), MuxError>,
    ) -> Result<(), MuxError> {
        if left == 0 && self.pieces.is_empty() {
            return act(bytes, &self.wakes);
        }
        if self.pieces.capacity() == 0 {
            self.pieces.reserve(MAX_FRAME_PAYLOAD);
        }
        self.pieces.extend_from_slice(bytes);
        if left > 0 {
            return Ok(());
        }
        let acted = act(&self.pieces, &self.wakes);
        self.pieces.clear();
        acted
    }
}

impl Current {
    fn to(session: Option<Arc<Session>>) -> Self {
        match session {
            None => Current::Skip,
            Some(session) if session.network() == Network::Udp => Current::Datagram(session),
            Some(session) => Current::Stream(session),
        }
    }
}

fn send_grants(grants: &mut Grants, carrier: &Carrier) {
    if grants.send(carrier.outgoing()) {
        carrier.measure();
    }
}
